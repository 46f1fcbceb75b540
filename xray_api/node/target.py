"""Whether a camouflage target suits REALITY: looked at as a visitor of the site would.

It only warns. A machine that cannot reach the site today still gets its files.
"""

import socket
import ssl
from http.client import HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.parse import urlsplit

#: All of it, the name's resolution included.
WITHIN_S = 6.0
_EACH_S = 3.0


def warnings_about(dest: str, server_name: str, within_s: float = WITHIN_S) -> list[str]:
    """What speaks against hiding behind the site; empty when nothing does. Never raises.

    Args:
        dest: HOST:PORT of the site.
        server_name: the name that clients show.
        within_s: seconds that it may take.
    """
    found: SimpleQueue[list[str]] = SimpleQueue()
    # A thread that ends with the process: nothing interrupts the resolution of a name.
    Thread(target=lambda: found.put(_look(dest, server_name)), daemon=True).start()
    try:
        return found.get(timeout=within_s)
    except Empty:
        return [f"{dest} could not be checked within {within_s:g} s"]


def _look(dest: str, server_name: str) -> list[str]:
    try:
        with _visit(dest, server_name, "h2", "http/1.1") as site:
            protocol = site.selected_alpn_protocol()
        slow = [] if protocol == "h2" else [f"{dest} does not speak HTTP/2, as most sites do"]
        with _visit(dest, server_name, "http/1.1") as site:
            return slow + _redirection(site, dest, server_name)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message
        return [f"the certificate of {dest} does not stand for {server_name}: {reason}"]
    except ssl.SSLError:
        return [f"{dest} does not speak TLS 1.3 with X25519: REALITY cannot hide behind it"]
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        return [f"{dest} could not be checked: {reason}"]


def _visit(dest: str, server_name: str, *protocols: str) -> ssl.SSLSocket:
    """A connection as REALITY needs it: TLS 1.3, X25519, and a certificate for the name."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_ecdh_curve("X25519")
    context.set_alpn_protocols(list(protocols))
    host, _, port = dest.rpartition(":")
    connection = socket.create_connection((host.strip("[]"), int(port)), timeout=_EACH_S)
    try:
        return context.wrap_socket(connection, server_hostname=server_name)
    except BaseException:
        connection.close()
        raise


def _redirection(site: ssl.SSLSocket, dest: str, server_name: str) -> list[str]:
    site.sendall(f"HEAD / HTTP/1.1\r\nHost: {server_name}\r\nConnection: close\r\n\r\n".encode())
    response = HTTPResponse(site, method="HEAD")
    response.begin()
    elsewhere = urlsplit(response.getheader("Location") or "").hostname
    if elsewhere is None or elsewhere == server_name.lower():
        return []
    return [f"{dest} sends its visitors to {elsewhere!a}: hide behind that one instead"]

"""Addresses as operators write them: HOST:PORT to listen on, and base URLs to call."""

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

HIGHEST_PORT = 65535


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; an IPv6 host stands in brackets.

    Raises:
        ValueError: the text has another shape, or the port is none.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > HIGHEST_PORT:
        raise ValueError("must be HOST:PORT, for example 127.0.0.1:8080")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether the host names this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_address(address: str) -> str:
    split_address(address)
    return address


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # its message may quote a password
        whole = False
    if not whole:
        raise ValueError("must be an http or https URL")
    if parts.username or parts.password:
        raise ValueError("must not carry a user name or password")
    return url.rstrip("/")


ListenAddress = Annotated[str, AfterValidator(_checked_address)]
BaseUrl = Annotated[str, AfterValidator(_checked_url)]

"""A local camouflage target: the TLS 1.3 site that a REALITY server hides behind.

For demo and tests, where no real site may be asked. Its certificate is trusted by nobody.
"""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SERVER_NAME = "localhost"
_PAGE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: Validity is fixed, so that no clock is asked.
_VALID_FROM = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_VALID_UNTIL = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)


@asynccontextmanager
async def camouflage_target(server_name: str = SERVER_NAME, *, port: int = 0) -> AsyncIterator[str]:
    """Serve on loopback; gives HOST:PORT, for `dest`. Port 0 takes a free one."""
    context = _tls(server_name)
    server = await asyncio.start_server(_answer, "127.0.0.1", port, ssl=context)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One page to whoever asks. Closing early lets REALITY's own probe end early."""
    try:
        await reader.read(4096)
        writer.write(_PAGE)
        await writer.drain()
    except OSError:
        pass  # a visitor who leaves is none of our business
    finally:
        writer.close()


def _tls(server_name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2", "http/1.1"])
    with TemporaryDirectory() as folder:  # the ssl module reads keys from files alone
        file = Path(folder) / "site.pem"
        file.write_bytes(_self_signed(server_name))
        context.load_cert_chain(file)
    return context


def _self_signed(server_name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

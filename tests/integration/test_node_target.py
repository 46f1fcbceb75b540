"""A camouflage target is looked at as a visitor would; what speaks against it is said."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.integration.node_fixtures import free_port
from xray_api.camouflage import SERVER_NAME, _self_signed, camouflage_target
from xray_api.node.target import warnings_about


@asynccontextmanager
async def site(
    folder: Path, *, answer: bytes, protocols: list[str], newest: ssl.TLSVersion
) -> AsyncIterator[str]:
    """A site of one answer, whose certificate this process trusts."""
    file = folder / "site.pem"
    file.write_bytes(_self_signed(SERVER_NAME))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = newest
    context.set_alpn_protocols(protocols)
    context.load_cert_chain(file)

    async def show(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(4096):
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(show, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answer(*headers: str) -> bytes:
    lines = ("HTTP/1.1 301 Moved", *headers, "Content-Length: 0", "Connection: close", "", "")
    return "\r\n".join(lines).encode()


async def warnings(dest: str, name: str = SERVER_NAME) -> list[str]:
    return await asyncio.to_thread(warnings_about, dest, name, 30)


@pytest.mark.parametrize(
    ("headers", "protocols", "newest", "expected"),
    [
        ([], ["h2", "http/1.1"], ssl.TLSVersion.TLSv1_3, ""),
        ([f"Location: https://{SERVER_NAME}/in"], ["h2"], ssl.TLSVersion.TLSv1_3, ""),
        (["Location: /in"], ["h2", "http/1.1"], ssl.TLSVersion.TLSv1_3, ""),
        (
            ["Location: https://www.other.example/"],
            ["h2", "http/1.1"],
            ssl.TLSVersion.TLSv1_3,
            "sends its visitors to 'www.other.example'",
        ),
        ([], ["http/1.1"], ssl.TLSVersion.TLSv1_3, "does not speak HTTP/2"),
        ([], ["h2", "http/1.1"], ssl.TLSVersion.TLSv1_2, "does not speak TLS 1.3"),
    ],
)
async def test_what_a_site_shows_is_weighed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    headers: list[str],
    protocols: list[str],
    newest: ssl.TLSVersion,
    expected: str,
) -> None:
    shown = answer(*headers)
    async with site(tmp_path, answer=shown, protocols=protocols, newest=newest) as dest:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "site.pem"))

        found = await warnings(dest)

    assert len(found) == bool(expected)
    assert expected in "".join(found)


async def test_a_certificate_that_nobody_trusts_or_of_another_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with camouflage_target() as dest:
        (untrusted,) = await warnings(dest)
    async with site(
        tmp_path, answer=answer(), protocols=["h2"], newest=ssl.TLSVersion.TLSv1_3
    ) as dest:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "site.pem"))
        (named,) = await warnings(dest, "www.example.com")

    assert "does not stand for localhost" in untrusted
    assert "does not stand for www.example.com" in named


async def test_a_site_that_cannot_be_reached_is_only_told() -> None:
    (found,) = await warnings(f"127.0.0.1:{free_port()}")

    assert "could not be checked: Connection refused" in found


async def test_a_site_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dest = f"127.0.0.1:{server.getsockname()[1]}"

        (found,) = await asyncio.to_thread(warnings_about, dest, SERVER_NAME, 0.1)

    assert "could not be checked within 0.1 s" in found

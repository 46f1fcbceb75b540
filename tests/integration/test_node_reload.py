"""Keys and certificates are exchanged under load, and nobody is refused for it."""

import asyncio
import datetime as dt
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from tests.integration.node_fixtures import Files, eventually, fresh_files, running
from xray_api.node.keys import hashed, new_api_key

CALLERS = 8


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    async with fresh_files(tmp_path / "node") as made:
        yield made


def write_keys(files: Files, *keys: str) -> None:
    """The settings file with these keys and all else as it was, exchanged at once."""
    lines = files.settings_file.read_text().splitlines()
    written = f"api_keys = [{', '.join(repr(key) for key in keys)}]".replace("'", '"')
    text = "\n".join(written if line.startswith("api_keys") else line for line in lines)
    fresh = files.settings_file.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(files.settings_file)


async def status(url: str, key: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/users", headers={"X-API-Key": key}) as response,
    ):
        return response.status


async def test_a_rotation_of_keys_under_load_refuses_nobody(files: Files) -> None:
    old, new = files.api_key, new_api_key()
    key, statuses, stop = old, list[int](), asyncio.Event()

    async def calls() -> None:
        async with aiohttp.ClientSession(files.url) as session:
            while not stop.is_set():
                given = {"X-API-Key": key}
                async with session.get(f"/v1/users/{uuid4()}", headers=given) as response:
                    statuses.append(response.status)

    async def accepted(which: str, expected: int) -> None:
        async def is_so() -> bool:
            return await status(files.url, which) == expected

        await eventually(is_so)

    async with running(files.settings(), files.settings_file):
        callers = [asyncio.create_task(calls()) for _ in range(CALLERS)]
        write_keys(files, hashed(old), new)
        await accepted(new, 200)
        key = new
        seen = len(statuses)

        async def all_have_switched() -> bool:
            return len(statuses) >= seen + 4 * CALLERS

        await eventually(all_have_switched)
        write_keys(files, hashed(new))
        await accepted(old, 401)
        seen = len(statuses)
        await eventually(all_have_switched)
        stop.set()
        await asyncio.gather(*callers)

    assert set(statuses) == {404}, "of users whom the node does not know; never a 401"


async def test_wrong_settings_change_nothing_and_are_told(files: Files) -> None:
    with capture_logs() as logs:
        async with running(files.settings(), files.settings_file):
            write_keys(files, "short")

            async def told() -> bool:
                return any(log["event"] == "settings_not_taken_over" for log in logs)

            await eventually(told)
            assert await status(files.url, files.api_key) == 200
            write_keys(files, hashed(key := new_api_key()))
            os.kill(os.getpid(), signal.SIGHUP)

            async def accepted() -> bool:
                return await status(files.url, key) == 200

            await eventually(accepted)
    assert key not in str(logs)


async def test_other_settings_are_said_to_need_a_restart(files: Files) -> None:
    with capture_logs() as logs:
        async with running(files.settings(), files.settings_file):
            text = files.settings_file.read_text()
            files.settings_file.write_text(
                text.replace('public_host = "127.0.0.1"', 'public_host = "other.example"')
            )

            async def told() -> bool:
                return {"node.public_host"} == {
                    name
                    for log in logs
                    if log["event"] == "settings_need_a_restart"
                    for name in log["settings"]
                }

            await eventually(told)


def write_certificate(
    folder: Path, serial: int, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None
) -> tuple[Path, Path]:
    """A new self-signed pair in the files that the node shows."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


async def shown_serial(port: int) -> int:
    """Of the certificate that a new connection sees."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    tls = writer.get_extra_info("ssl_object")
    shown = x509.load_der_x509_certificate(tls.getpeercert(binary_form=True))
    writer.close()
    await writer.wait_closed()
    return shown.serial_number


async def test_a_new_certificate_is_shown_and_open_connections_go_on(
    files: Files, tmp_path: Path
) -> None:
    cert, key = write_certificate(tmp_path, serial=1)
    port = int(files.url.rpartition(":")[2])
    connector = aiohttp.TCPConnector(ssl=False, limit=1)
    async with (
        running(files.settings(tls_cert=cert, tls_key=key)),
        aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector) as session,
    ):
        async with session.get("/healthz") as response:
            assert response.status == 200
        assert await shown_serial(port) == 1

        write_certificate(tmp_path, serial=2)

        async def shows_the_new_one() -> bool:
            return await shown_serial(port) == 2

        await eventually(shows_the_new_one)
        cert.write_text("no certificate")
        os.kill(os.getpid(), signal.SIGHUP)
        async with session.get("/healthz") as response:
            assert response.status == 200
        assert await shown_serial(port) == 2


async def test_a_certificate_of_another_kind_replaces_the_old_one(
    files: Files, tmp_path: Path
) -> None:
    cert, key = write_certificate(tmp_path, 1, ec.generate_private_key(ec.SECP256R1()))
    port = int(files.url.rpartition(":")[2])
    async with running(files.settings(tls_cert=cert, tls_key=key)):
        write_certificate(tmp_path, 2, rsa.generate_private_key(65537, 2048))

        async def shows_the_new_one() -> bool:
            return await shown_serial(port) == 2

        await eventually(shows_the_new_one)

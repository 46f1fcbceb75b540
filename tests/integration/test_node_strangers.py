"""Connections without a valid key: they end soon, and those with one never notice."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.node_fixtures import PATIENCE_S, Files, fresh_files, running
from xray_api.node import limits
from xray_api.node.limits import Strangers


async def asked(files: Files, key: str | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, on which a request has been answered if there is a key."""
    host, _, port = files.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    if key is not None:
        await answered(reader, writer, key)
    return reader, writer


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> bytes:
    writer.write(f"GET /v1/digest HTTP/1.1\r\nHost: node\r\nX-API-Key: {key}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return head.splitlines()[0]


async def test_a_connection_without_a_key_ends_and_one_with_a_key_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fresh_files(tmp_path / "node") as files, running(files.settings()):
        known = await asked(files, files.api_key)
        silent = await asked(files, None)
        guessing = await asked(files, "a-wrong-key-of-a-stranger")

        monkeypatch.setattr(limits, "STRANGERS_FOR_S", 0.0)

        async with asyncio.timeout(PATIENCE_S):
            assert await silent[0].read() == b""
            assert await guessing[0].read() == b""
        assert await answered(*known, files.api_key) == b"HTTP/1.1 200 OK"
        for _, writer in (known, silent, guessing):
            writer.close()
            await writer.wait_closed()


def test_a_stranger_may_stay_a_while() -> None:
    strangers = Strangers[str]()

    assert strangers.overdue(["a"], now=5) == []
    assert strangers.overdue(["a", "b"], now=14.9) == []
    assert strangers.overdue(["a", "b"], now=15) == ["a"]


def test_of_too_many_strangers_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_STRANGERS", 2)
    strangers = Strangers[str]()
    strangers.vouch("known")

    assert strangers.overdue(["known", "old", "next"], now=0) == []
    assert strangers.overdue(["known", "new", "old", "next"], now=1) == ["old"]


def test_a_key_on_one_connection_speaks_for_no_later_one() -> None:
    """Given a connection with a key that ended; then it is forgotten."""
    strangers = Strangers[str]()
    strangers.vouch("a")
    strangers.overdue(["a"], now=0)
    strangers.overdue([], now=1)

    strangers.overdue(["a"], now=2)

    assert strangers.overdue(["a"], now=12) == ["a"]

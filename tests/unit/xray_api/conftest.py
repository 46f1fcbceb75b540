"""HTTP doubles for the client of nodes."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses, core

#: More than the longest answer that the client reads.
_LIMIT = 8 * 1024 * 1024


class _Response(aiohttp.ClientResponse):
    """aioresponses 0.7.9 leaves out an argument that aiohttp 3.14 needs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


def _long_stream(loop: Any = None) -> aiohttp.StreamReader:
    """Its own stream asserts on bodies over 128 KiB."""
    return aiohttp.StreamReader(ResponseHandler(loop=loop), limit=_LIMIT, loop=loop)


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses]:
    """Answers for every request of this test; none leaves the process."""
    monkeypatch.setattr(core, "ClientResponse", _Response)
    monkeypatch.setattr(core, "stream_reader_factory", _long_stream)
    with aioresponses() as double:
        yield double

"""Whoever was shut out stays out: no late add lets him in, no open connection stays his."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from python_socks.async_.asyncio import Proxy

from tests.failures.cells import WITHIN, Doors
from tests.failures.run import Run, answered, fired, uuid_of
from tests.failures.scenario import Setting, row
from tests.faults.proxy import Answer, Hold, Mangle, Rule
from xray_api import probe
from xray_api.node.cutting import machine_cuts
from xray_api.probe import VlessClient, vless_client

OWNER_OF = """
SELECT s.user_id FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE c.uuid = $1
"""
SHUT_OUT = """
SELECT bool_and(desired = 'absent' AND applied_gen = gen) FROM credentials WHERE uuid = $1
"""
LET_IN = "SELECT first_applied_at IS NOT NULL FROM credentials WHERE uuid = $1"
#: An echo that does not come within so long never does, seconds.
ECHO_S = 5.0


@row(18, bound_s=0)
async def late_add_after_remove(run: Run) -> None:
    """An add is held on its way, repeated, and undone; then it arrives after all."""
    late = Rule(Hold(), methods=("PUT",), times=1)
    async with run.fault(late):
        await fired(late)
        uuid = late.met[0].uuid
        assert uuid is not None
        run.watched.add(uuid)
        await run.town.until(LET_IN, uuid)
        owner = run.town.sandbox.person(await run.town.value(OWNER_OF, uuid))
        await run.town.revoke(owner)
        await run.town.until(SHUT_OUT, uuid)
        assert not late.answered
        await run.quiet()
        late.release()
        await answered(late)
        assert late.answered == [409], "the node was to know that it is late"


class Echo:
    """A connection through a node to somebody who repeats what he hears."""

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def repeats(self) -> bool:
        """Whether it is open still; a connection that is silent for long is not."""
        try:
            self._writer.write(b"still there?\n")
            await self._writer.drain()
            return bool(await asyncio.wait_for(self._reader.readline(), ECHO_S))
        except (OSError, TimeoutError):
            return False


@asynccontextmanager
async def echoing(link: str, source: str, port: int) -> AsyncIterator[Echo]:
    """A connection by a link, from an address of this machine, to an echo on a port of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "LOOPBACK_SOURCE", source)
        client = vless_client(link)
        opened: VlessClient = await client.__aenter__()
    try:
        proxy = Proxy.from_url(f"socks5://{opened.socks}")
        reader, writer = await asyncio.open_connection(sock=await proxy.connect("127.0.0.1", port))
        yield Echo(reader, writer)
        writer.close()
    finally:
        await client.__aexit__(None, None, None)


async def _repeat(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(OSError):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    writer.close()


@row(40, full=True, bound_s=60, ua=WITHIN, setting=Setting(factor=1))
async def open_tunnel_after_removal(run: Run) -> None:
    """Somebody is removed whose connection is open; a neighbour's, from elsewhere, goes on."""
    said: list[str] = []

    def heard(answer: Answer) -> Answer:
        said.append(json.loads(answer.body)["method"])
        return answer

    server = await asyncio.start_server(_repeat, "127.0.0.1", 0)
    await run.stack.enter_async_context(server)
    port = server.sockets[0].getsockname()[1]
    removed, neighbour = await run.customers(2)
    links = [person.link or "" for person in (removed, neighbour)]
    cut = await run.stack.enter_async_context(echoing(links[0], "127.0.0.3", port))
    kept = await run.stack.enter_async_context(echoing(links[1], "127.0.0.4", port))
    assert await cut.repeats()
    assert await kept.repeats()
    uuid = uuid_of(removed)
    run.watched.add(uuid)
    async with run.fault(Rule(Mangle(heard), methods=("DELETE",), uuid=uuid)):
        await run.town.revoke(removed)
        await run.town.until(SHUT_OUT, uuid)

    async def over() -> bool:
        open_still = await cut.repeats()
        if open_still:
            run.saw(Doors(without_right=frozenset({uuid})))
        return not open_still

    async def as_the_node_said() -> None:
        assert await kept.repeats(), "his neighbour was to notice nothing"
        if not machine_cuts():
            assert said[-1] == "none"
            assert await cut.repeats()

    assert said[-1] == ("socket" if machine_cuts() else "none")
    if machine_cuts():
        run.besides.append(over)
    else:
        run.unable = "open connections end by `ss -K`, which needs CAP_NET_ADMIN"
    run.closing.append(as_the_node_said)

"""Nothing blocks the loop unnoticed: in tests it fails them, in production it is logged."""

import asyncio
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import pytest

from actors.runtime.watchdog import Blockage, LoopWatchdog, time_had
from tests.blocking import caught
from tests.clock import PATIENCE_S, until
from tests.puppets import Do, Puppet, Stage

#: Short, so that the tests are quick; nothing below depends on it.
THRESHOLD_S = 0.02


class Witness:
    """Hears the watchdog, and lets go who holds up the loop."""

    def __init__(self) -> None:
        self.heard: list[Blockage] = []
        self.let_go = threading.Event()

    def __call__(self, blockage: Blockage) -> None:
        """See `LoopWatchdog`."""
        self.heard.append(blockage)
        self.let_go.set()

    async def hold_up(self, _: object = None) -> bool:
        """Block the loop until the watchdog has reported it; whether it did."""
        return self.let_go.wait(PATIENCE_S)


async def test_the_watchdog_names_the_actor_that_holds_up_the_loop(stage: Stage) -> None:
    witness = Witness()
    address = stage.play(Puppet(), "user/7")

    with LoopWatchdog(threshold_s=THRESHOLD_S, report=witness):
        assert await address.ask(Do(witness.hold_up))
        await until(lambda: len(witness.heard) == 2)

    during, after = witness.heard
    assert (during.actor, during.blocked_s, during.withheld) == ("user/7", None, 0)
    assert after.actor == "user/7"
    assert after.blocked_s is not None
    assert after.blocked_s >= THRESHOLD_S


async def test_a_report_shows_where_in_the_code_and_no_values(stage: Stage) -> None:
    witness = Witness()

    with LoopWatchdog(threshold_s=THRESHOLD_S, report=witness):
        await stage.play(Puppet()).ask(Do(witness.hold_up))

    stack = witness.heard[0].stack
    assert any(
        call.startswith("test_blocking.py:") and call.endswith(" Witness.hold_up") for call in stack
    )
    assert "threading.py" in stack[-1]
    assert len(stack) <= 12


async def test_spawned_work_that_holds_up_the_loop_is_named_too(stage: Stage) -> None:
    witness = Witness()
    actor = Puppet()
    stage.play(actor, "poller")

    async def beside() -> None:
        await witness.hold_up()

    with LoopWatchdog(threshold_s=THRESHOLD_S, report=witness):
        await asyncio.wait([actor.spawn(beside(), "ear")])

    assert witness.heard[0].actor == "poller/ear"


async def test_a_callback_that_holds_up_the_loop_is_nobodys() -> None:
    witness = Witness()
    loop = asyncio.get_running_loop()

    with LoopWatchdog(threshold_s=THRESHOLD_S, report=witness):
        loop.call_soon(witness.let_go.wait, PATIENCE_S)
        await until(lambda: witness.heard)

    assert witness.heard[0].actor == "no task"


async def test_blockages_soon_after_a_report_are_counted_and_not_reported(stage: Stage) -> None:
    witness = Witness()
    address = stage.play(Puppet())

    with LoopWatchdog(threshold_s=THRESHOLD_S, quiet_s=3_600, report=witness) as watchdog:
        await address.ask(Do(witness.hold_up))
        await until(lambda: len(witness.heard) == 2)

        async def hold_up_again(_: Puppet) -> None:
            deadline = watchdog._clock.now() + PATIENCE_S
            while watchdog._withheld == 0 and watchdog._clock.now() < deadline:
                pass

        await address.ask(Do(hold_up_again))
        assert watchdog._withheld == 1

    assert len(witness.heard) == 2


async def test_a_blockage_is_logged_when_it_is_noticed_and_when_it_is_over(
    stage: Stage, logs: list[MutableMapping[str, Any]]
) -> None:
    address = stage.play(Puppet(), "user/7")

    async def hold_up(_: Puppet) -> None:
        deadline = time.perf_counter() + PATIENCE_S
        while not logs and time.perf_counter() < deadline:
            pass

    with LoopWatchdog(threshold_s=THRESHOLD_S):
        await address.ask(Do(hold_up))
        await until(lambda: len(logs) == 2)

    assert [(log["event"], log["actor"]) for log in logs] == [
        ("loop_blocked", "user/7"),
        ("loop_runs_again", "user/7"),
    ]
    assert logs[1]["blocked_s"] > 0


async def test_a_watchdog_ends_with_its_block() -> None:
    with LoopWatchdog(threshold_s=THRESHOLD_S) as watchdog:
        assert watchdog._thread.is_alive()

    assert not watchdog._thread.is_alive()


def test_a_watchdog_ends_with_its_loop() -> None:
    async def forget_it() -> LoopWatchdog:
        return LoopWatchdog(threshold_s=THRESHOLD_S).__enter__()

    watchdog = asyncio.run(forget_it())
    watchdog._thread.join(PATIENCE_S)

    assert not watchdog._thread.is_alive()


@pytest.mark.parametrize(
    ("what", "elapsed_s", "cpu_s", "had_s"),
    [
        ("the loop waits for something that is no loop's business", 1.0, 0.0, 1.0),
        ("it computes", 1.0, 1.0, 1.0),
        ("the process was stopped for an hour", 3_600.0, 0.0, 0.0),
        ("a busy machine gave the process a little", 9.0, 0.1, 0.1),
        ("a call kept Python's lock", 9.0, 9.0, 9.0),
        ("other threads computed beside it", 9.0, 20.0, 9.0),
    ],
)
def test_only_time_in_which_the_loop_could_have_run_counts(
    what: str, elapsed_s: float, cpu_s: float, had_s: float
) -> None:
    assert time_had(elapsed_s, cpu_s, slice_s=1.0) == had_s, what


def connect_nowhere() -> None:
    """A blocking connection that is refused at once."""
    with socket.socket() as one:
        one.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionRefusedError):
            one.connect(("127.0.0.1", 9))


BLOCKING: list[tuple[str, Callable[[], object]]] = [
    ("time.sleep", lambda: time.sleep(0)),  # noqa: TID251 - planted
    ("socket.getaddrinfo", lambda: socket.getaddrinfo("127.0.0.1", 80)),
    ("socket.connect", connect_nowhere),
    ("sqlite3.connect", lambda: sqlite3.connect(":memory:").close()),
]


@pytest.mark.parametrize(("call", "block"), BLOCKING, ids=[call for call, _ in BLOCKING])
async def test_a_blocking_call_in_a_handler_is_caught_and_names_the_actor(
    stage: Stage, call: str, block: Callable[[], object]
) -> None:
    async def work(_: Puppet) -> None:
        block()

    with caught() as calls:
        await stage.play(Puppet(), "user/7").ask(Do(work))

    assert calls == [f"user/7: {call}"]


async def test_a_blocking_call_in_a_thread_is_fine(stage: Stage) -> None:
    async def work(_: Puppet) -> None:
        await asyncio.to_thread(time.sleep, 0)  # noqa: TID251 - planted

    with caught() as calls:
        await stage.play(Puppet()).ask(Do(work))

    assert calls == []


async def test_asyncios_own_connections_do_not_block(stage: Stage) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    async def work(_: Puppet) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    with caught() as calls:
        await stage.play(Puppet()).ask(Do(work))

    server.close()
    await server.wait_closed()
    assert calls == []


async def test_a_blocking_call_without_a_message_in_hand_is_nobodys() -> None:
    with caught() as calls:
        time.sleep(0)  # noqa: ASYNC251, TID251 - planted

    assert calls == []

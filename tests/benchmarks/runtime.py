"""What an actor costs: `make bench`. Ratios within one run count; absolutes are this machine's.

Prints a table and judges nothing: speed is no test's business. Each pair of legs alternates, and
its median ratio is shown with the least and the greatest.
"""

import asyncio
import gc
import logging
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pykka
import structlog

from actors.runtime.actor import AsyncioActor, Post, Surroundings
from actors.runtime.address import Address
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Mailbox
from actors.runtime.messages import Request
from actors.runtime.replies import ActorFailed, Unavailable
from supervisors.cli import calm_collector
from supervisors.engine.dynamic import DynamicSupervisor, Partitions
from supervisors.engine.patrol import look_after
from supervisors.engine.policy import Exceeded, Policy, Scope, SupervisorSpec
from tests.clock import turn

ROUNDS = 7
ASKS = 10_000
IN_FLIGHT = 1_000
LIVE = 100_000
LIVE_THREADS = 1_000
PARTITIONS = 16
#: Other people's asks while one person's message is poison, and without.
NEIGHBOURS = 200
NEIGHBOURS_ASKS = 20
POLICY = Policy(max_restarts=6, window_s=60, backoff_base_s=0.1, backoff_cap_s=5, idle_after_s=1)


@dataclass(frozen=True, slots=True)
class Add(Request[int]):
    """Add one."""

    number: int


@dataclass(frozen=True, slots=True)
class Poison(Request[int]):
    """Nobody can handle it."""


class Adder(AsyncioActor):
    """The least that an actor can do."""

    async def on_add(self, message: Add) -> int:
        """Add one."""
        return message.number + 1

    async def on_poison(self, message: Poison) -> int:
        """Fail."""
        raise KeyError(message)


class ThreadAdder(pykka.ThreadingActor):
    """The same, in a thread of its own."""

    def on_receive(self, message: Any) -> Any:
        """Add one."""
        return message + 1


class Users:
    """Sixteen partitions, as in the shop."""

    def __init__(self, mailbox_bound: int = 32) -> None:
        surroundings = Surroundings(clock=LoopClock())
        spec = SupervisorSpec(policy=lambda: POLICY, exceeded=Exceeded.PARK, scope=Scope.EACH)
        source = random.Random(1)  # noqa: S311 - the same in every run
        self.partitions = Partitions("user", PARTITIONS, surroundings)
        self.supervisors = [
            DynamicSupervisor(cells, lambda _: Adder(), mailbox_bound, spec, surroundings, source)
            for cells in self.partitions.cells
        ]

    async def open(self) -> "Users":
        """Begin to take messages."""
        for number, supervisor in enumerate(self.supervisors):
            supervisor.take_post(_post(f"users/{number:02}", supervisor))
            await supervisor.started
        return self

    def address(self, key: int) -> Address:
        """Where a user is reached."""
        return self.partitions.address(str(key))

    async def close(self) -> None:
        """End them all."""
        for supervisor in self.supervisors:
            supervisor.hurry()
            await supervisor.wait_ended()


def _post(name: str, supervisor: DynamicSupervisor) -> Post:
    return Post(
        name=name,
        mailbox=Mailbox(name, 1_000),
        surroundings=supervisor.surroundings,
        ended=lambda *_: None,
    )


# Asks


async def asks_one_by_one(address: Address) -> float:
    """Asks per second of one asker."""
    began = time.perf_counter()
    for number in range(ASKS):
        await address.ask(Add(number))
    return ASKS / (time.perf_counter() - began)


async def asks_in_flight(addresses: list[Address]) -> float:
    """Asks per second of many askers at once."""
    began = time.perf_counter()
    for _ in range(ASKS // len(addresses)):
        await asyncio.gather(*(address.ask(Add(1)) for address in addresses))
    return ASKS / (time.perf_counter() - began)


def thread_asks(ref: "pykka.ActorRef[ThreadAdder]") -> float:
    """Asks per second of a synchronous caller, which blocks its thread for each."""
    began = time.perf_counter()
    for number in range(ASKS):
        ref.ask(number)
    return ASKS / (time.perf_counter() - began)


async def thread_asks_from_the_loop(ref: "pykka.ActorRef[ThreadAdder]") -> float:
    """Asks per second of a coroutine, which must not block its loop."""
    asks = ASKS // 5
    began = time.perf_counter()
    for number in range(asks):
        await asyncio.to_thread(ref.ask, number)
    return asks / (time.perf_counter() - began)


def thread_asks_in_flight(ref: "pykka.ActorRef[ThreadAdder]") -> float:
    """Asks per second of a synchronous caller who collects many answers at a time."""
    began = time.perf_counter()
    for _ in range(ASKS // IN_FLIGHT):
        pykka.get_all([ref.ask(number, block=False) for number in range(IN_FLIGHT)])
    return ASKS / (time.perf_counter() - began)


async def measure_asks() -> None:
    """Ours against pykka's own, leg by leg."""
    users = await Users(mailbox_bound=IN_FLIGHT).open()
    one, many = users.address(1), [users.address(key) for key in range(IN_FLIGHT)]
    threaded = ThreadAdder.start()
    await asks_in_flight(many)
    legs: dict[str, Callable[[], Awaitable[float]]] = {
        "one by one": lambda: asks_one_by_one(one),
        "one by one, threads, sync caller": lambda: asyncio.to_thread(thread_asks, threaded),
        "one by one, threads, from the loop": lambda: thread_asks_from_the_loop(threaded),
        "1,000 in flight at one actor": lambda: asks_in_flight([one] * IN_FLIGHT),
        "1,000 in flight, threads, sync caller": lambda: asyncio.to_thread(
            thread_asks_in_flight, threaded
        ),
        "1,000 in flight at 1,000 actors": lambda: asks_in_flight(many),
    }
    rates: dict[str, list[float]] = {name: [] for name in legs}
    for _ in range(ROUNDS):
        for name, leg in legs.items():
            rates[name].append(await leg())
    await asyncio.to_thread(threaded.stop)
    await users.close()
    for name, found in rates.items():
        _line(f"asks/s, {name}", found)
    for ours, theirs in (
        ("one by one", "one by one, threads, sync caller"),
        ("one by one", "one by one, threads, from the loop"),
        ("1,000 in flight at one actor", "1,000 in flight, threads, sync caller"),
    ):
        ratios = [a / b for a, b in zip(rates[ours], rates[theirs], strict=True)]
        _line(f"ratio: ours / {theirs}", ratios, "{:,.2f}")


# Life


def resident_bytes() -> int:
    """Memory that this process really has, from /proc."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


async def measure_life() -> None:
    """Activation by message, memory while all live, passivation."""
    users = await Users().open()
    gc.collect()
    before = resident_bytes()
    addresses = [users.address(key) for key in range(LIVE)]
    with_addresses = resident_bytes()
    began = time.perf_counter()
    for start in range(0, LIVE, IN_FLIGHT):
        await asyncio.gather(*(one.ask(Add(1)) for one in addresses[start : start + IN_FLIGHT]))
    activated = LIVE / (time.perf_counter() - began)
    gc.collect()
    each = (resident_bytes() - with_addresses) / LIVE
    began = time.perf_counter()
    later = users.supervisors[0].clock.now() + 10
    for supervisor in users.supervisors:
        look_after(supervisor, later)
    while any(supervisor.children for supervisor in users.supervisors):
        await turn()
    passivated = LIVE / (time.perf_counter() - began)
    await users.close()
    _line(f"activations/s, {LIVE:,} users", [activated])
    _line("passivations/s", [passivated])
    _line("bytes per live actor", [each])
    _line("bytes of an address", [(with_addresses - before) / LIVE])


def measure_threads() -> None:
    """The same of pykka's own, as many as a thread each allows here."""
    gc.collect()
    before = resident_bytes()
    began = time.perf_counter()
    refs = [ThreadAdder.start() for _ in range(LIVE_THREADS)]
    for ref in refs:
        ref.ask(1)
    started = LIVE_THREADS / (time.perf_counter() - began)
    each = (resident_bytes() - before) / LIVE_THREADS
    pykka.ActorRegistry.stop_all()
    _line(f"ThreadingActor: starts/s, {LIVE_THREADS:,}", [started])
    _line("ThreadingActor: bytes each", [each])


# Poison


async def neighbours(users: Users, *, poison: bool) -> list[float]:
    """How long other people's asks take, in ms, while one person's messages are poison."""
    poisoner = asyncio.create_task(_poisoned(users.address(-1))) if poison else None
    times: list[float] = []

    async def ask(address: Address) -> None:
        for number in range(NEIGHBOURS_ASKS):
            began = time.perf_counter()
            await address.ask(Add(number))
            times.append((time.perf_counter() - began) * 1_000)

    await asyncio.gather(*(ask(users.address(key)) for key in range(NEIGHBOURS)))
    if poisoner is not None:
        poisoner.cancel()
        await asyncio.wait([poisoner])
    return times


async def _poisoned(address: Address) -> None:
    while True:
        try:
            await address.ask(Poison(), timeout_s=1.0)
        except (ActorFailed, Unavailable):
            await turn()


async def measure_poison() -> None:
    """Other people's latency beside a poisonous message, against the same without it."""
    users = await Users().open()
    await neighbours(users, poison=False)
    medians, tails, idle = [], [], []
    for _ in range(ROUNDS):
        well = await neighbours(users, poison=False)
        ill = await neighbours(users, poison=True)
        idle.append(statistics.median(well))
        medians.append(statistics.median(ill) / statistics.median(well))
        tails.append(_p99(ill) / _p99(well))
    await users.close()
    _line("others' ask without poison, ms, median", idle, "{:,.2f}")
    _line("ratio with poison / without, median", medians, "{:,.2f}")
    _line("ratio with poison / without, p99", tails, "{:,.2f}")


def _p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def _line(what: str, found: list[float], shape: str = "{:,.0f}") -> None:
    middle, least, most = statistics.median(found), min(found), max(found)
    spread = f"  ({shape.format(least)} to {shape.format(most)})" if len(found) > 1 else ""
    print(f"{what:<62} {shape.format(middle):>12}{spread}", flush=True)  # noqa: T201


def main() -> None:
    """Measure everything."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    calm_collector()  # as `tollgate run` does
    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds, median (least to most)")  # noqa: T201
    asyncio.run(measure_asks())
    asyncio.run(measure_poison())
    asyncio.run(measure_life())
    measure_threads()


if __name__ == "__main__":
    main()

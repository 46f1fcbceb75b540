"""Towns whose people write to the bot; one back-end is a process of its own, and can be killed."""

import asyncio
import multiprocessing.context
import os
import runpy
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path

from bot.sandbox import Button, Message, Paid, Person
from bot.sandbox.errors import NotSeenError
from supervisors import cli
from tests.faults.convergence import OWNER, Town
from tests.integration.database_fixtures import connected
from tests.integration.node_fixtures import PATIENCE_S, eventually

#: After so long somebody tries again, seconds.
AGAIN_S = 5.0
READY = b'"backend_ready"'
#: All moments of one user's time.
AGE = (
    """UPDATE subscriptions SET expires_at = expires_at - make_interval(secs => $2),
    created_at = created_at - make_interval(secs => $2) WHERE user_id = $1""",
    """UPDATE ledger SET at = at - make_interval(secs => $2),
    expires_before = expires_before - make_interval(secs => $2),
    expires_after = expires_after - make_interval(secs => $2)
    WHERE subscription_id = (SELECT id FROM subscriptions WHERE user_id = $1)""",
    """UPDATE credentials SET created_at = created_at - make_interval(secs => $2),
    applied_at = applied_at - make_interval(secs => $2),
    first_applied_at = first_applied_at - make_interval(secs => $2)
    WHERE subscription_id = (SELECT id FROM subscriptions WHERE user_id = $1)""",
)


def preload() -> None:
    """Start the server that programs are forked from; it ends with this process."""
    forkserver.set_forkserver_preload(["supervisors.cli", "supervisors.run", __name__])
    forkserver.ensure_running()


class Program:
    """`tollgate run` as a process of its own, its log in a file.

    It is forked from a server that has imported everything: a start takes a second instead of many,
    and all after the imports is the command's own.
    """

    def __init__(self, config_file: Path, log_file: Path) -> None:
        self.log_file = log_file
        #: Run first in each process that is started from now on: what is wrong with the release.
        self.bug: Path | None = None
        self._config_file = config_file
        self._context = multiprocessing.get_context("forkserver")
        preload()
        self._process: multiprocessing.context.ForkServerProcess | None = None
        self._ready_before = 0

    async def start(self) -> None:
        """Start it, in the environment of this moment."""
        self._ready_before = self._ready_lines()
        ours = {name: value for name, value in os.environ.items() if name.startswith("TOLLGATE")}
        self._process = self._context.Process(
            target=_run, args=(self._config_file, self.log_file, ours, self.bug)
        )
        await asyncio.to_thread(self._process.start)

    async def until_ready(self) -> bool:
        """Until this incarnation says that it is ready; False when it has ended before."""

        async def said() -> bool:
            return not self.runs or self._ready_lines() > self._ready_before

        await eventually(said)
        return self.runs

    @property
    def runs(self) -> bool:
        """Whether it does now."""
        return self._process is not None and self._process.exitcode is None

    async def status(self) -> int:
        """Wait for the end; what it ended with, a signal as its negative."""
        process = self._process
        assert process is not None

        async def ended() -> bool:
            return process.exitcode is not None

        await eventually(ended)
        assert process.exitcode is not None
        return process.exitcode

    async def kill(self) -> None:
        """SIGKILL: no goodbye, no flush."""
        if self._process is not None and self.runs:
            self._process.kill()
            await self.status()

    async def stop(self) -> None:
        """Stop it in order."""
        if self._process is not None and self.runs:
            self._process.terminate()
            await self.status()

    def _ready_lines(self) -> int:
        return self.log_file.read_bytes().count(READY) if self.log_file.exists() else 0


def _run(config_file: Path, log_file: Path, environment: dict[str, str], bug: Path | None) -> None:
    """In the process: what `tollgate --config FILE run` does."""
    with log_file.open("ab") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
    for name in [name for name in os.environ if name.startswith("TOLLGATE")]:
        del os.environ[name]
    os.environ.update(environment)
    if bug is not None:
        runpy.run_path(str(bug))
    sys.argv = ["tollgate", "--config", str(config_file), "run"]
    cli.main()


@dataclass
class TalkingTown(Town):
    """People act through Telegram, and try again as people do."""

    async def newcomer(self) -> Person:
        """Somebody who has a chat with the bot, which has answered."""
        person = self.sandbox.person(next(self._ids))
        await person.say("/start")
        await person.wait_for(_offers("go:plans"), timeout_s=PATIENCE_S)
        return person

    async def buy(self, person: Person, plan_id: str) -> None:
        """A month on a node, or anywhere, paid."""
        async with asyncio.timeout(2 * PATIENCE_S):
            while not isinstance(await person.pay(await self.invoiced(person, plan_id)), Paid):
                await _pause(0.2)

    async def invoiced(self, person: Person, plan_id: str) -> Message:
        """The invoice of an order."""
        while True:
            seen = person.revision
            await person.say("/buy")
            with suppress(NotSeenError):
                plans = await person.wait_for(_offers("plan:"), timeout_s=AGAIN_S, after=seen)
                seen = person.revision
                await person.tap(plans, _button(plans, f"plan:{plan_id}:"))
                return await person.wait_for(
                    lambda m: m.invoice is not None, timeout_s=AGAIN_S, after=seen
                )

    async def told(self, person: Person) -> None:
        """Until somebody has a link."""
        await person.wait_for(lambda message: message.link is not None, timeout_s=PATIENCE_S)

    async def renew_link(self, person: Person) -> None:
        """A new link in place of the one that leaked."""
        old = person.link
        while person.link == old:
            seen = person.revision
            await person.say("/start")
            with suppress(NotSeenError):
                card = await person.wait_for(_offers("go:newlink"), timeout_s=AGAIN_S, after=seen)
                seen = person.revision
                await person.tap(card, _button(card, "go:newlink"))
                asked = await person.wait_for(_offers("newlink:"), timeout_s=AGAIN_S, after=seen)
                seen = person.revision
                await person.tap(asked, _button(asked, "newlink:1"))
                await person.wait_for(
                    lambda m: m.link not in {None, old}, timeout_s=AGAIN_S, after=seen
                )

    async def grant(self, person: Person, node_id: str, period_s: int) -> None:
        """An hour from an owner, anywhere, of which all but `period_s` seconds pass at once."""
        del node_id
        await self._owner_says(f"/grant {person.id} 1h to try")
        await self.until(
            "SELECT count(*) > 0 FROM subscriptions WHERE user_id = $1 AND expires_at > now()",
            person.id,
        )
        await self.age(person, 3_600 - period_s)

    async def revoke(self, person: Person) -> None:
        """No more access for somebody."""
        await self._owner_says(f"/revoke {person.id} asked for")

    async def age(self, person: Person, seconds: float) -> None:
        """Let time pass for one person alone."""
        async with connected(self.database_url) as rows, rows.transaction():
            # As a take-over does: while a transaction is under way this could be a deadlock.
            await rows.execute("LOCK TABLE shards IN EXCLUSIVE MODE")
            await rows.execute("SET LOCAL session_replication_role = replica")
            for statement in AGE:
                await rows.execute(statement, person.id, seconds)

    async def _owner_says(self, text: str) -> None:
        await self.sandbox.person(OWNER).say(text)


class People:
    """People of each node, one after the other in each of some lanes, each through all four flows.

    In the end they just leave: what they had paid or asked for by then is owed to them.
    """

    def __init__(self, town: TalkingTown, lanes: int = 4) -> None:
        self._town = town
        self._lanes: list[asyncio.Task[None]] = []
        self.come(lanes)

    def come(self, lanes: int) -> None:
        """So many more at a time."""
        for number in range(lanes):
            node_id = list(self._town.sites)[number % len(self._town.sites)]
            self._lanes.append(asyncio.create_task(self._of(node_id)))

    async def end(self, *, at_once: bool = True) -> None:
        """They leave, always at once."""
        del at_once
        staying = set(self._lanes)
        while staying:  # a wait that ends at this very moment forgets that it was cancelled
            for lane in staying:
                lane.cancel()
            _, staying = await asyncio.wait(staying, timeout=AGAIN_S / 5)
        for ended in await asyncio.gather(*self._lanes, return_exceptions=True):
            if not isinstance(ended, asyncio.CancelledError):
                raise ended or AssertionError("a lane ended by itself")
        self._lanes.clear()

    async def _of(self, node_id: str) -> None:
        while True:
            with suppress(TimeoutError):  # somebody's patience is over; what was paid is owed
                await self._all_flows(node_id)

    async def _all_flows(self, node_id: str) -> None:
        person = await self._town.newcomer()
        await self._town.buy(person, node_id)
        await self._town.told(person)
        await self._town.buy(person, node_id)
        await self._town.renew_link(person)
        await self._town.grant(await self._town.newcomer(), node_id, 1)


@dataclass
class OwnProcessTown(TalkingTown):
    """The clock is the process's own: nothing is faster here."""

    program: Program = field(init=False)

    def __post_init__(self) -> None:
        self.program = self.another()

    def another(self, name: str = "backend") -> Program:
        """One more back-end with the same settings, not started."""
        folder = self.settings.data_dir
        return Program(folder / "tollgate.toml", folder / f"{name}.log")

    async def open(self) -> None:
        """Start the back-end."""
        await self.program.start()
        assert await self.program.until_ready(), f"see {self.program.log_file}"

    async def close(self) -> None:
        """Stop it in order."""
        await self.program.stop()


def _offers(prefix: str) -> Callable[[Message], bool]:
    return lambda message: any(b.data and b.data.startswith(prefix) for b in message.buttons)


def _button(message: Message, prefix: str) -> Button:
    return next(b for b in message.buttons if b.data and b.data.startswith(prefix))


async def _pause(seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)

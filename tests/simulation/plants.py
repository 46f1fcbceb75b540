"""Bugs to be found: each takes one protection away, in the simulation only, while one seed runs.

A check that finds none of them proves nothing. Every plant says which one is missing.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeAlias
from unittest.mock import patch
from uuid import UUID

from actors.provisioner.actor import ProvisionerActor
from actors.reconciler.actor import ReconcilerActor
from actors.runtime.actor import AsyncioActor
from actors.user.actor import UserActor
from bot.intake import TelegramIntake
from bot.web.server import WebActor
from storage import credentials, database, payments
from storage.phases import UserPhases
from storage.rows import Disposition
from tests.simulation.backend import Company
from tests.simulation.nodes import SimNode, Site
from tests.simulation.twin.database import twins
from tests.simulation.twin.registry import tally
from tests.simulation.twin.statements import credentials as credential_twins
from tests.simulation.twin.tables import Tables
from xray_api.client.errors import RetriableError

Plant: TypeAlias = Callable[[Company, ExitStack], None]

PLANTS: dict[str, Plant] = {}


def plant(bug: Plant) -> Plant:
    """Name a bug by its function."""
    PLANTS[bug.__name__] = bug
    return bug


def _put(bed: ExitStack, owner: Any, name: str, other: Any) -> Any:
    """Put something else in the place of a part of the program; what stood there before."""
    before = getattr(owner, name)
    bed.enter_context(patch.object(owner, name, other))
    return before


@plant
def no_ledger_key(company: Company, bed: ExitStack) -> None:
    """The ledger takes the same source of time twice.

    Nothing is found: whether a charge stands undecided, and an operation's own keys, hold alone.
    """
    del bed
    company.storage.tables.drop("ledger_source_once")


@plant
def no_unique_keys(company: Company, bed: ExitStack) -> None:
    """Neither the ledger nor acts nor keys of users know an operation again."""
    del bed
    for name in (
        "ledger_source_once",
        "admin_actions_operation_once",
        "credentials_operation_once",
    ):
        company.storage.tables.drop(name)


@plant
def no_fence(_: Company, bed: ExitStack) -> None:
    """A node takes older wishes than it has seen."""
    _put(bed, SimNode, "_store", lambda self, uuid, wish: self.wishes.__setitem__(uuid, wish))


@plant
def no_epoch(_: Company, bed: ExitStack) -> None:
    """A node takes wishes that were meant for the one before it was rebuilt."""
    _put(bed, SimNode, "_admit", lambda self, _: self._refuse_if_not_ready())


@plant
def call_in_transaction(_: Company, bed: ExitStack) -> None:
    """A node is called while a transaction waits for its answer."""

    async def call(self: ProvisionerActor, row: Any, seq: int) -> Any:
        epoch = self._epoch or await self._meet()
        await self._writer(seq)
        async with self.phases._database.transaction():
            return await self.node.put(row.uuid, row.gen, epoch)

    _put(bed, ProvisionerActor, "_call", call)


@plant
def two_layers(_: Company, bed: ExitStack) -> None:
    """The client repeats what the provisioner repeats as well."""

    async def call(self: Site, *given: Any, **named: Any) -> Any:
        for _ in range(2):
            try:
                return await real(self, *given, **named)
            except RetriableError:
                continue
        return await real(self, *given, **named)

    real = _put(bed, Site, "call", call)


@plant
def lost_wakeup(_: Company, bed: ExitStack) -> None:
    """An actor that leaves because it is idle takes with it what came at the last moment."""

    async def end_spawned(self: AsyncioActor) -> None:
        await real(self)
        if self._idle:
            await self.clock.sleep(0)
            mailbox = self._post.mailbox
            while mailbox._waiting:
                mailbox._pop()

    real = _put(bed, UserActor, "_end_spawned", end_spawned)


@plant
def credit_before_commit(_: Company, bed: ExitStack) -> None:
    """A credit is answered while it is still being written."""

    async def record(self: UserPhases, credit: Any) -> None:
        writing = asyncio.get_running_loop().create_task(real(self, credit))
        writing.add_done_callback(lambda task: task.cancelled() or task.exception())

    real = _put(bed, UserPhases, "record_credit", record)


@plant
def unguarded_removal(_: Company, bed: ExitStack) -> None:
    """The reconciler removes however many it likes."""

    async def never(*_: Any) -> str:
        return ""

    _put(bed, ReconcilerActor, "_why_not_removed", never)


@plant
def ack_before_commit(_: Company, bed: ExitStack) -> None:
    """Updates and pushes are acknowledged while they are still being written."""

    def later(accept: Any) -> Any:
        async def at_once(updates: Any) -> None:
            writing = asyncio.get_running_loop().create_task(accept(updates))
            writing.add_done_callback(lambda task: task.cancelled() or task.exception())

        return at_once

    def wrapped(kind: Any) -> None:
        async def take(self: Any, *given: Any) -> Any:
            inbox, self.inbox = self.inbox, _Other(self.inbox, accept=later(self.inbox.accept))
            try:
                return await real(self, *given)
            finally:
                self.inbox = inbox

        real = _put(bed, kind, "_take", take)

    wrapped(TelegramIntake)
    wrapped(WebActor)


class _Other:
    """Something with other methods in the place of some."""

    def __init__(self, real: Any, **others: Any) -> None:
        self._real = real
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


@plant
def credit_adds_again(company: Company, bed: ExitStack) -> None:
    """A charge that is told of again is credited again, "+30 days"."""
    company.storage.tables.drop("ledger_source_once")

    async def receive(*given: Any) -> Any:
        return replace(await real_receive(*given), disposition=Disposition.RECEIVED)

    async def settle(*given: Any, **named: Any) -> bool:
        await real_settle(*given, **named)
        return True

    real_receive = _put(bed, payments, "receive", receive)
    real_settle = _put(bed, payments, "settle", settle)


@plant
def no_compare_and_set(company: Company, _: ExitStack) -> None:
    """A confirmation counts whatever is wished for by now."""

    def confirm(t: Tables, uuid: UUID, _: int, link: bytes | None) -> Any:
        row = t.credentials.get(uuid)
        if row is None or row["applied_gen"] >= row["gen"]:
            return []
        return credential_twins.confirm(t, uuid, row["gen"], link)

    company.storage.twins = twins({credentials.CONFIRM: confirm})


@plant
def no_reconciler(_: Company, bed: ExitStack) -> None:
    """Nodes are never compared with the database."""

    async def compared(self: ReconcilerActor, order: Any, run: Any) -> Any:
        del self, order
        return replace(run, outcome="equal")

    _put(bed, ReconcilerActor, "_compared", compared)


@plant
def stale_copy(_: Company, bed: ExitStack) -> None:
    """A user's actor decides by what it read before, and nobody compares versions."""
    copies: dict[int, Any] = {}

    async def load(self: UserPhases, user_id: int) -> Any:
        fresh = await real(self, user_id)
        old = copies.get(user_id)
        copies[user_id] = fresh
        if old is None or old.subscription is None or fresh.subscription is None:
            return fresh
        return replace(
            fresh,
            subscription=replace(old.subscription, version=fresh.subscription.version),
            credentials=old.credentials,
        )

    real = _put(bed, UserPhases, "load", load)


@plant
def replaced_key_stays(company: Company, _: ExitStack) -> None:
    """The key that another one replaces is not taken away."""

    def confirm(t: Tables, uuid: UUID, gen: int, link: bytes | None) -> Any:
        row = t.credentials.get(uuid)
        replaces = row["replaces"] if row else None
        kept = t.credentials.get(replaces) if replaces else None
        done = credential_twins.confirm(t, uuid, gen, link)
        if done and kept is not None and kept["desired"] == "present":
            t.credentials.update(
                t.credentials.rows[kept["uuid"]], desired="present", gen=kept["gen"]
            )
        return done

    company.storage.twins = twins({credentials.CONFIRM: confirm})


@plant
def owner_not_proven(company: Company, _: ExitStack) -> None:
    """A back-end that lost the database goes on writing."""
    company.storage.twins = twins({database.PROVE_OWNER: lambda *_: tally(1)})


@plant
def removal_not_sent(_: Company, bed: ExitStack) -> None:
    """A removal counts as done before the node hears of it."""

    async def call(self: ProvisionerActor, row: Any, seq: int) -> Any:
        return None if row.desired == "absent" else await real(self, row, seq)

    real = _put(bed, ProvisionerActor, "_call", call)


@plant
def wish_not_committed(_: Company, bed: ExitStack) -> None:
    """A node is told of a generation that no row has."""

    async def call(self: ProvisionerActor, row: Any, seq: int) -> Any:
        return await real(self, replace(row, gen=row.gen + (row.attempts > 0)), seq)

    real = _put(bed, ProvisionerActor, "_call", call)

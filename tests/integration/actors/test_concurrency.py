"""Whatever happens at once ends as if one thing had happened after the other.

Two commands are stopped at each point of their transactions, and the other one runs there: by
actors of their own, so that not even the order of one inbox helps.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
import structlog

from actors.provisioner.actor import PROVISIONER, ProvisionerActor
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Address
from actors.runtime.clock import LoopClock
from actors.runtime.messages import Request
from actors.runtime.replies import Unavailable
from actors.user.actor import USER, UserActor
from actors.user.messages import (
    AccessExpired,
    ChangeStanding,
    ClaimPaid,
    ClaimRecorded,
    CreditPayment,
    DecidedBefore,
    DecideManual,
    ExpireAccess,
    InvoiceAlreadySent,
    InvoiceDue,
    ManualRejected,
    NotExpired,
    OpenPurchase,
    PaymentAlreadyRecorded,
    PaymentCredited,
    PaymentHeld,
    RefundPayment,
    RefundStarted,
    Reissue,
    Standing,
)
from storage.database import SESSION, prepare
from storage.links import LinkCipher
from storage.node_phases import NodePhases
from storage.phases import UserPhases
from tests.integration.database_fixtures import Rows
from tests.integration.shop import pass_time
from tests.invariants import assert_invariants
from tests.patience import patient_health
from tests.stateful.back_end import CATALOGUE, DAY_S, LIMITS, Stage
from tests.stateful.points import PointedDatabase, Points, Side

MONTH_S = 30 * DAY_S
#: How far from its exact value a time may be that depends on when something was decided, seconds.
SLACK_S = 120.0
NODE = "node-1"
#: No point at all: run to the end.
END = 0
BLOCKED = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
STANDING = """
SELECT s.status, s.pending_s, extract(epoch FROM s.expires_at - now())::float8 AS left_s
FROM subscriptions s WHERE s.user_id = $1
"""
KEYS = """
SELECT c.uuid FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE s.user_id = $1 AND c.desired = 'present'
"""
SOURCES = """
SELECT l.source_kind FROM ledger l JOIN subscriptions s ON s.id = l.subscription_id
WHERE s.user_id = $1 ORDER BY l.version
"""
TELL_AGAIN = """
UPDATE credentials c SET gen = gen + 1, next_at = now() FROM subscriptions s
WHERE s.id = c.subscription_id AND s.user_id = $1 AND c.desired = 'present'
"""


@pytest.fixture
async def stage(database_url: str, rows: Rows, cipher: LinkCipher) -> AsyncIterator[Stage]:
    """A back-end in which nothing happens by itself."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    pool = await asyncpg.create_pool(
        database_url, min_size=2, max_size=12, server_settings=SESSION, init=prepare
    )
    made = Stage(pool, rows, cipher)
    await made.open()
    yield made
    await made.close()
    pool.terminate()
    structlog.reset_defaults()


@dataclass
class Lane:
    """An actor whose transactions stop where they are told to."""

    stage: Stage
    name: str
    points: Points = field(default_factory=Points)
    passed: int = 0
    stop_at: int = END
    stands: bool = False
    go: asyncio.Event = field(default_factory=asyncio.Event)
    work: "asyncio.Task[Any] | None" = None

    def __post_init__(self) -> None:
        self.points.visit = self._visit

    @property
    def database(self) -> PointedDatabase:
        """The owner's database, with points of its own."""
        made = PointedDatabase(self.stage.pool, self.points)
        made._epoch = self.stage.life.database._epoch
        return made

    def enter(self, actor: AsyncioActor) -> Address:
        """Let an actor work here."""
        return self.stage.life._enter(f"{self.name}-{uuid4().hex}", actor)

    def user(self, user_id: int) -> Address:
        """One more actor of a user."""
        phases = UserPhases(self.database, self.stage.cipher)
        return self.enter(UserActor(user_id, phases, CATALOGUE, self.stage.life.directory))

    @property
    def done(self) -> bool:
        """Whether its work is done."""
        return self.work is not None and self.work.done()

    async def _visit(self, _: Side) -> None:
        self.passed += 1
        if self.passed == self.stop_at:
            self.stands = True
            await self.go.wait()
            self.stands = False


Work = Callable[[Lane, int], Coroutine[Any, Any, Any]]


async def interleaved(
    stage: Stage, user_id: int, one: tuple[Work, int], other: tuple[Work, int]
) -> tuple[Any, Any, tuple[int, int]]:
    """Run one to a point, the other to a point, then both to their ends; how many points each had.

    Who waits for a row of the other's goes on when that one does.
    """
    lanes = [Lane(stage, "one", stop_at=one[1]), Lane(stage, "other", stop_at=other[1])]
    for lane, (work, _) in zip(lanes, (one, other), strict=True):
        lane.work = asyncio.ensure_future(work(lane, user_id))
        await _until(stage, lambda lane=lane: lane.done or lane.stands)  # type: ignore[misc]
    for lane in lanes:
        lane.go.set()
        await _until(stage, lambda lane=lane: lane.done)  # type: ignore[misc]
    async with asyncio.timeout(30):
        results = [await lane.work for lane in lanes if lane.work is not None]
    return results[0], results[1], (lanes[0].passed, lanes[1].passed)


async def _until(stage: Stage, holds: Callable[[], bool]) -> None:
    """Until something holds, or somebody waits for a row."""
    async with asyncio.timeout(30):
        while not holds() and not await stage.rows.fetchval(BLOCKED):
            await LoopClock().sleep(0.001)


async def all_ways(
    stage: Stage, one: Work, other: Work, *, pairs: bool, user_ids: list[int]
) -> AsyncIterator[tuple[int, Any, Any]]:
    """Both at every interleaving: each whole at each point of the other, or all pairs of points.

    Gives whose it was, and the answers of both.
    """
    spare = iter(user_ids)
    user_id = next(spare)
    first, second, (points, others) = await interleaved(stage, user_id, (one, END), (other, END))
    yield user_id, first, second
    await stage.wake(f"{PROVISIONER}/{NODE}")
    ends = [END] if not pairs else [*range(1, others + 1), END]
    ways = [((one, i), (other, j), False) for i in range(1, points + 1) for j in ends]
    ends = [END] if not pairs else [*range(1, points + 1), END]
    ways += [((other, j), (one, i), True) for j in range(1, others + 1) for i in ends]
    ways.append(((other, END), (one, END), True))
    for left, right, turned in ways:
        user_id = next(spare)
        first, second, _ = await interleaved(stage, user_id, left, right)
        yield (user_id, second, first) if turned else (user_id, first, second)
        await stage.wake(f"{PROVISIONER}/{NODE}")


def asking(message: Callable[[int], Request[Any]]) -> Work:
    """Ask an actor of the user's own."""

    async def work(lane: Lane, user_id: int) -> Any:
        return await lane.user(user_id).ask(message(user_id))

    return work


async def ordered(stage: Stage, user_id: int, provider: str = "stars") -> UUID:
    """An order of a month."""
    tap = OpenPurchase(
        operation_id=uuid4().hex[:16],
        plan_id="month",
        language="en",
        chat_id=user_id,
        provider=provider,
    )
    due = await stage.ask(user_id, tap)
    assert isinstance(due, InvoiceDue)
    return due.purchase_id


def paid(purchase_id: UUID, number: str | None = None) -> CreditPayment:
    """Money for a month."""
    return CreditPayment(
        operation_id=number or str(purchase_id),
        provider="stars",
        provider_payment_id=number or str(purchase_id),
        purchase_id=purchase_id,
        amount=150,
        currency="XTR",
        body_sha256=b"\0" * 32,
        language="en",
        chat_id=1,
    )


async def served(stage: Stage, user_ids: list[int], *, over: bool) -> dict[int, UUID]:
    """Users with access, whose time may be over; an order of each that waits for its money."""
    for user_id in user_ids:
        await stage.ask(user_id, paid(await ordered(stage, user_id), f"first-{user_id}"))
    await pass_time(stage.rows, (31 if over else 10) * DAY_S)
    stage.life.deaf = True
    return {user_id: await ordered(stage, user_id) for user_id in user_ids}


async def finished(stage: Stage) -> None:
    """Everybody hears again, and does what is left; then nothing contradicts anything."""
    stage.life.deaf = False
    for _ in range(3):
        await stage.let_time_pass()
    await assert_invariants(stage.rows, stage.cipher)
    wanted = await stage.rows.fetch("SELECT uuid FROM credentials WHERE desired = 'present'")
    running = set().union(*(node.running for node in stage.nodes.values()))
    assert running == {uuid for (uuid,) in wanted}


def _works(actor: AsyncioActor) -> bool:
    mailbox = actor._post.mailbox
    return mailbox.in_hand is not None or not mailbox.empty()


async def keys_of(stage: Stage, user_id: int) -> list[UUID]:
    """Uuids that should let the user in."""
    return [uuid for (uuid,) in await stage.rows.fetch(KEYS, user_id)]


async def sources_of(stage: Stage, user_id: int) -> list[str]:
    """Why the user's time changed, in order."""
    return [kind for (kind,) in await stage.rows.fetch(SOURCES, user_id)]


#: Each command whole at each point of the other; all pairs of points take longer.
EVERY = pytest.mark.parametrize(
    ("pairs", "users"),
    [
        pytest.param(False, 30, id="each-whole-at-each-point"),
        pytest.param(True, 400, id="all-pairs-of-points", marks=pytest.mark.deep),
    ],
)


async def all_answered(stage: Stage, asked: Iterable[tuple[Address, Request[Any]]]) -> list[Any]:
    """Ask all of this at once, and again whenever an inbox is full, as whoever sends it does."""
    answers = asyncio.gather(*(_answered(*each) for each in asked))
    async with asyncio.timeout(60):
        while not answers.done() and not stage.life.bugs:
            await LoopClock().sleep(0.001)
    assert stage.life.bugs == [], stage.life.bugs
    return await answers


async def _answered(address: Address, message: Request[Any]) -> Any:
    while True:
        try:
            return await address.ask(message)
        except Unavailable:
            await LoopClock().sleep(0.02)


async def test_two_hundred_copies_of_one_charge_give_one_credit(stage: Stage) -> None:
    order = await ordered(stage, 7)
    address = stage.life.directory.find(USER, "7")

    answers = await all_answered(stage, [(address, paid(order))] * 200)

    assert sum(isinstance(answer, PaymentCredited) for answer in answers) == 1
    assert sum(isinstance(answer, PaymentAlreadyRecorded) for answer in answers) == 199
    await finished(stage)
    assert await sources_of(stage, 7) == ["payment", "activation"]


async def test_two_hundred_copies_at_eight_actors_of_one_user_give_one_credit(
    stage: Stage,
) -> None:
    """No inbox helps here: the rows alone must."""
    order = await ordered(stage, 7)
    addresses = [Lane(stage, "copy").user(7) for _ in range(8)]

    answers = await all_answered(stage, [(each, paid(order)) for each in addresses * 25])

    assert any(isinstance(answer, PaymentCredited) for answer in answers)
    await finished(stage)
    assert await sources_of(stage, 7) == ["payment", "activation"]


async def test_two_hundred_copies_of_one_tap_give_one_order(stage: Stage) -> None:
    tap = OpenPurchase(
        operation_id="one-tap", plan_id="month", language="en", chat_id=7, provider="stars"
    )
    address = stage.life.directory.find(USER, "7")

    answers = await all_answered(stage, [(address, tap)] * 200)

    assert all(isinstance(answer, InvoiceDue | InvoiceAlreadySent) for answer in answers)
    assert len({answer.purchase_id for answer in answers}) == 1
    assert await stage.rows.fetchval("SELECT count(*) FROM purchases") == 1


@pytest.mark.parametrize("leaked", [False, True])
async def test_fifty_new_links_at_once_end_with_one_that_works(
    stage: Stage, *, leaked: bool
) -> None:
    await stage.ask(7, paid(await ordered(stage, 7)))
    (old,) = await keys_of(stage, 7)
    most, looking = 0, asyncio.Lock()

    async def look(side: Side) -> None:
        nonlocal most
        if side is Side.AFTER:
            async with looking:
                most = max(most, len(await keys_of(stage, 7)))

    stage.life.points.visit = look
    address = stage.life.directory.find(USER, "7")
    wanted = [Reissue(operation_id=uuid4().hex, leaked=leaked) for _ in range(50)]

    await all_answered(stage, [(address, message) for message in wanted])

    await finished(stage)
    assert most <= 2
    (new,) = await keys_of(stage, 7)
    assert new != old
    assert stage.nodes[NODE].running == {new}


@EVERY
async def test_renewal_and_expiry_end_with_access_at_every_interleaving(
    stage: Stage, *, pairs: bool, users: int
) -> None:
    ids = list(range(1_000, 1_000 + users))
    orders = await served(stage, ids, over=True)
    keys = {user_id: await keys_of(stage, user_id) for user_id in ids}
    renew = asking(lambda user_id: paid(orders[user_id]))
    expire = asking(lambda _: ExpireAccess(operation_id="expire"))
    done, outcomes = [], set()

    async for user_id, renewed, expired in all_ways(
        stage, renew, expire, pairs=pairs, user_ids=ids
    ):
        assert isinstance(renewed, PaymentCredited)
        assert isinstance(expired, AccessExpired | NotExpired)
        outcomes.add(type(expired))
        done.append(user_id)

    await finished(stage)
    assert outcomes == {AccessExpired, NotExpired}
    for user_id in done:
        standing = await stage.rows.fetchrow(STANDING, user_id)
        assert (standing["status"], standing["pending_s"]) == ("active", 0)
        assert standing["left_s"] == pytest.approx(MONTH_S, abs=SLACK_S)
        assert await keys_of(stage, user_id) == keys[user_id]
        sources = await sources_of(stage, user_id)
        assert sources in (
            ["payment", "activation", "payment"],
            ["payment", "activation", "expiry", "payment", "activation"],
        )


@EVERY
async def test_expiry_during_an_add_ends_without_access_at_every_interleaving(
    stage: Stage, *, pairs: bool, users: int
) -> None:
    ids = list(range(1_000, 1_000 + users))
    await served(stage, ids, over=True)

    async def add(lane: Lane, user_id: int) -> None:
        await stage.pool.execute(TELL_AGAIN, user_id)
        phases = NodePhases(lane.database, stage.cipher)
        life, node = stage.life, stage.nodes[NODE]
        source = random.Random(7)  # noqa: S311 - the same in every run
        actor = ProvisionerActor(
            NODE, node, phases, lambda: LIMITS, patient_health(), life.directory, source
        )
        actor._epoch = node.epoch  # the first visit has no news
        before = life.clock.sleeping
        lane.enter(actor)
        # Its scan and its visit sleep, and nothing else is left.
        while (life.clock.sleeping - before, len(actor._spawned)) != (2, 2) or _works(actor):
            await LoopClock().sleep(0.001)
        actor.kill()
        await actor.wait_ended()

    expire = asking(lambda _: ExpireAccess(operation_id="expire"))
    done = []
    async for user_id, _, expired in all_ways(stage, add, expire, pairs=pairs, user_ids=ids):
        assert isinstance(expired, AccessExpired)
        done.append(user_id)

    await finished(stage)
    for user_id in done:
        assert await keys_of(stage, user_id) == []
        assert (await stage.rows.fetchrow(STANDING, user_id))["status"] == "expired"


@EVERY
async def test_refund_and_renewal_leave_one_month_at_every_interleaving(
    stage: Stage, *, pairs: bool, users: int
) -> None:
    ids = list(range(1_000, 1_000 + users))
    orders = await served(stage, ids, over=False)
    renew = asking(lambda user_id: paid(orders[user_id]))
    refund = asking(
        lambda user_id: RefundPayment(
            operation_id=f"refund-{user_id}",
            provider="stars",
            provider_payment_id=f"first-{user_id}",
            who="tg:1",
            reason="",
        )
    )
    done = []
    async for user_id, renewed, refunded in all_ways(
        stage, renew, refund, pairs=pairs, user_ids=ids
    ):
        assert isinstance(renewed, PaymentCredited)
        assert isinstance(refunded, RefundStarted)
        done.append(user_id)

    await finished(stage)
    for user_id in done:
        standing = await stage.rows.fetchrow(STANDING, user_id)
        # Ten days of the first month were used. What a refund takes is its whole period, as far as
        # there is so much: with the renewal before it, twenty days and ten of the new month's.
        sources = await sources_of(stage, user_id)
        renewed_first = sources.index("refund") > 2
        assert standing["status"] == "active"
        months_s = MONTH_S - (10 * DAY_S if renewed_first else 0)
        assert standing["left_s"] == pytest.approx(months_s, abs=SLACK_S)
        assert len(await keys_of(stage, user_id)) == 1


@EVERY
async def test_a_ban_and_a_payment_end_without_access_at_every_interleaving(
    stage: Stage, *, pairs: bool, users: int
) -> None:
    ids = list(range(1_000, 1_000 + users))
    orders = await served(stage, ids, over=False)
    pay = asking(lambda user_id: paid(orders[user_id]))
    ban = asking(
        lambda user_id: ChangeStanding(
            operation_id=f"ban-{user_id}", standing=Standing.BANNED, who="tg:1", reason=""
        )
    )
    done, outcomes = [], set()
    async for user_id, answer, _ in all_ways(stage, pay, ban, pairs=pairs, user_ids=ids):
        outcomes.add(type(answer))
        done.append((user_id, isinstance(answer, PaymentCredited)))

    await finished(stage)
    assert outcomes == {PaymentCredited, PaymentHeld}
    for user_id, credited in done:
        standing = await stage.rows.fetchrow(STANDING, user_id)
        kept_s = 20 * DAY_S + (MONTH_S if credited else 0)
        assert standing["status"] == "suspended"
        assert standing["pending_s"] == pytest.approx(kept_s, abs=SLACK_S)
        assert await keys_of(stage, user_id) == []
        became = await stage.rows.fetchval(
            "SELECT disposition FROM payments WHERE purchase_id = $1", orders[user_id]
        )
        assert became in (("credited",) if credited else ("refund_pending", "refunded"))


@EVERY
async def test_of_two_owners_one_decides_at_every_interleaving(
    stage: Stage, *, pairs: bool, users: int
) -> None:
    ids = list(range(1_000, 1_000 + users))
    orders = {user_id: await ordered(stage, user_id, "manual") for user_id in ids}
    for user_id in ids:
        claim = ClaimPaid(operation_id=uuid4().hex, purchase_id=orders[user_id])
        assert isinstance(await stage.ask(user_id, claim), ClaimRecorded)
    stage.life.deaf = True

    def word(owner: int, *, approve: bool) -> Work:
        return asking(
            lambda user_id: DecideManual(
                operation_id=f"{owner}-{user_id}",
                purchase_id=orders[user_id],
                approve=approve,
                who=f"tg:{owner}",
            )
        )

    done, outcomes = [], set()
    async for user_id, approved, rejected in all_ways(
        stage, word(1, approve=True), word(2, approve=False), pairs=pairs, user_ids=ids
    ):
        outcomes.add((type(approved), type(rejected)))
        done.append((user_id, isinstance(approved, PaymentCredited)))

    await finished(stage)
    assert outcomes == {(PaymentCredited, DecidedBefore), (DecidedBefore, ManualRejected)}
    for user_id, approved in done:
        assert await sources_of(stage, user_id) == (["payment", "activation"] if approved else [])

"""The order of every change: the store on disk, then the running Xray, then the answer.

Changes of one uuid go one at a time; each brings Xray to the wish that stands then, so a
late call cannot undo a newer one. A comparison with the running Xray mends what differs.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from xray_api.contract import MAX_BATCH, SnapshotReply, Writer
from xray_api.digest import digest
from xray_api.node.changes import (
    Apply,
    Correction,
    Replacement,
    RunningUser,
    Stale,
    Wish,
    correct,
    decide_replacement,
    decide_wish,
    is_rebuild,
    most_removals,
)
from xray_api.node.hot_api import HotApi, HotApiError
from xray_api.node.store import Change, Store, StoreError

#: Changes, those of batches aside, that may wait or run at once; more are told to come back.
QUEUE_LIMIT = 1024
#: The same for the changes of batches: two of the longest.
BATCHED_LIMIT = 2 * MAX_BATCH
#: Changes sent to Xray at once; it takes 5,000 to 6,000 a second so (measured).
CHANGES_AT_ONCE = 32
#: What is reckoned with when a batch asks whether there is time enough; chosen low.
SLOWEST_CHANGES_PER_S = 1000

_log = structlog.get_logger()

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Item = TypeVar("Item")


class Refused(Exception):  # noqa: N818 - says what happened
    """A change that is not made."""


class Overtaken(Refused):
    """A newer wish, or the opposite one of the same generation, stands."""

    def __init__(self, gen: int) -> None:
        super().__init__(f"generation {gen} has been seen")
        self.gen = gen


class QueueFull(Refused):
    """Too many changes wait."""


class NotPossible(Refused):
    """Xray or the store cannot take the change now, or not in the time given."""


class WouldShrink(Refused):
    """A snapshot would remove more users than it may."""

    def __init__(self, would_remove: int) -> None:
        super().__init__(f"{would_remove} users would be removed")
        self.would_remove = would_remove


class DigestChanged(Refused):
    """A snapshot was made from another state than the running one."""

    def __init__(self, root: str) -> None:
        super().__init__("the users have changed since the digest")
        self.root = root


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Who is to be let in, and nobody else.

    Attributes:
        users: a generation for each.
        base_root: the root of the digest that the caller saw; None is not checked.
        allow_shrink: how many may be removed where the guard allows fewer.
    """

    users: Mapping[UUID, int]
    base_root: str | None = None
    allow_shrink: int = 0


class Applier:
    """Applies wishes, and keeps the running Xray equal to them."""

    def __init__(
        self, store: Store, flow: str, cut_soon: Callable[[str], None] = lambda _: None
    ) -> None:
        """Take the store, every user's flow, and what ends the connections of an e-mail."""
        self._store = store
        self._flow = flow
        self._cut_soon = cut_soon
        self._hot: HotApi | None = None
        self._equal = False
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._under_way: set[asyncio.Task[bool]] = set()
        self._batched = 0
        self._replacing = False
        self._open = asyncio.Event()
        self._open.set()
        self._slots = asyncio.Semaphore(CHANGES_AT_ONCE)
        #: Set when a difference is suspected, to have it mended at once.
        self.suspicion = asyncio.Event()
        #: Set when Xray is to be started again, with the users of the store.
        self.rebuild = asyncio.Event()
        self._became_equal = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether an Xray runs that has been equal to the store since its start."""
        return self._hot is not None and self._equal

    @property
    def under_way(self) -> int:
        """Changes that wait or run."""
        return len(self._under_way)

    @property
    def hot(self) -> HotApi | None:
        """The running Xray's API; None while none runs."""
        return self._hot

    def attach(self, hot: HotApi) -> None:
        """An Xray has started; changes wait for the first `mend`."""
        self._hot = hot
        self._forget_equality()

    def detach(self) -> None:
        """That Xray has ended."""
        self._hot = None
        self._forget_equality()

    async def change(
        self, uuid: UUID, asked: Wish, *, deadline: float, writer: Writer | None = None
    ) -> bool:
        """Make a wish durable and true of the running Xray.

        A cancelled change that has begun is finished all the same: given up halfway, it could
        reach Xray after the next one of the same user.

        Args:
            uuid: the user.
            asked: the wish.
            deadline: in the loop's time; nothing is changed once it has passed.
            writer: whose wish it is.

        Returns:
            Whether Xray had to be changed for it.

        Raises:
            Refused: in one of its kinds. Of these only `NotPossible` can follow a stored wish.
        """
        if self.under_way - self._batched >= QUEUE_LIMIT:
            raise QueueFull("the write queue is full")
        await self._until_open(deadline)
        return await asyncio.shield(self._begin(uuid, asked, deadline, writer))

    async def batch(
        self, wishes: Sequence[tuple[UUID, Wish]], *, deadline: float, writer: Writer | None = None
    ) -> list[bool | Refused]:
        """Many changes at once, those of one user in their order; as `change` for each.

        Returns:
            For each what `change` returns or raises.

        Raises:
            QueueFull: too many batches are under way.
            NotPossible: none of it can be done, or not in the time given; nothing is changed.
        """
        if self._batched + len(wishes) > BATCHED_LIMIT:
            raise QueueFull("too many batches are under way")
        self._batched += len(wishes)
        batch = asyncio.create_task(self._batch(wishes, deadline, writer))
        batch.add_done_callback(lambda _: self._leave(len(wishes)))
        return await asyncio.shield(batch)

    async def replace(
        self, snapshot: Snapshot, *, deadline: float, writer: Writer | None = None
    ) -> SnapshotReply:
        """Make a snapshot durable and true of the running Xray; other changes wait for it.

        Raises:
            Refused: in one of its kinds. Of these only `NotPossible` can follow stored wishes.
        """
        if self._replacing:
            raise QueueFull("another snapshot is under way")
        self._replacing = True
        return await asyncio.shield(asyncio.create_task(self._replace(snapshot, deadline, writer)))

    async def mend(self) -> None:
        """List, compare and correct, removals first.

        Raises:
            HotApiError: Xray is away or refuses.
        """
        hot = self._hot
        if hot is None:
            return
        running = await hot.users()
        correction = await self._compare(running)
        if correction:
            _log.warning(
                "xray_differs", removals=len(correction.remove), additions=len(correction.add)
            )
        if self._equal and is_rebuild(correction, len(running)):
            self.rebuild.set()
            return
        await self._correct(hot, correction)
        if hot is self._hot:
            self._equal = True
            self._became_equal.set()

    async def _batch(
        self, wishes: Sequence[tuple[UUID, Wish]], deadline: float, writer: Writer | None
    ) -> list[bool | Refused]:
        await self._until_open(deadline)
        if not self.ready:
            raise NotPossible("Xray is not ready")
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= len(wishes) / SLOWEST_CHANGES_PER_S:
            raise NotPossible("there is not time enough for so many")
        changes = [self._begin(uuid, asked, deadline, writer) for uuid, asked in wishes]
        outcomes = await asyncio.gather(*changes, return_exceptions=True)
        return [_bool_or_refused(outcome) for outcome in outcomes]

    def _leave(self, number: int) -> None:
        self._batched -= number

    async def _replace(
        self, snapshot: Snapshot, deadline: float, writer: Writer | None
    ) -> SnapshotReply:
        async with self._alone():
            hot = self._hot
            if hot is None or not self.ready:
                raise NotPossible("Xray is not ready")
            try:
                running = await hot.users()
            except HotApiError as error:
                raise NotPossible("Xray does not answer its API") from error
            before = listed_uuids(running)
            plan = self._plan(snapshot, before)
            if asyncio.get_running_loop().time() >= deadline:
                raise NotPossible("there was not time enough left")
            await self._keep_replacement(plan, deadline, writer)
            await self._bring_all(hot, running, deadline)
        after = set(self._store.present())
        return SnapshotReply(
            added=len(after - before),
            removed=len(before - after),
            kept=len(after & before),
            stale=plan.stale,
        )

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """No change is under way; those that come wait."""
        self._open.clear()
        try:
            if self._under_way:
                await asyncio.wait(set(self._under_way))
            yield
        finally:
            self._open.set()
            self._replacing = False

    async def _until_open(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                while not self._open.is_set():
                    await self._open.wait()
        except TimeoutError as error:
            raise NotPossible("there was not time enough left") from error

    def _plan(self, snapshot: Snapshot, before: set[UUID]) -> Replacement:
        wishes = self._store.wishes
        root = digest(((u, wishes[u].gen if u in wishes else 0) for u in before), buckets=1).root
        if snapshot.base_root is not None and snapshot.base_root != root:
            raise DigestChanged(root)
        plan = decide_replacement(wishes, snapshot.users)
        stay = {uuid for uuid, wish in plan.newer} | {
            uuid for uuid in snapshot.users if uuid in wishes and wishes[uuid].present
        }
        would_remove = len(before - stay)
        if would_remove > max(most_removals(len(before)), snapshot.allow_shrink):
            raise WouldShrink(would_remove)
        return plan

    async def _keep_replacement(
        self, plan: Replacement, deadline: float, writer: Writer | None
    ) -> None:
        changes = [
            *(Change(uuid, wish) for uuid, wish in plan.newer),
            *(Change(uuid, wish, same_gen=True) for uuid, wish in plan.tombstones),
        ]
        await self._write(changes, writer, deadline)

    async def _bring_all(
        self, hot: HotApi, running: Sequence[RunningUser], deadline: float
    ) -> None:
        """Bring Xray to the store, by a start with all users where that is quicker."""
        correction = await self._compare(running)
        if not is_rebuild(correction, len(running)):
            try:
                await self._correct(hot, correction)
            except HotApiError as error:
                self.suspicion.set()
                raise NotPossible("Xray did not answer; the wishes are kept") from error
            return
        _log.info("xray_rebuilt", users=len(correction.add))
        self._forget_equality()
        self.rebuild.set()
        try:
            async with asyncio.timeout_at(deadline):
                await self._became_equal.wait()
        except TimeoutError as error:
            raise NotPossible("Xray is being started with the wishes, which are kept") from error

    async def _compare(self, running: Sequence[RunningUser]) -> Correction:
        # 0.2 s with 100,000 users (measured): others are answered meanwhile.
        wishes = dict(self._store.wishes)
        return await asyncio.to_thread(correct, wishes, running, self._flow)

    async def _correct(self, hot: HotApi, correction: Correction) -> None:
        wanted = {str(uuid) for uuid in correction.add}
        strangers = [email for email in correction.remove if email not in wanted]
        await _some_at_once(lambda email: self._shut_out(hot, email), strangers)
        await _some_at_once(lambda uuid: self._renew(hot, uuid), correction.add)

    def _begin(
        self, uuid: UUID, asked: Wish, deadline: float, writer: Writer | None
    ) -> asyncio.Task[bool]:
        change = asyncio.create_task(self._change(uuid, asked, deadline, writer))
        self._under_way.add(change)
        change.add_done_callback(self._under_way.discard)
        return change

    def _forget_equality(self) -> None:
        self._equal = False
        self._became_equal.clear()

    async def _change(
        self, uuid: UUID, asked: Wish, deadline: float, writer: Writer | None
    ) -> bool:
        async with self._lock(uuid):
            return await self._change_in_turn(uuid, asked, deadline, writer)

    async def _change_in_turn(
        self, uuid: UUID, asked: Wish, deadline: float, writer: Writer | None
    ) -> bool:
        if not self.ready:
            raise NotPossible("Xray is not ready")
        if asyncio.get_running_loop().time() >= deadline:
            raise NotPossible("there was not time enough left")
        decision = decide_wish(self._store.wishes.get(uuid), asked)
        if isinstance(decision, Stale):
            raise Overtaken(decision.gen)
        if isinstance(decision, Apply) or self._store.is_news(writer):
            (standing,) = await self._write([Change(uuid, asked)], writer, deadline)
            if standing != asked:
                raise Overtaken(standing.gen)
        hot = self._hot
        if hot is None:
            raise NotPossible("Xray ended; the wish is kept")
        try:
            return await self._bring(hot, uuid)
        except HotApiError as error:
            self.suspicion.set()  # what became of the call is unknown
            raise NotPossible("Xray did not answer; the wish is kept") from error

    async def _write(
        self, changes: Sequence[Change], writer: Writer | None, deadline: float
    ) -> list[Wish]:
        try:
            return await self._store.write_many(changes, writer, deadline)
        except TimeoutError as error:
            raise NotPossible("there was not time enough left") from error
        except StoreError as error:
            _log.error("store_refuses", reason=str(error))
            raise NotPossible("the store cannot be written") from error

    async def _bring(self, hot: HotApi, uuid: UUID) -> bool:
        """Bring one user to the wish that stands; the caller holds his lock."""
        async with self._slots:
            wish = self._store.wishes.get(uuid)
            if wish is not None and wish.present:
                return await hot.add(uuid)
            return await self._remove(hot, str(uuid))

    async def _remove(self, hot: HotApi, email: str) -> bool:
        """Shut somebody out for good: what he has open ends too."""
        removed = await hot.remove(email)
        self._cut_soon(email)
        return removed

    async def _shut_out(self, hot: HotApi, email: str) -> None:
        """Remove somebody whom the list showed too many."""
        if not is_user_email(email):
            await self._remove(hot, email)
            return
        uuid = UUID(email)
        async with self._lock(uuid):
            await self._bring(hot, uuid)  # he may be wanted by now

    async def _renew(self, hot: HotApi, uuid: UUID) -> None:
        """Add somebody whom the list showed missing, or shadowed by another with his id."""
        async with self._lock(uuid):
            await hot.remove(str(uuid))
            await self._bring(hot, uuid)

    def _lock(self, uuid: UUID) -> asyncio.Lock:
        return self._locks.setdefault(uuid, asyncio.Lock())


def listed_uuids(running: Iterable[RunningUser]) -> set[UUID]:
    """The ids of running users; what somebody else added is no UUID perhaps, and left out."""
    return {UUID(user.id) for user in running if is_user_email(user.id)}


def is_user_email(email: str) -> bool:
    """Whether an e-mail is one that this node gives: a uuid."""
    return _UUID.fullmatch(email) is not None


async def _some_at_once(work: Callable[[Item], Awaitable[None]], items: Iterable[Item]) -> None:
    """Each item has its turn; the first failure is raised when all have had it."""
    waiting = iter(items)
    failures: list[HotApiError] = []

    async def worker() -> None:
        for item in waiting:
            try:
                await work(item)
            except HotApiError as error:
                failures.append(error)

    await asyncio.gather(*(worker() for _ in range(CHANGES_AT_ONCE)))
    if failures:
        raise failures[0]


def _bool_or_refused(outcome: bool | BaseException) -> bool | Refused:
    if isinstance(outcome, bool | Refused):
        return outcome
    raise outcome

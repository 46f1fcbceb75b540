"""The order of every change: the store on disk, then the running Xray, then the answer.

Changes of one uuid go one at a time; each brings Xray to the wish that stands then, so a
late call cannot undo a newer one. A comparison with the running Xray mends what differs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from xray_api.contract import Writer
from xray_api.node.changes import Apply, Stale, Wish, correct, decide_wish
from xray_api.node.hot_api import HotApi, HotApiError
from xray_api.node.store import Store, StoreError

#: Changes that may wait or run at once; more are told to come back.
QUEUE_LIMIT = 1024
#: Corrections sent to Xray at once; it takes 5,000 to 6,000 a second so (measured).
CORRECTIONS_AT_ONCE = 32

_log = structlog.get_logger()

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


class Applier:
    """Applies wishes, and keeps the running Xray equal to them."""

    def __init__(self, store: Store, flow: str) -> None:
        self._store = store
        self._flow = flow
        self._hot: HotApi | None = None
        self._equal = False
        self._locks: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._under_way: set[asyncio.Task[bool]] = set()
        #: Set when a difference is suspected, to have it mended at once.
        self.suspicion = asyncio.Event()

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
        self._equal = False

    def detach(self) -> None:
        """That Xray has ended."""
        self._hot = None
        self._equal = False

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
        if self.under_way >= QUEUE_LIMIT:
            raise QueueFull("the write queue is full")
        change = asyncio.create_task(self._change(uuid, asked, deadline, writer))
        self._under_way.add(change)
        change.add_done_callback(self._under_way.discard)
        return await asyncio.shield(change)

    async def mend(self) -> None:
        """List, compare and correct, removals first.

        Raises:
            HotApiError: Xray is away or refuses.
        """
        hot = self._hot
        if hot is None:
            return
        correction = correct(self._store.wishes, await hot.users(), self._flow)
        if correction:
            _log.warning(
                "xray_differs", removals=len(correction.remove), additions=len(correction.add)
            )
        wanted = {str(uuid) for uuid in correction.add}
        strangers = [email for email in correction.remove if email not in wanted]
        await _some_at_once(lambda email: self._shut_out(hot, email), strangers)
        await _some_at_once(lambda uuid: self._renew(hot, uuid), correction.add)
        if hot is self._hot:
            self._equal = True

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
            await self._keep(uuid, asked, deadline, writer)
        hot = self._hot
        if hot is None:
            raise NotPossible("Xray ended; the wish is kept")
        try:
            return await self._bring(hot, uuid)
        except HotApiError as error:
            self.suspicion.set()  # what became of the call is unknown
            raise NotPossible("Xray did not answer; the wish is kept") from error

    async def _keep(self, uuid: UUID, asked: Wish, deadline: float, writer: Writer | None) -> None:
        try:
            standing = await self._store.write(uuid, asked, writer, deadline)
        except TimeoutError as error:
            raise NotPossible("there was not time enough left") from error
        except StoreError as error:
            _log.error("store_refuses", reason=str(error))
            raise NotPossible("the store cannot be written") from error
        if standing != asked:
            raise Overtaken(standing.gen)

    async def _bring(self, hot: HotApi, uuid: UUID) -> bool:
        """Bring one user to the wish that stands; the caller holds his lock."""
        wish = self._store.wishes.get(uuid)
        if wish is not None and wish.present:
            return await hot.add(uuid)
        return await hot.remove(str(uuid))

    async def _shut_out(self, hot: HotApi, email: str) -> None:
        """Remove somebody whom the list showed too many."""
        try:
            uuid = UUID(email)
        except ValueError:
            uuid = None
        if uuid is None or str(uuid) != email:
            await hot.remove(email)
            return
        async with self._lock(uuid):
            await self._bring(hot, uuid)  # he may be wanted by now

    async def _renew(self, hot: HotApi, uuid: UUID) -> None:
        """Add somebody whom the list showed missing, or shadowed by another with his id."""
        async with self._lock(uuid):
            await hot.remove(str(uuid))
            await self._bring(hot, uuid)

    def _lock(self, uuid: UUID) -> asyncio.Lock:
        return self._locks.setdefault(uuid, asyncio.Lock())


async def _some_at_once(work: Callable[[Item], Awaitable[None]], items: Iterable[Item]) -> None:
    slots = asyncio.Semaphore(CORRECTIONS_AT_ONCE)

    async def one(item: Item) -> None:
        async with slots:
            await work(item)

    outcomes = await asyncio.gather(*(one(item) for item in items), return_exceptions=True)
    for outcome in outcomes:  # only now: every correction has had its turn
        if outcome is not None:
            raise outcome

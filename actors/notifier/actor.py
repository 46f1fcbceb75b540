"""NotifierActor: carries what waits in the outbox to people, at least once, in order for each.

A message is made from the rows of the moment it goes, so the latest state wins. Telegram's pace is
kept here, before it is asked: what is over it waits in the database, and holds up nobody else.
"""

import random
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import structlog

from actors.notifier.decisions import decide_notice, decide_order, decide_wait
from actors.notifier.pace import TELEGRAM, Pace, PaceLimits
from actors.notifier.ports import CannotReach, Carried, CarryLater, CarryOutcome, Courier
from actors.runtime.actor import AsyncioActor
from actors.runtime.messages import Tick
from storage.errors import StorageUnavailable
from storage.phases import NoticePhases
from storage.rows import OutboxRow

log = structlog.get_logger(__name__)

#: The kind of this actor's address.
NOTIFIER = "notifier"
#: Rows read at once; people served at once.
BATCH = 100
PEOPLE_AT_ONCE = 8
SCAN_INTERVAL_S = 1.0
#: A row is nobody else's for so long; Telegram's answer takes less, seconds.
BUSY_S = 30.0
#: A message that fails so often by a bug of ours is set aside.
BUG_TRIES = 3


class NotifierActor(AsyncioActor):
    """Tells people what changed."""

    mailbox_bound = 1_000

    def __init__(
        self,
        courier: Courier,
        phases: NoticePhases,
        source: random.Random,
        limits: PaceLimits = TELEGRAM,
    ) -> None:
        super().__init__()
        self.courier = courier
        self.phases = phases
        self.source = source
        self.pace = Pace(limits)
        self._listeners: set[int] = set()
        #: In hand when PostgreSQL went away, and what had become of them; None: not told.
        self._cut_off: dict[UUID, tuple[OutboxRow, CarryOutcome | None]] = {}

    async def prepare(self) -> None:
        """Look for work at once, then at every interval."""
        self.spawn(self._scan(), "scan")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        return {
            "people_being_told": len(self._listeners),
            "at_once": PEOPLE_AT_ONCE,
            "paused": self.pace.paused(self.clock.now()),
            "chats_remembered": self.pace.chats,
        }

    async def on_tick(self, message: Tick) -> None:
        """Serve people who have news and are not being served."""
        del message
        if self.pace.paused(self.clock.now()):
            return
        await self._take_up()
        # As they were before the read: of who is done meanwhile, the read may know old rows.
        busy = frozenset(self._listeners)
        rows = [row for row in await self.phases.due(BATCH) if row.listener not in busy]
        for theirs in decide_order(rows):
            if len(self._listeners) >= PEOPLE_AT_ONCE:
                return
            listener = theirs[0].listener
            self._listeners.add(listener)
            self.spawn(self._tell_all(listener, theirs), f"tell-{listener}", drains=True)

    async def _scan(self) -> None:
        resumed = False
        while True:
            try:
                if not resumed:
                    await self.phases.resume()
                    resumed = True
            except StorageUnavailable as outage:
                log.warning("notifier_waits", reason=str(outage))
            self.wake_self()
            await self.clock.sleep(SCAN_INTERVAL_S)

    async def _tell_all(self, listener: int, rows: list[OutboxRow]) -> None:
        """One person's messages, one after the other, until one has to wait."""
        try:
            for place, row in enumerate(rows):
                if self.pace.chat_wait_s(listener, self.clock.now()):
                    await self._spread(listener, rows[place:])
                    break
                if turn_s := self.pace.take(listener, self.clock.now()):
                    await self.clock.sleep(turn_s)
                if self.draining or self.pace.paused(self.clock.now()):
                    return
                if not await self._tell(row):
                    break
        except StorageUnavailable as outage:
            log.warning("notifier_waits", reason=str(outage))
            self.wake_self_soon()
            return
        finally:
            self._listeners.discard(listener)
        self.wake_self()

    async def _spread(self, listener: int, rows: list[OutboxRow]) -> None:
        """Let what is over the chat's pace wait, each for its turn, so that others are read."""
        wait_s = self.pace.chat_wait_s(listener, self.clock.now())
        for place, row in enumerate(rows):
            await self.phases.postpone(row, wait_s + place * self.pace.limits.chat_interval_s)

    async def _tell(self, row: OutboxRow) -> bool:
        outcome: CarryOutcome | None = None
        try:
            if not await self.phases.begin(row, BUSY_S):
                self.pace.give_back(row.listener)
                return True
            try:
                outcome = await self._carry(row)
            except StorageUnavailable:
                raise
            except Exception as bug:  # noqa: BLE001 - may hide in a text; none may silence others
                return await self._stumbled(row, bug)
            if outcome is None:
                await self.phases.drop(row)
                self.pace.give_back(row.listener)
                return True
            return await self._record(row, outcome)
        except StorageUnavailable:
            if outcome is None:
                self.pace.give_back(row.listener)
            self._cut_off[row.id] = row, outcome
            raise

    async def _take_up(self) -> None:
        """Go on with what an outage cut off, else it and all behind it would wait for `BUSY_S`.

        Raises:
            StorageUnavailable: it is not over; nothing new is begun before it is.
        """
        for row, outcome in list(self._cut_off.values()):
            if outcome is None:
                await self.phases.postpone(row, 0)
            else:  # nobody is told twice
                await self._record(row, outcome)
            self._cut_off.pop(row.id, None)

    async def _carry(self, row: OutboxRow) -> CarryOutcome | None:
        """What became of the message; None when there is nothing left to tell."""
        news = await self.phases.news(row)
        notice = decide_notice(news) if news is not None else None
        if notice is None:
            return None
        outcome = await self.courier.carry(notice)
        if isinstance(outcome, CarryLater) and outcome.after_s is not None:
            self.pace.flooded(row.listener, outcome.after_s, self.clock.now())
        return outcome

    async def _stumbled(self, row: OutboxRow, bug: Exception) -> bool:
        attempt = row.bugs + 1
        log.error("notice_failed", user_id=row.listener, attempt=attempt, exc_info=bug)
        if attempt >= BUG_TRIES:
            await self.phases.drop(row)
            return True
        await self.phases.stumbled(row, decide_wait(row.bugs, None, self.source.random()))
        return False

    async def _record(self, row: OutboxRow, outcome: CarryOutcome) -> bool:
        match outcome:
            case Carried(message_id=message_id):
                await self.phases.sent(row, message_id)
                return True
            case CarryLater(after_s=asked_s, reason=reason):
                wait = decide_wait(row.attempts, asked_s, self.source.random())
                log.warning("notice_postponed", user_id=row.listener, reason=reason, after_s=wait)
                await self.phases.postpone(row, wait)
                return False
            case CannotReach(reason=reason):
                log.info("user_unreachable", user_id=row.listener, reason=reason)
                await self.phases.cannot_reach(row)
                return False

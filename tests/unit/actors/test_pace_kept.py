"""NotifierActor on a clock that a test moves: the pace is kept, bugs are not floods."""

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast
from uuid import UUID

from actors.notifier.actor import BUG_TRIES, NotifierActor
from actors.notifier.ports import Carried, CarryLater, CarryOutcome, Notice
from storage.errors import StorageUnavailable
from storage.phases import NoticePhases
from storage.rows import OutboxRow, PersonalNews
from tests.clock import ManualClock, turn
from tests.puppets import Stage
from tests.unit.actors.rows import user

OWNER = 9_000_000


def row(number: int, listener: int, *, alert: bool = False) -> OutboxRow:
    """One message that waits."""
    return OutboxRow(
        id=UUID(int=number),
        kind="alert" if alert else "notify",
        user_id=None if alert else listener,
        payload={"owner": listener} if alert else {},
        version=1,
        attempts=0,
    )


class Outbox:
    """`NoticePhases` in memory, with the rules of its due rows, on the test's clock."""

    def __init__(self, clock: ManualClock, rows: list[OutboxRow]) -> None:
        self.clock = clock
        self.rows = {one.id: one for one in rows}
        self.next_at = dict.fromkeys(self.rows, 0.0)
        self.dropped: list[UUID] = []
        #: So many times it is away when a message is begun.
        self.away = 0

    async def resume(self) -> None:
        """Nothing was left."""

    async def due(self, limit: int) -> list[OutboxRow]:
        """What may be told: while one of a user waits, none of theirs is due."""
        now = self.clock.now()
        waiting = {self.rows[key].user_id for key, at in self.next_at.items() if at > now}
        found = [
            one
            for key, one in self.rows.items()
            if self.next_at[key] <= now and (one.user_id is None or one.user_id not in waiting)
        ]
        return found[:limit]

    async def begin(self, one: OutboxRow, busy_for_s: float) -> bool:
        """Count it."""
        if self.away:
            self.away -= 1
            raise StorageUnavailable("a connection was lost")
        if one.id not in self.rows:
            return False
        self.rows[one.id] = replace(self.rows[one.id], attempts=self.rows[one.id].attempts + 1)
        self.next_at[one.id] = self.clock.now() + busy_for_s
        return True

    async def news(self, one: OutboxRow) -> PersonalNews:
        """Something that is always told."""
        return PersonalNews(
            user=user(tg_id=one.listener), subscription=None, text_id="news-x", arguments={}
        )

    async def sent(self, one: OutboxRow, message_id: int) -> None:
        """It was told."""
        del message_id
        self._forget(one)

    async def drop(self, one: OutboxRow) -> None:
        """It is set aside."""
        self.dropped.append(one.id)
        self._forget(one)

    async def postpone(self, one: OutboxRow, after_s: float) -> None:
        """Not yet."""
        self.next_at[one.id] = self.clock.now() + after_s

    async def stumbled(self, one: OutboxRow, after_s: float) -> None:
        """Not yet, by our own fault."""
        self.rows[one.id] = replace(self.rows[one.id], bugs=self.rows[one.id].bugs + 1)
        await self.postpone(one, after_s)

    def _forget(self, one: OutboxRow) -> None:
        del self.rows[one.id], self.next_at[one.id]


class Telegram:
    """A courier that notes when each message came; `answers` come first."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.came: list[tuple[float, int]] = []
        self.answers: list[CarryOutcome | Exception] = []

    async def carry(self, notice: Notice) -> CarryOutcome:
        """Take it, or do as prepared."""
        self.came.append((self.clock.now(), notice.chat_id))
        answer = self.answers.pop(0) if self.answers else Carried(message_id=1)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def moments(self, chat_id: int) -> list[float]:
        """When messages for one chat came."""
        return [at for at, chat in self.came if chat == chat_id]


@asynccontextmanager
async def telling(rows: list[OutboxRow]) -> AsyncIterator[tuple[Stage, Outbox, Telegram]]:
    """A notifier with these rows to tell, its clock standing still."""
    stage = Stage()
    outbox, telegram = Outbox(stage.clock, rows), Telegram(stage.clock)
    actor = NotifierActor(
        telegram,
        cast("NoticePhases", outbox),
        random.Random(0),  # noqa: S311 - spreads retries
    )
    stage.play(actor, "notifier", bound=1_000)
    try:
        yield stage, outbox, telegram
    finally:
        actor.stop()
        await actor.wait_ended()
        assert stage.endings[0].error is None


async def quiet() -> None:
    """Until nothing more happens without time: far more turns than a message takes."""
    for _ in range(60):
        await turn()


async def run(stage: Stage, outbox: Outbox, seconds: float) -> float:
    """Let time pass from timer to timer until all is told; how long it took, at most `seconds`."""
    begun = stage.clock.now()
    await quiet()
    while outbox.rows and stage.clock.now() < begun + seconds:
        stage.clock.advance(max(0.0, min(stage.clock.delays, default=1.0)) + 1e-6)
        await quiet()
    return stage.clock.now() - begun


def most_within(moments: list[float], seconds: float) -> int:
    """How many came within any such span."""
    return max(sum(1 for at in moments if 0 <= at - first < seconds) for first in moments)


async def test_a_thousand_people_are_told_in_forty_seconds_and_not_faster() -> None:
    people = [row(number, number) for number in range(1, 1_001)]

    async with telling(people) as (stage, outbox, telegram):
        took = await run(stage, outbox, 60)

    assert Counter(chat for _, chat in telegram.came).total() == 1_000
    assert 39.9 <= took <= 40.1
    assert most_within([at for at, _ in telegram.came], 1.0) <= 26


async def test_a_chat_with_much_to_hear_holds_up_nobody() -> None:
    """300 messages for one person are read before those of 50 others."""
    much = [row(number, 7) for number in range(1, 301)]
    others = [row(1_000 + number, 1_000 + number) for number in range(50)]

    async with telling(much + others) as (stage, _outbox, telegram):
        await run(stage, _outbox, 5)

    assert sum(1 for _, chat in telegram.came if chat != 7) == 50
    assert most_within(telegram.moments(7), 3.0) <= 6


async def test_alerts_of_one_owner_wait_each_for_its_turn_and_hold_up_nobody() -> None:
    alerts = [row(number, OWNER, alert=True) for number in range(1, 151)]
    others = [row(1_000 + number, 1_000 + number) for number in range(50)]

    async with telling(alerts + others) as (stage, outbox, telegram):
        await run(stage, outbox, 8)

    assert sum(1 for _, chat in telegram.came if chat != OWNER) == 50
    assert len(telegram.moments(OWNER)) >= 8
    assert most_within(telegram.moments(OWNER), 3.0) <= 6


async def test_lost_connections_take_no_place_from_the_chat() -> None:
    """Nothing went to it: it is told as soon as the pauses between tries let it be."""
    async with telling([row(1, 7)]) as (stage, outbox, telegram):
        outbox.away = 5
        took = await run(stage, outbox, 60)

    assert len(telegram.moments(7)) == 1
    assert took < 2.0


async def test_owners_hear_first() -> None:
    waiting = [row(number, number) for number in range(1, 51)]

    async with telling([*waiting, row(99, OWNER, alert=True)]) as (stage, outbox, telegram):
        await run(stage, outbox, 10)

    assert telegram.came[0][1] == OWNER


async def test_floods_of_two_chats_hold_up_everybody_and_then_all_are_told() -> None:
    people = [row(number, number) for number in range(1, 31)]

    async with telling(people) as (stage, outbox, telegram):
        telegram.answers = [CarryLater(after_s=20.0, reason="flood limit")] * 2
        await run(stage, outbox, 60)

    start = telegram.came[0][0]
    assert len(telegram.came) == 32
    assert not [at for at, _ in telegram.came if start + 0.05 < at < start + 20.0]
    assert not outbox.rows


async def test_a_flood_of_one_chat_holds_up_that_chat_alone() -> None:
    async with telling([row(1, 1), row(2, 2)]) as (stage, outbox, telegram):
        telegram.answers = [CarryLater(after_s=20.0, reason="flood limit")]
        await run(stage, outbox, 60)

    assert telegram.moments(1)[1] - telegram.moments(1)[0] >= 20.0
    assert telegram.moments(2)[0] - telegram.moments(1)[0] < 1.0


async def test_floods_are_not_counted_as_bugs() -> None:
    floods: list[Any] = [CarryLater(after_s=2.0, reason="flood limit")] * 5
    bugs: list[Any] = [KeyError("a text")] * (BUG_TRIES - 1)

    async with telling([row(1, 1)]) as (stage, outbox, telegram):
        telegram.answers = floods + bugs
        await run(stage, outbox, 600)

    assert outbox.dropped == []
    assert len(telegram.came) == 5 + (BUG_TRIES - 1) + 1


async def test_what_fails_by_a_bug_again_and_again_is_set_aside() -> None:
    async with telling([row(1, 1)]) as (stage, outbox, telegram):
        telegram.answers = [KeyError("a text")] * 9
        await run(stage, outbox, 600)

    assert outbox.dropped == [UUID(int=1)]
    assert len(telegram.came) == BUG_TRIES

"""Rounds of work: all that is due is done once, and what failed holds up nothing else."""

import asyncio

import pytest

from actors.runtime.actor import AsyncioActor
from actors.runtime.rounds import AT_ONCE, BATCH, Rounds
from tests.clock import turn, until
from tests.puppets import Outage, Stage


class Desk:
    """What is due, and who works on it; everything works until told otherwise."""

    def __init__(self, stage: Stage, *due: int) -> None:
        self.due = list(due)
        self.done: list[int] = []
        self.failures: list[int] = []
        self.most = self.now = self.readings = 0
        self.rests: dict[int, float] = {}
        self.away: set[int] = set()
        self.blind = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.actor = AsyncioActor()
        stage.enter(self.actor, stage.mailbox())
        self.rounds = Rounds(self.actor, "errand", self._read, lambda item: item, self._work)

    async def round(self) -> None:
        """One round, to its end."""
        self.rounds.begin()
        await until(lambda: not self.actor.busy)

    async def _read(self, limit: int) -> list[int]:
        self.readings += 1
        if self.blind:
            raise Outage
        return self.due[:limit]

    async def _work(self, item: int, failures: int) -> float:
        self.now += 1
        self.most = max(self.most, self.now)
        await self.gate.wait()
        await turn()
        self.now -= 1
        if item in self.away:
            raise Outage
        self.failures.append(failures)
        self.done.append(item)
        if item in self.rests:
            return self.rests[item]
        self.due.remove(item)
        return 0.0


async def test_a_round_goes_on_until_nothing_is_due(stage: Stage) -> None:
    desk = Desk(stage, *range(1_000))
    await desk.round()
    assert sorted(desk.done) == list(range(1_000))
    assert desk.most == AT_ONCE


async def test_there_is_one_round_at_a_time(stage: Stage) -> None:
    desk = Desk(stage, 1)
    desk.gate.clear()
    desk.rounds.begin()
    await until(lambda: desk.now)

    desk.rounds.begin()
    await turn()
    desk.gate.set()
    await desk.round()

    assert desk.done == [1]


async def test_what_stays_due_is_left_alone_for_its_time_and_hides_nobody(stage: Stage) -> None:
    desk = Desk(stage, 1, 2)
    desk.rests[1] = 60.0
    await desk.round()
    desk.due.append(3)
    await desk.round()
    assert sorted(desk.done) == [1, 2, 3]

    stage.clock.advance(61.0)
    await desk.round()

    assert sorted(desk.done) == [1, 1, 2, 3]
    assert desk.failures[-1] == 1


async def test_so_many_that_rest_as_are_read_at_once_hide_nobody(stage: Stage) -> None:
    desk = Desk(stage, *range(BATCH))
    desk.rests = dict.fromkeys(range(BATCH), 60.0)
    await desk.round()
    desk.due.append(BATCH)

    await desk.round()

    assert desk.done[-1] == BATCH


async def test_failures_of_what_is_due_no_more_are_forgotten(stage: Stage) -> None:
    desk = Desk(stage, 1)
    desk.rests[1] = 60.0
    await desk.round()
    stage.clock.advance(61.0)
    desk.due.clear()
    await desk.round()
    assert desk.rounds.resting == {}


@pytest.mark.parametrize("blind", [True, False])
async def test_an_outage_ends_neither_the_actor_nor_the_next_round(
    stage: Stage, *, blind: bool
) -> None:
    desk = Desk(stage, 1, 2)
    desk.blind, desk.away = blind, {1}
    await desk.round()
    assert desk.done == ([] if blind else [2])
    assert stage.endings == []

    desk.blind, desk.away = False, set()
    await desk.round()

    assert sorted(desk.done) == [1, 2]


async def test_a_bug_in_the_work_ends_the_actor(stage: Stage) -> None:
    desk = Desk(stage, 1)
    desk.due = [1]
    desk.rests[1] = "not a number"  # type: ignore[assignment]  # the bug

    desk.rounds.begin()
    await until(lambda: stage.endings)

    assert isinstance(stage.endings[0].error, BaseException)

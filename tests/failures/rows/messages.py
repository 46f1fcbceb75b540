"""Messages that break whoever handles them, and a Telegram that takes none."""

import asyncio
import re
from pathlib import Path

from bot.sandbox import Fault, Person
from tests.failures.run import Run
from tests.failures.scenario import Setting, row
from tests.failures.till import PATIENCE_S, has_link
from tests.faults.convergence import FIRST, SECOND
from tests.faults.own_process import OwnProcessTown
from tests.integration.node_fixtures import eventually

#: Whose `/link` raises, and whose ends the process.
RAISES, KILLS = 9_001, 9_002
TRIES = 3
#: In the release that runs.
BUG = """
import os
from actors.user import actor

real = actor.UserActor.on_show_link


async def poisoned(self, message):
    if self.user_id == {kills}:
        os._exit(137)
    if self.user_id == {raises}:
        raise RuntimeError("poison")
    return await real(self, message)


actor.UserActor.on_show_link = poisoned
"""
SET_ASIDE = """
SELECT count(*) FROM inbox WHERE lane = $1 AND quarantined_at IS NOT NULL AND attempts >= $2
"""
LETTERS = "SELECT attempts FROM dead_letters ORDER BY actor"
DAY_S = 86_400
#: News that each of them waits for, in this order.
GIFTS = (1, 2, 3)
#: Calls of Telegram's that fail before it takes any again.
STRUCK = 8
WAITING = "SELECT count(*) FROM outbox WHERE state <> 'sent' AND kind = 'notify'"


@row(32, full=True, bound_s=15, setting=Setting(factor=1, trade=False, own_process=True))
async def poison_message(run: Run) -> None:
    """One person's wish raises in whoever handles it, another one's ends the whole process.

    Somebody starts the process again each time; others buy meanwhile.
    """
    town = run.town
    assert isinstance(town, OwnProcessTown)
    await town.close()
    town.program.bug = Path(town.settings.data_dir) / "bug.py"
    town.program.bug.write_text(BUG.format(raises=RAISES, kills=KILLS))
    await town.open()
    anna, boris = await town.newcomer(), await town.newcomer()
    async with run.fault():
        await town.sandbox.person(RAISES).say("/link")
        await town.until(SET_ASIDE, RAISES, 1)
        assert [letter["attempts"] for letter in await town.sql(LETTERS)] == [TRIES]
        buying = [asyncio.create_task(town.buy(anna, FIRST))]
        await town.sandbox.person(KILLS).say("/link")
        for _ in range(TRIES):
            assert await town.program.status() == 137
            run.met()
            await town.open()
        buying.append(asyncio.create_task(town.buy(boris, SECOND)))
    await town.until(SET_ASIDE, KILLS, TRIES)
    await asyncio.gather(*buying)
    await has_link(run, anna, boris)
    assert town.program.runs, "it was not to end any more"


@row(42, bound_s=90, setting=Setting(trade=False))
async def telegram_refuses(run: Run) -> None:
    """Telegram says that it is too much, then that it is broken; one person has blocked the bot.

    What is to be told waits and comes in order; `/link`, which brings a picture, is answered.
    """
    town = run.town
    people = [await town.newcomer() for _ in range(3)]
    for person in people:
        await town.buy(person, FIRST)
    await has_link(run, *people)
    await town.until(f"SELECT ({WAITING}) = 0")
    *others, blocking = people
    async with run.fault():
        blocking.block()
        before = len(town.sandbox.calls)
        town.sandbox.faults.next("sendMessage", Fault.status(429, retry_after_s=1), times=4)
        town.sandbox.faults.next("sendMessage", Fault.status(502), times=1_000)
        for days in GIFTS:
            for person in people:
                await town.grant(person, FIRST, days * DAY_S)
        seen = others[0].revision
        await others[0].say("/link")
        await others[0].wait_for(
            lambda m: m.photo is not None, timeout_s=PATIENCE_S, after=seen + 1
        )
        assert await town.value(WAITING) == len(GIFTS) * len(people), "nothing was told meanwhile"

        async def struck() -> bool:
            return _sent(run, before) >= STRUCK

        await eventually(struck)
        run.met(_sent(run, before))
        town.sandbox.faults.clear()
        blocking.unblock()
    for person in people:
        await _is_told_in_order(person)


def _sent(run: Run, before: int) -> int:
    return [call.method for call in list(run.town.sandbox.calls)[before:]].count("sendMessage")


async def _is_told_in_order(person: Person) -> None:
    """All gifts, in the order in which they were made; one that came twice counts once."""

    async def told() -> bool:
        return GIFTS[-1] in _gifts(person)

    await eventually(told)
    assert tuple(dict.fromkeys(_gifts(person))) == GIFTS


def _gifts(person: Person) -> list[int]:
    found = [re.search(r"(\d) days? ", message.text + " ") for message in person.messages]
    return [int(gift[1]) for gift in found if gift]

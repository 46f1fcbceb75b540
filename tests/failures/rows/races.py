"""Two things at once about one person's access: its end and its renewal, many wishes for a link."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias
from uuid import UUID, uuid4

from actors.payments.messages import credit_of
from actors.payments.ports import Charge
from actors.user.messages import (
    AccessExpired,
    CreditPayment,
    ExpireAccess,
    NotExpired,
    PaymentCredited,
    Reissue,
    ReissueStarted,
    ReissueTooOften,
    ReissueUnderWay,
)
from bot.sandbox import Person
from tests.failures.cells import NO, NOT_APPLICABLE
from tests.failures.run import Run, fired, pause
from tests.failures.scenario import Setting, row
from tests.failures.till import SERVED, has_link, pay_unheard
from tests.faults.convergence import FIRST, PRICE_STARS
from tests.faults.proxy import Fault, Hold, HoldAnswer, Rule
from tests.integration.node_fixtures import eventually

AT_ONCE = 50
#: New links in a day, and the most that one person may have at any time.
A_DAY, MOST = 3, 2
DAY_S = 86_400

PRESENT = """
SELECT c.uuid FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE s.user_id = $1 AND c.desired = 'present'
"""
EVER = """
SELECT c.uuid FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE s.user_id = $1
"""
ONE = """
SELECT count(*) = 1 FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE s.user_id = $1 AND (c.desired = 'present' OR c.applied_gen < c.gen)
"""

#: Nobody's time ends but when a scenario says so.
BY_HAND = """
[expiry]
enabled = "off"
"""
HOUR_S = 3_600

#: Waits until all are where they should be when time is over, and it is.
Over: TypeAlias = Callable[[], Awaitable[None]]


@row(14, bound_s=2, cb=NOT_APPLICABLE, setting=Setting(factor=1, trade=False, toml=BY_HAND))
async def expiry_and_renewal(run: Run) -> None:
    """People's time ends while they renew, or get a new link, at eight points of the way.

    A request, or the node's answer to it, is held just there until the other thing has happened.
    """
    town = run.town
    points = (
        renewed_first,
        renewed_while_the_removal_is_on_its_way,
        renewed_while_its_answer_is_on_its_way,
        renewed_and_ended_at_once,
        ended_and_renewed_at_once,
    )
    adds = (
        ended_while_an_add_is_on_its_way,
        ended_while_its_answer_is_on_its_way,
        ended_during_an_add_and_renewed,
    )
    people = [await town.newcomer() for _ in (*points, *adds)]
    for person in people:
        await town.grant(person, FIRST, HOUR_S)
    await has_link(run, *people)
    keys = [await _key(run, person) for person in people]
    ready = asyncio.Barrier(len(people) + 1)

    async def over() -> None:
        await ready.wait()
        await ready.wait()

    async with run.fault():
        faults: tuple[Fault, ...] = (Hold(), HoldAnswer(), Hold())
        held = [
            await _held_add(run, person, fault)
            for person, fault in zip(people[len(points) :], faults, strict=True)
        ]
        async with asyncio.TaskGroup() as group:
            for point, person, key in zip(points, people, keys, strict=False):
                group.create_task(point(run, person, key, over))
            for add, person, rule in zip(adds, people[len(points) :], held, strict=True):
                group.create_task(add(run, person, rule, over))
            await ready.wait()
            await run.pass_time(HOUR_S + 1)
            await ready.wait()
        run.met(len(people))


async def renewed_first(run: Run, person: Person, key: UUID, over: Over) -> None:
    await run.town.buy(person, FIRST)
    await over()
    assert isinstance(await run.town.ask(person.id, _end()), NotExpired)
    assert await _key(run, person) == key


async def renewed_while_the_removal_is_on_its_way(
    run: Run, person: Person, key: UUID, over: Over
) -> None:
    """It arrives when access is back."""
    proxy = run.first.proxy
    await over()
    rule = proxy.add(Rule(Hold(), methods=("DELETE",), uuid=key, times=1))
    await _ends(run, person)
    await fired(rule)
    await run.town.buy(person, FIRST)
    await run.town.until(SERVED, person.id)
    proxy.lift(rule)
    assert await _key(run, person) == key, "the saved link works again"


async def renewed_while_its_answer_is_on_its_way(
    run: Run, person: Person, key: UUID, over: Over
) -> None:
    """The node has shut them out, and its word comes when the rows want them in again."""
    proxy, renewal = run.first.proxy, await _paid_unheard(run, person)
    await over()
    rule = proxy.add(Rule(HoldAnswer(), methods=("DELETE",), uuid=key, times=1))
    await _ends(run, person)

    async def gone() -> bool:
        listed = await run.first.listed()
        return listed is not None and key not in {uuid for uuid, _ in listed}

    await eventually(gone)
    assert isinstance(await run.town.ask(person.id, renewal), PaymentCredited)
    proxy.lift(rule)


async def renewed_and_ended_at_once(run: Run, person: Person, key: UUID, over: Over) -> None:
    ask, renewal = run.town.ask, await _paid_unheard(run, person)
    await over()
    answers = await asyncio.gather(ask(person.id, renewal), ask(person.id, _end()))
    assert [type(answer) for answer in answers] == [PaymentCredited, NotExpired]
    assert await _key(run, person) == key


async def ended_and_renewed_at_once(run: Run, person: Person, key: UUID, over: Over) -> None:
    ask, renewal = run.town.ask, await _paid_unheard(run, person)
    await over()
    answers = await asyncio.gather(ask(person.id, _end()), ask(person.id, renewal))
    assert [type(answer) for answer in answers] == [AccessExpired, PaymentCredited]
    assert await _key(run, person) == key


async def ended_while_an_add_is_on_its_way(
    run: Run, person: Person, rule: Rule, over: Over
) -> None:
    """It arrives when nobody is to be let in by it."""
    await over()
    await _ends(run, person)
    run.first.proxy.lift(rule)


async def ended_while_its_answer_is_on_its_way(
    run: Run, person: Person, rule: Rule, over: Over
) -> None:
    """The node has let them in, and its word comes when nobody is to be."""
    await over()
    await _ends(run, person)
    run.first.proxy.lift(rule)


async def ended_during_an_add_and_renewed(run: Run, person: Person, rule: Rule, over: Over) -> None:
    await over()
    await _ends(run, person)
    await run.town.buy(person, FIRST)
    run.first.proxy.lift(rule)


def _end() -> ExpireAccess:
    return ExpireAccess(operation_id=uuid4().hex)


async def _ends(run: Run, person: Person) -> None:
    assert isinstance(await run.town.ask(person.id, _end()), AccessExpired)


async def _key(run: Run, person: Person) -> UUID:
    """The only one that opens."""
    ((key,),) = await run.town.sql(PRESENT, person.id)
    assert isinstance(key, UUID)
    return key


async def _held_add(run: Run, person: Person, fault: Fault) -> Rule:
    """A new link is asked for, and its add is held on the way."""
    (old,) = {row["uuid"] for row in await run.town.sql(PRESENT, person.id)}
    rule = run.first.proxy.add(Rule(fault, methods=("PUT",)))
    wish = Reissue(operation_id=uuid4().hex, leaked=False)
    assert isinstance(await run.town.ask(person.id, wish), ReissueStarted)
    await fired(rule)
    (rule.uuid,) = {row["uuid"] for row in await run.town.sql(PRESENT, person.id)} - {old}
    return rule


async def _paid_unheard(run: Run, person: Person) -> CreditPayment:
    """Somebody pays, and what tells of it is in our hand."""
    charge, update = await pay_unheard(run, person, FIRST)
    claim = run.town.signer.verify(update["message"]["successful_payment"]["invoice_payload"])
    assert claim is not None
    return credit_of(
        "stars",
        Charge(
            provider_payment_id=charge,
            user_id=person.id,
            purchase_id=claim.purchase_id,
            amount=PRICE_STARS,
            currency="XTR",
            body="",
        ),
    )


@row(15, bound_s=2, dx=NO, cb=NOT_APPLICABLE, setting=Setting(factor=1, trade=False))
async def reissue_race(run: Run) -> None:
    """Fifty wishes for a new link at once, as often as a day allows, and once more; then a day on.

    Each time the add is held until all have been answered.
    """
    town = run.town
    person = await town.newcomer()
    await town.buy(person, FIRST)
    await has_link(run, person)
    most: list[int] = [0]
    async with run.fault(), _watched(run, person, most):
        for _ in range(A_DAY):
            await _reissued_by_one(run, person)
        assert set(await _wishes(run, person)) == {ReissueTooOften}
        await run.pass_time(DAY_S)
        await _reissued_by_one(run, person)
    assert len(await town.sql(EVER, person.id)) == 1 + A_DAY + 1
    assert most == [MOST], "two at any time, and never more"


async def _reissued_by_one(run: Run, person: Person) -> None:
    """One wish of many makes a link; the others hear that it is being made.

    A chat is told one thing a second: what came before has been told.
    """
    await eventually(run.all_told)
    rule = run.first.proxy.add(Rule(Hold(), methods=("PUT",)))
    answers = await _wishes(run, person)
    await fired(rule)
    run.first.proxy.lift(rule)
    run.met(len(answers))
    assert sorted(answers, key=str) == [ReissueStarted] + [ReissueUnderWay] * (AT_ONCE - 1)
    await run.town.until(ONE, person.id)


async def _wishes(run: Run, person: Person) -> list[type]:
    wishes = [Reissue(operation_id=uuid4().hex, leaked=False) for _ in range(AT_ONCE)]
    answers = await asyncio.gather(*(run.town.ask(person.id, wish) for wish in wishes))
    return [type(answer) for answer in answers]


@asynccontextmanager
async def _watched(run: Run, person: Person, most: list[int]) -> AsyncIterator[None]:
    """Look again and again how many keys somebody has, by the rows and on the node."""

    async def look() -> None:
        while True:
            wanted = {row["uuid"] for row in await run.town.sql(PRESENT, person.id)}
            listed = {uuid for uuid, _ in await run.first.listed() or ()}
            most[0] = max(most[0], len(wanted), len(listed))
            await pause(0.02)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking

"""Money that does not fit, comes late, goes back, or is decided about by two at once."""

import asyncio
import re

from actors.user.messages import RefundedBefore, RefundPayment, RefundStarted
from bot.sandbox import Fault as TelegramFault
from bot.sandbox import Person
from tests.failures.money import Charge, Fate
from tests.failures.run import Run
from tests.failures.scenario import Setting, row
from tests.failures.till import (
    PATIENCE_S,
    button,
    data_of,
    has_link,
    order,
    order_coins,
    pay_unheard,
    tap,
)
from tests.faults.convergence import FIRST, OWNER, SECOND
from tests.integration.node_fixtures import eventually

DAY_S = 86_400
#: Days pass by moved rows while the fault lasts; what is left after it is no more than an outage.
HEALED_S = 90.0
OTHER_OWNER = 1005
#: Orders about which two owners decide at once.
DECISIONS = 8
#: Calls for a refund that never get there before the one whose answer is lost.
LOST = 1

STATUS = "SELECT status = $2 FROM purchases WHERE user_id = $1 ORDER BY created_at DESC LIMIT 1"
LATE = "SELECT count(*) FROM payments WHERE late AND disposition = 'credited'"
DISPOSITION = """
SELECT count(*) FROM payments WHERE disposition = $1 AND provider || ':' || provider_payment_id = $2
"""
DECIDED_BY = "SELECT decided_by, status FROM purchases WHERE user_id = $1"
ATTEMPTS = "SELECT sum(refund_attempts) FROM payments"


@row(28, full=True, bound_s=HEALED_S, setting=Setting(trade=False, more_ways=True))
async def late_payment(run: Run) -> None:
    """People pay an order that they cancelled, that is too old, or whose plan has another price."""
    town = run.town
    anna, boris, third, fourth = [await town.newcomer() for _ in range(4)]
    cancelled = await order_coins(run, anna, FIRST)
    await tap(anna, "order:cancel:")
    await town.until(STATUS, anna.id, "cancelled")
    old, dear = await order_coins(run, boris, FIRST), await order_coins(run, fourth, SECOND)
    stars = await town.order(third, SECOND)
    async with run.fault():
        await run.pass_time(2 * DAY_S)
        for person in (boris, third, fourth):
            await town.until(STATUS, person.id, "expired")
        late: list[Charge] = [("cryptopay", str(cancelled)), ("cryptopay", str(old))]
        for number in (cancelled, old):
            assert await town.coins.pay(number) == [200]
        late.append(("stars", town.sandbox.charge(third.id, town.invoice(third, stars))))
        await has_link(run, anna, boris, third)
        assert await town.value(LATE) == len(late)

        plans = town.settings.plans_file
        text = plans.read_text()
        await town.close()
        plans.write_text(text.replace('USDT = "2.5"', 'USDT = "3"'))
        await town.open()
        assert await town.coins.pay(dear) == [200]
        run.met(len(late) + 1)
    run.fates |= dict.fromkeys(late, Fate.CREDITED)
    run.fates["cryptopay", str(dear)] = Fate.GIVEN_BACK


@row(29, full=True, bound_s=HEALED_S, setting=Setting(trade=False, more_ways=True))
async def wrong_money(run: Run) -> None:
    """Too little, another currency, another payer: it is held, owners hear of it, and a day passes.

    What is more than the price counts as the price, and owners hear of that too.
    """
    town = run.town
    people = [await town.newcomer() for _ in range(4)]
    little, other, much = [await order_coins(run, person, FIRST) for person in people[:3]]
    invoices = town.coins.invoices
    invoices[little]["amount"] = "2.49"
    invoices[other]["asset"] = "TON"
    invoices[much]["amount"] = "25"
    theirs = town.invoice(people[3], await town.order(people[3], SECOND))
    boris = await town.newcomer()
    async with run.fault():
        for number in (little, other, much):
            assert await town.coins.pay(number) == [200]
        charge = town.sandbox.charge(boris.id, theirs)
        wrong = [("cryptopay", str(little)), ("cryptopay", str(other)), ("stars", charge)]
        run.fates |= dict.fromkeys(wrong, Fate.HELD)
        run.fates["cryptopay", str(much)] = Fate.CREDITED
        await has_link(run, people[2])
        await eventually(lambda: _is_as_said(run))
        owner = town.sandbox.person(OWNER)
        await owner.wait_for("more than the price", timeout_s=PATIENCE_S)
        run.met(len(run.fates))
        await run.pass_time(DAY_S)
    run.fates |= dict.fromkeys(wrong, Fate.GIVEN_BACK)


async def _is_as_said(run: Run) -> bool:
    return not (await run.books()).wrong


@row(30, full=True, bound_s=90, setting=Setting(factor=1, trade=False, more_ways=True))
async def refund_call_times_out(run: Run) -> None:
    """A call for a refund never gets there, and of the next one the answer is lost."""
    town = run.town
    anna, boris = await town.newcomer(), await town.newcomer()
    invoice = await order_coins(run, anna, FIRST)
    await town.coins.pay(invoice)
    charge, update = await pay_unheard(run, boris, SECOND)
    town.sandbox.redeliver(update)
    await has_link(run, anna, boris)
    for faults, method in (
        (town.sandbox.faults, "refundStarPayment"),
        (town.coins.faults, "transfer"),
    ):
        faults.next(method, TelegramFault.drop(), times=LOST)
        faults.next(method, TelegramFault.reply_lost())
    back: list[tuple[Person, Charge]] = [
        (anna, ("cryptopay", str(invoice))),
        (boris, ("stars", charge)),
    ]
    async with run.fault():
        for person, (provider, number) in back:
            wish = RefundPayment(
                operation_id=f"back:{number}"[:16],
                provider=provider,
                provider_payment_id=number,
                who=f"tg:{OWNER}",
                reason="asked for",
            )
            # An answer that did not come in time was one all the same.
            assert isinstance(await town.ask(person.id, wish), RefundStarted | RefundedBefore)

        async def lost() -> bool:
            return min(_calls(run, "refundStarPayment"), _calls(run, "transfer")) > LOST

        await eventually(lost)
        run.met(2 * (LOST + 1))
    run.fates |= dict.fromkeys((found for _, found in back), Fate.GIVEN_BACK)


def _calls(run: Run, method: str) -> int:
    coins = [name for name, _ in run.town.coins.calls]
    return [*coins, *(call.method for call in run.town.sandbox.calls)].count(method)


@row(
    31,
    bound_s=0,
    setting=Setting(factor=1, trade=False, more_ways=True, owners=(OWNER, OTHER_OWNER)),
)
async def two_admins(run: Run) -> None:
    """One owner approves and the other rejects at the same moment: the first counts for both."""
    town = run.town
    people = [await town.newcomer() for _ in range(DECISIONS)]
    owners = [town.sandbox.person(OWNER), town.sandbox.person(OTHER_OWNER)]
    for person in people:
        await order(person, FIRST, "manual")
        await tap(person, "order:paid:")
    async with run.fault():
        for person in people:
            await _decided_by_two(run, person, run.random.sample(owners, 2))
            run.met()
        approved = [p for p in people if (await town.sql(DECIDED_BY, p.id))[0]["status"] == "paid"]
        await has_link(run, *approved)


async def _decided_by_two(run: Run, buyer: Person, owners: list[Person]) -> None:
    """The first of the two approves, the other one rejects; both hear whose word counts."""
    asked = [
        await owner.wait_for(
            lambda m: str(buyer.id) in m.text and button("manual:")(m), timeout_s=PATIENCE_S
        )
        for owner in owners
    ]
    words = ("manual:approve", "manual:reject")
    barrier = asyncio.Barrier(len(owners))

    async def tapped(owner: Person, place: int) -> str:
        await barrier.wait()
        await owner.tap(asked[place], data_of(asked[place], words[place]))
        said = await owner.wait_for(
            lambda m: m.id == asked[place].id and not button("manual:")(m), timeout_s=PATIENCE_S
        )
        return said.text

    said = await asyncio.gather(*(tapped(owner, place) for place, owner in enumerate(owners)))
    ((who, status),) = await run.town.sql(DECIDED_BY, buyer.id)
    first = [f"telegram:{owner.id}" for owner in owners].index(who)
    assert status == ("paid", "rejected")[first]
    assert re.search(("^✓ Approved:", "^✗ Rejected:")[first], said[first]), said
    assert re.search(("Approved before", "Rejected before")[first], said[1 - first]), said

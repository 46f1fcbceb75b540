"""What providers say of a payment: twice, late, never, or somebody else in their name."""

import asyncio

from bot.sandbox.crypto_pay import SIGNATURE_HEADER, PushFault, sign
from bot.sandbox.webhook import SECRET_HEADER
from tests.failures.cells import NO
from tests.failures.money import Fate
from tests.failures.run import Run
from tests.failures.scenario import Setting, row
from tests.failures.till import (
    UNDONE,
    Caller,
    dated,
    has_link,
    order_coins,
    pay_unheard,
    word_of_telegram,
)
from tests.faults.convergence import FIRST, SECOND
from tests.integration.node_fixtures import eventually

COPIES = 100
DAY_S = 86_400
#: Refusals of one address in a minute, and then it is not listened to (design: rate-limited).
PATIENCE_WITH_FORGERS = 30

PUSHED = "SELECT count(*) FROM inbox WHERE source = 'cryptopay'"
TOLD = "SELECT count(*) FROM inbox WHERE source LIKE 'telegram:%' AND payload LIKE $1"
RECORDED = "SELECT count(*) FROM payments"
PAID_ORDERS = "SELECT count(*) FROM purchases WHERE status = 'paid' AND user_id = $1"
OPEN_ORDERS = "SELECT count(*) FROM purchases WHERE status = 'awaiting_payment' AND user_id = $1"


@row(
    12,
    bound_s=0,
    dx=NO,
    setting=Setting(factor=1, trade=False, called=True, more_ways=True),
    quick=True,
)
async def duplicate_webhook(run: Run) -> None:
    """Crypto Pay's call and Telegram's come a hundred times at once, and again when all is done."""
    town, caller = run.town, Caller(run)
    anna, boris = await town.newcomer(), await town.newcomer()
    invoice = await order_coins(run, anna, FIRST)
    town.coins.next_push(PushFault.SWALLOW)
    await town.coins.pay(invoice)
    push = town.coins.signed_push(invoice)
    charge, update = await pay_unheard(run, boris, SECOND)
    word = word_of_telegram(update)
    async with run.fault():
        for _ in ("at once", "again"):
            calls = [
                call for _ in range(COPIES) for call in (caller.push(*push), caller.update(*word))
            ]
            answers = await asyncio.gather(*calls)
            assert answers == [200] * len(calls), "each was to be taken, or it would come for ever"
            run.met(len(calls))
            await has_link(run, anna, boris)
        assert await town.value(PUSHED) == 1, "one of them was to be kept"
        assert await town.value(TOLD, f"%{charge}%") == 1, "one of them was to be kept"
    run.fates |= {("cryptopay", str(invoice)): Fate.CREDITED, ("stars", charge): Fate.CREDITED}


@row(
    13,
    full=True,
    bound_s=0,
    dx=NO,
    setting=Setting(factor=1, trade=False, called=True, more_ways=True),
)
async def payment_replay(run: Run) -> None:
    """What was credited is told again a day later, in four ways, and for other orders.

    Days later once more, when the inbox has forgotten it: then the charge's number stands alone.
    """
    town, caller = run.town, Caller(run)
    anna, boris, third = [await town.newcomer() for _ in range(3)]
    invoice, other = await order_coins(run, anna, FIRST), await order_coins(run, boris, FIRST)
    await town.coins.pay(invoice)
    second = await order_coins(run, anna, SECOND)
    body, headers = town.coins.signed_push(invoice)
    charge, update = await pay_unheard(run, third, FIRST)
    word = word_of_telegram(update)
    assert await caller.update(*word) == 200
    await has_link(run, anna, third)
    async with run.fault():
        await run.pass_time(DAY_S)
        again = [await caller.push(body, headers), await caller.push(*dated(run, body, 1))]
        assert again == [200, 200]
        assert await caller.push(*dated(run, body, -DAY_S)) == 401, "as old as it says"
        assert await caller.update(*word) == 200
        own = dict(town.coins.invoices[invoice])
        for purchase in (second, other):
            town.coins.invoices[invoice]["payload"] = town.coins.invoices[purchase]["payload"]
            assert await town.coins.push(invoice) == [200]
        town.coins.invoices[invoice] = own
        await town.until(UNDONE)
        assert await town.value(PUSHED) >= 4, "each was to be worked on anew"

        await run.pass_time(3 * DAY_S)
        await town.close()
        await town.open()
        await town.until(f"SELECT ({PUSHED}) = 0")  # forgotten, at its start
        assert await caller.push(body, headers) == 200
        assert await caller.update(*word) == 200
        await town.until(UNDONE)
        assert await town.value(PUSHED) == 1
        run.met(8)
    assert await town.value(PAID_ORDERS, boris.id) == 0, "it was paid once"
    assert await town.value(PAID_ORDERS, anna.id) == 1, "it was paid once"
    run.fates |= {("cryptopay", str(invoice)): Fate.CREDITED, ("stars", charge): Fate.CREDITED}


@row(26, full=True, bound_s=60, setting=Setting(factor=5, more_ways=True))
async def push_never_arrives(run: Run) -> None:
    """Both providers' words are lost, each just after their lists were read: the longest wait."""
    town = run.town
    anna, boris = await town.newcomer(), await town.newcomer()
    invoice = await order_coins(run, anna, FIRST)
    lost: list[tuple[str, str]] = []

    async def pay_coins() -> None:
        await _read_again(run, "getInvoices")
        town.coins.next_push(PushFault.SWALLOW)
        assert await town.coins.pay(invoice) == []
        lost.append(("cryptopay", str(invoice)))

    async def pay_stars() -> None:
        await _read_again(run, "getStarTransactions")
        lost.append(("stars", (await pay_unheard(run, boris, SECOND))[0]))

    async with run.fault():
        for pay in run.random.sample([pay_coins, pay_stars], 2):
            await pay()
            run.met()
    run.fates |= dict.fromkeys(lost, Fate.CREDITED)


async def _read_again(run: Run, method: str) -> None:
    """Until a provider's list is read once more."""

    def reads() -> int:
        coins = [name for name, _ in run.town.coins.calls]
        return [*coins, *(call.method for call in run.town.sandbox.calls)].count(method)

    before = reads()

    async def read() -> bool:
        return reads() > before

    await eventually(read)


@row(27, bound_s=0, setting=Setting(trade=False, called=True, more_ways=True), quick=True)
async def forged_push(run: Run) -> None:
    """Somebody calls in the providers' names, without their secrets, until nobody listens.

    Of another address come a signed call about an order that is not ours, and a payment.
    """
    town, forger = run.town, Caller(run, "127.0.0.2")
    anna, boris = await town.newcomer(), await town.newcomer()
    invoice = await order_coins(run, anna, FIRST)
    body, headers = town.coins.signed_push(invoice)
    paid = body.replace(b'"status": "active"', b'"status": "paid"')
    assert paid != body
    charge, update = await pay_unheard(run, boris, SECOND)
    before = await town.value(RECORDED), await town.value(PUSHED)
    async with run.fault():
        forged = [
            await forger.push(paid, headers),
            await forger.push(paid, {}),
            await forger.push(paid, {SIGNATURE_HEADER: sign("4243:another", paid)}),
            await forger.push(b'{"not": "JSON', {SIGNATURE_HEADER: "0" * 64}),
            await forger.update(*word_of_telegram(update, "a guess")),
            await forger.update(b'{"not": "JSON', {SECRET_HEADER: ""}),
        ]
        assert forged == [401] * len(forged), "what it says was not to be read"
        more = [await forger.push(paid, {}) for _ in range(PATIENCE_WITH_FORGERS)]
        assert set(more[PATIENCE_WITH_FORGERS - len(forged) :]) == {429}
        run.met(len(forged) + len(more))
        assert (await town.value(RECORDED), await town.value(PUSHED)) == before

        stranger = dated(run, paid, 1, payload={"invoice_id": 1, "status": "paid", "payload": "x"})
        assert await Caller(run, "127.0.0.3").push(*stranger) == 200
        await town.until(UNDONE)
        assert await town.value(RECORDED) == before[0]
        assert await town.value(OPEN_ORDERS, anna.id) == 1
        assert await Caller(run).update(*word_of_telegram(update)) == 200
        await has_link(run, boris)
    run.fates["stars", charge] = Fate.CREDITED

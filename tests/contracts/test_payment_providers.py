"""What every way to pay promises. All of them pass this one suite, each against its double."""

import logging
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from actors.payments.ports import (
    Charge,
    GiveBackByHand,
    GiveBackLater,
    GivenBack,
    ProviderUnavailable,
    ReturnedCharge,
)
from bot.gateways.payload import InvoiceClaim
from bot.sandbox import ANNA_ID
from config.money import EXPONENTS
from config.providers import RefundWay
from tests.contracts.payment_providers import (
    ORDER_ID,
    PROVIDERS,
    Fault,
    Provider,
    order,
    refund_of,
)

CLAIM = InvoiceClaim(purchase_id=ORDER_ID, user_id=ANNA_ID, plan_id="month")


@pytest.fixture(params=list(PROVIDERS))
async def provider(request: pytest.FixtureRequest) -> AsyncIterator[Provider]:
    async with cast("Any", PROVIDERS[request.param])() as ready:
        yield ready


async def listed(provider: Provider) -> list[Charge | ReturnedCharge]:
    found: list[Charge | ReturnedCharge] = []
    cursor, more = None, True
    while more:
        page = await provider.gateway.charges(cursor)
        found += page.found
        cursor, more = page.cursor, page.more
    return found


def to_pay(provider: Provider) -> Any:
    return order(provider.price, provider.gateway.terms.currency)


async def paid(provider: Provider) -> Charge:
    charge = await provider.pay(await provider.gateway.offer(to_pay(provider)))
    assert charge is not None
    return charge


def test_its_terms_are_whole(provider: Provider) -> None:
    terms = provider.gateway.terms
    assert terms.provider == provider.name
    assert terms.currency in EXPONENTS
    assert terms.lists_charges is (provider.lists is not None)
    assert (terms.refund is RefundWay.BY_API) is (provider.gives_back is not None)
    assert 60 <= terms.open_for_s <= 31 * 86_400


async def test_an_offer_made_twice_names_the_one_order_and_no_other(provider: Provider) -> None:
    for _ in range(2):
        named = provider.orders_in(await provider.gateway.offer(to_pay(provider)))
        assert named
        assert set(named) <= {CLAIM, ORDER_ID}


async def test_a_charge_is_read_with_amount_currency_payer_and_order(provider: Provider) -> None:
    charge = await paid(provider)

    assert (charge.amount, charge.currency) == (provider.price, provider.gateway.terms.currency)
    assert (charge.user_id, charge.purchase_id) == (ANNA_ID, ORDER_ID)


async def test_a_payload_that_we_did_not_sign_names_no_order(provider: Provider) -> None:
    if provider.name == "manual":
        pytest.skip("an order by hand has no payload: its buttons ask for the owner of the order")

    heard = await provider.pay(await provider.forger.offer(to_pay(provider)))

    charges = [one for one in await listed(provider) if isinstance(one, Charge)]
    assert [one.purchase_id for one in (*charges, heard) if one] in ([], [None], [None, None])


async def test_the_list_finds_a_charge_that_nobody_heard_of(provider: Provider) -> None:
    await provider.pay(await provider.gateway.offer(to_pay(provider)), heard=False)

    found = await listed(provider)

    if provider.lists is None:
        assert (found, provider.gateway.terms.lists_charges) == ([], False)
        return
    [charge] = found
    assert isinstance(charge, Charge)
    assert (charge.amount, charge.currency) == (provider.price, provider.gateway.terms.currency)
    assert (charge.user_id, charge.purchase_id) == (ANNA_ID, ORDER_ID)


async def test_the_list_and_the_live_path_name_a_charge_alike(provider: Provider) -> None:
    heard = await paid(provider)

    for charge in await listed(provider):
        assert charge.provider_payment_id == heard.provider_payment_id


async def test_money_goes_back_once_however_often_the_answer_is_lost(provider: Provider) -> None:
    back = refund_of(provider.name, await paid(provider))

    if provider.gives_back is None:
        outcome = await provider.gateway.give_back(back)
        assert isinstance(outcome, GiveBackByHand)
        assert outcome.reason
        return
    provider.trouble(provider.gives_back, Fault.reply_lost())
    assert isinstance(await provider.gateway.give_back(back), GiveBackLater)
    assert await provider.gateway.give_back(back) == GivenBack()
    assert await provider.gateway.give_back(back) == GivenBack()
    assert provider.given_back() == 1


@pytest.mark.parametrize("fault", [Fault.status(502), Fault.status(429, retry_after_s=7)])
async def test_an_outage_is_waited_out_and_tells_no_secret(
    provider: Provider, fault: Any, caplog: pytest.LogCaptureFixture, capsys: Any
) -> None:
    if provider.lists is None or provider.gives_back is None:
        pytest.skip("it makes no calls of its own")
    caplog.set_level(logging.DEBUG)
    back = refund_of(provider.name, await paid(provider))

    provider.trouble(provider.lists, fault)
    with pytest.raises(ProviderUnavailable) as unavailable:
        await provider.gateway.charges(None)
    provider.trouble(provider.gives_back, fault)
    later = await provider.gateway.give_back(back)
    provider.trouble(provider.lists, Fault.drop())
    with pytest.raises(ProviderUnavailable) as dropped:
        await provider.gateway.charges(None)

    assert isinstance(later, GiveBackLater)
    told = f"{unavailable.getrepr()}{dropped.getrepr()}{later}{caplog.text}{capsys.readouterr()}"
    assert not [secret for secret in provider.secrets if secret in told]

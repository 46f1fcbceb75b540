"""The token reaches one host; a call is never made in a transaction; refusals say what to do."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from actors.payments.ports import GiveBackByHand, GiveBackLater, ProviderUnavailable
from bot.gateways.crypto_pay.client import TOKEN_HEADER, CryptoPayClient
from bot.gateways.crypto_pay.gateway import CryptoPayGateway
from bot.sandbox.crypto_pay import CryptoPayDouble
from tests.contracts.payment_providers import SIGNER, CryptoPay, Fault, crypto, order, refund_of


@pytest.fixture
async def shop() -> AsyncIterator[CryptoPay]:
    async with crypto("RUB", 19_900) as provider:
        assert isinstance(provider, CryptoPay)
        yield provider


async def test_the_token_reaches_no_other_host() -> None:
    seen: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.Response:
        seen.append(request.headers.get(TOKEN_HEADER))
        return web.json_response({"ok": True, "result": []})

    other = web.Application()
    other.router.add_route("*", "/{all:.*}", elsewhere)
    async with TestServer(other) as stranger:

        async def away(_: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(str(stranger.make_url("/api/getInvoices")))

        app = web.Application()
        app.router.add_route("*", "/{all:.*}", away)
        async with TestServer(app) as server:
            client = CryptoPayClient(str(server.make_url("/")), "4242:canary", lambda: None)
            with pytest.raises(ProviderUnavailable, match="not followed"):
                await client.paid_invoices(0, 1)
            await client.close()
    assert seen == []


async def test_a_wrong_token_is_shown_once_and_to_nobody_else(shop: CryptoPay) -> None:
    base = shop.client._base
    client = CryptoPayClient(base, "4243:canary", lambda: None)
    gateway = CryptoPayGateway(client, "4243:canary", "USDT", SIGNER)

    with pytest.raises(ProviderUnavailable, match="UNAUTHORIZED") as refused:
        await gateway.charges(None)

    assert "canary" not in str(refused.value)
    assert refused.value.__context__ is None
    await client.close()


async def test_no_call_is_made_inside_a_transaction() -> None:
    class InTransactionError(Exception):
        """What the guard raises."""

    def guard() -> None:
        raise InTransactionError

    double = CryptoPayDouble()
    async with double.serve() as address:
        client = CryptoPayClient(address.url, double.token, guard)
        with pytest.raises(InTransactionError):
            await client.paid_invoices(0, 1)
    assert double.calls == []


async def test_a_refund_of_a_fiat_price_sends_the_coins_that_were_paid(shop: CryptoPay) -> None:
    charge = await shop.pay(await shop.gateway.offer(order(19_900, "RUB")))
    assert charge is not None

    await shop.gateway.give_back(refund_of("cryptopay", charge))

    [sent] = shop.double.transfers
    assert (sent["asset"], sent["amount"]) == ("USDT", "2.4875")
    assert sent["user_id"] == charge.user_id


async def test_a_shop_that_may_not_send_coins_does_it_by_hand(shop: CryptoPay) -> None:
    charge = await shop.pay(await shop.gateway.offer(order(19_900, "RUB")))
    assert charge is not None
    shop.double.transfers_allowed = False

    outcome = await shop.gateway.give_back(refund_of("cryptopay", charge))

    assert isinstance(outcome, GiveBackByHand)
    assert "METHOD_DISABLED" in outcome.reason


async def test_an_empty_purse_is_waited_for(shop: CryptoPay) -> None:
    charge = await shop.pay(await shop.gateway.offer(order(19_900, "RUB")))
    assert charge is not None
    shop.trouble("transfer", Fault.status(400, "NOT_ENOUGH_COINS"))

    outcome = await shop.gateway.give_back(refund_of("cryptopay", charge))

    assert isinstance(outcome, GiveBackLater)
    assert shop.double.transfers == []


async def test_a_long_list_is_read_to_its_end_and_begins_anew(shop: CryptoPay) -> None:
    for _ in range(101):
        await shop.pay(await shop.gateway.offer(order(19_900, "RUB")), heard=False)

    first = await shop.gateway.charges(None)
    last = await shop.gateway.charges(first.cursor)

    assert (len(first.found), first.cursor, first.more) == (100, "100", True)
    assert (len(last.found), last.cursor, last.more) == (1, None, False)
    assert first.newest_first

"""Whole back-ends that Telegram and Crypto Pay call: whatever is paid counts once."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession
from pydantic import SecretStr

from bot.intake import NOTHING_TO_DO
from bot.sandbox import Fault
from bot.sandbox.crypto_pay import SIGNATURE_HEADER, CryptoPayDouble, sign
from config.loading import SettingsError
from config.settings import (
    CryptoPaySection,
    HttpSection,
    PaymentsSection,
    Settings,
    StarsSection,
)
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from tests.integration.actors.live import Stage, staged
from tests.integration.actors.world import TERMINATE
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually, free_port

SECRET = "0123456789abcdef0123"
PUSHED = "SELECT count(*) FROM inbox WHERE source = 'cryptopay'"
UNDONE = f"{PUSHED} AND done_at IS NULL"
CREDITED = "SELECT count(*) FROM ledger WHERE source_kind = 'payment'"
#: Who waits for a row or a table that a test holds.
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture
async def stage(
    tmp_path: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_url, rows, cipher) as made:
        yield made


def called_by_telegram(settings: Settings) -> Settings:
    """The same shop, which does not poll."""
    port = free_port()
    telegram = settings.telegram.model_copy(
        update={
            "mode": "webhook",
            "webhook_url": f"http://127.0.0.1:{port}/telegram/hook",
            "webhook_secret": SecretStr(SECRET),
        }
    )
    http = HttpSection(listen=f"127.0.0.1:{port}")
    return settings.model_copy(update={"telegram": telegram, "http": http})


def methods(stage: Stage) -> list[str]:
    """What the bot called, oldest first."""
    return [call.method for call in stage.sandbox.calls]


async def test_a_shop_is_called_by_telegram_and_polls_again_later(stage: Stage) -> None:
    polling = stage.settings
    stage.settings = called_by_telegram(polling)
    async with stage.life():
        await stage.buy(stage.anna)
        await stage.assert_bought_once(stage.anna)
    assert "getUpdates" not in methods(stage)
    assert "deleteWebhook" not in methods(stage), "what comes while nobody is there is kept"

    await stage.boris.say("/start")
    stage.settings = polling
    async with stage.life():
        await stage.shown(stage.boris, lambda message: bool(message.buttons))
        await stage.buy(stage.boris)
        await stage.assert_bought_once(stage.anna, stage.boris)
    (deleted,) = [call for call in stage.sandbox.calls if call.method == "deleteWebhook"]
    assert not deleted.params.get("drop_pending_updates")


async def test_an_address_in_use_ends_the_start_before_the_database_is_taken(stage: Stage) -> None:
    epoch = "SELECT epoch FROM shards"
    before = await stage.rows.fetchval(epoch)
    taken = await asyncio.start_server(lambda _, __: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    http = HttpSection(listen=f"127.0.0.1:{port}")
    stage.settings = stage.settings.model_copy(update={"http": http})

    async with taken:
        with pytest.raises(SettingsError, match=f"http.listen: 127.0.0.1:{port}: .*in use"):
            await stage.begin().ended()
    assert await stage.rows.fetchval(epoch) == before


@dataclass
class Till:
    """A shop that sells for coins, and a Crypto Pay that calls it only when a test says so."""

    stage: Stage
    double: CryptoPayDouble
    url: str

    async def paid(self) -> int:
        """Somebody orders and pays: the invoice."""
        await self.stage.order(self.stage.anna, lambda m: any(b.url for b in m.buttons))
        (invoice,) = self.double.invoices
        await self.double.pay(invoice)
        return invoice

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        """A call: the status that it hears, 0 for none."""
        try:
            async with (
                ClientSession() as session,
                session.post(self.url, data=body, headers=headers) as response,
            ):
                return response.status
        except ClientError:
            return 0

    def later(self, body: bytes, **changed: Any) -> tuple[bytes, dict[str, str]]:
        """The same news, told again by Crypto Pay a second later."""
        news = json.loads(body) | changed
        date = datetime.fromisoformat(news["request_date"]) + timedelta(seconds=1)
        again = json.dumps(news | {"request_date": date.isoformat()}).encode()
        return again, {SIGNATURE_HEADER: sign(self.double.token, again)}

    async def assert_credited_once(self) -> None:
        """By all that was told, and by nothing else."""
        await self.stage.until_true(f"SELECT ({UNDONE}) = 0")
        assert await self.stage.rows.fetchval(CREDITED) == 1
        await self.stage.assert_bought_once(self.stage.anna)


@pytest.fixture
async def till(stage: Stage) -> AsyncIterator[Till]:
    double = CryptoPayDouble()
    # The list of paid invoices would find what a push lost.
    double.faults.next("getInvoices", Fault.status(503), times=1_000)
    port = free_port()
    async with double.serve() as address:
        crypto = CryptoPaySection(token=SecretStr(double.token), network=address.url)
        update = {
            "http": HttpSection(listen=f"127.0.0.1:{port}"),
            "payments": PaymentsSection(stars=StarsSection(enabled=False), cryptopay=crypto),
        }
        stage.settings = stage.settings.model_copy(update=update)
        yield Till(stage, double, f"http://127.0.0.1:{port}/webhooks/cryptopay")


async def test_a_push_told_two_hundred_times_at_once_is_one_credit(till: Till) -> None:
    async with till.stage.life():
        push = till.double.signed_push(await till.paid())
        answers = await asyncio.gather(*(till.post(*push) for _ in range(200)))

        assert set(answers) == {200}
        assert await till.stage.rows.fetchval(PUSHED) == 1
        await till.assert_credited_once()


async def test_news_told_again_with_another_date_are_one_credit(till: Till) -> None:
    async with till.stage.life():
        body, headers = till.double.signed_push(await till.paid())
        assert await till.post(body, headers) == 200
        assert await till.post(*till.later(body)) == 200

        assert await till.stage.rows.fetchval(PUSHED) == 2
        await till.assert_credited_once()
    assert "update_number_reused" not in till.stage.log.getvalue()


async def test_a_forged_push_leaves_nothing(till: Till) -> None:
    async with till.stage.life():
        forged = till.double.signed_push(await till.paid(), forged=True)

        assert await till.post(*forged) == 401
        assert await till.stage.rows.fetchval(PUSHED) == 0
        assert await till.stage.rows.fetchval(CREDITED) == 0


async def test_a_push_whose_answer_was_lost_is_told_again_and_changes_nothing(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept = PostgresInbox.accept

    async def commit_and_die(self: PostgresInbox, updates: Any) -> None:
        await accept(self, updates)
        if updates[0].source == "cryptopay":
            raise asyncio.CancelledError

    async with till.stage.life():
        push = till.double.signed_push(await till.paid())
        with monkeypatch.context() as patch:
            patch.setattr(PostgresInbox, "accept", commit_and_die)
            assert await till.post(*push) == 0
        assert await till.stage.rows.fetchval(PUSHED) == 1

        assert await till.post(*push) == 200
        assert await till.stage.rows.fetchval(PUSHED) == 1
        await till.assert_credited_once()


async def test_a_push_that_the_database_did_not_take_is_taken_later(till: Till) -> None:
    rows = till.stage.rows
    async with till.stage.life():
        push = till.double.signed_push(await till.paid())
        async with rows.transaction():
            await rows.execute("LOCK TABLE inbox IN EXCLUSIVE MODE")
            call = asyncio.create_task(till.post(*push))

            async def cut() -> bool:
                if await rows.fetchval(WAITS):
                    await rows.fetchval(TERMINATE)
                return call.done()

            await eventually(cut)
            assert call.result() == 503
        assert await rows.fetchval(PUSHED) == 0

        async def taken() -> bool:  # as often as it takes: more connections may have been cut
            return await till.post(*push) == 200

        await eventually(taken)
        await till.assert_credited_once()


async def test_news_of_other_things_are_taken_and_nothing_is_done(till: Till) -> None:
    async with till.stage.life():
        body, _ = till.double.signed_push(await till.paid())
        assert await till.post(*till.later(body, update_type="invoice_burnt")) == 200

        await till.stage.until_true(f"SELECT ({UNDONE}) = 0")
        reply = "SELECT reply FROM inbox WHERE source = 'cryptopay'"
        assert await till.stage.rows.fetchval(reply) == NOTHING_TO_DO
        assert await till.stage.rows.fetchval(CREDITED) == 0


async def test_a_push_of_a_way_to_pay_that_is_switched_off_waits_until_it_is_on_again(
    till: Till,
) -> None:
    async with till.stage.life():
        body, _ = till.double.signed_push(await till.paid())
    on = till.stage.settings
    till.stage.settings = on.model_copy(update={"payments": PaymentsSection()})
    await till.stage.rows.execute(
        "INSERT INTO inbox (source, source_id, payload) VALUES ('cryptopay', '1:a', $1)",
        body.decode(),
    )
    async with till.stage.life():
        put_off = f"{UNDONE} AND quarantined_at IS NULL AND attempts = 0 AND next_at > now() "

        async def waits() -> bool:
            later = f"{put_off} + interval '9 minutes'"
            return bool(await till.stage.rows.fetchval(later))

        await eventually(waits)
    assert "unknown_source" in till.stage.log.getvalue()

    till.stage.settings = on
    async with till.stage.life():
        await till.assert_credited_once()

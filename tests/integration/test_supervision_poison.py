"""What crashes whoever handles it is tried three times, set aside, and done after the fix."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.user.decisions.money import decide_credit
from bot import replies
from bot.sandbox import Message
from storage.links import LinkCipher
from tests.integration.actors.live import ANNA, Stage, staged
from tests.integration.database_fixtures import Rows

#: Has the shape of a bot's token.
SECRET = "987654321:AAE-canary-canary-canary-canary-canary"

SET_ASIDE = "SELECT count(*) FROM inbox WHERE quarantined_at IS NOT NULL AND done_at IS NULL"
LETTER = "SELECT * FROM dead_letters WHERE traceback <> ''"
#: Every row that the failure may have left words in.
WORDS = """
SELECT string_agg(row, ' ') FROM (
    SELECT d::text AS row FROM dead_letters d
    UNION ALL SELECT e::text FROM supervision_events e
    UNION ALL SELECT o::text FROM outbox o
    UNION ALL SELECT reply FROM inbox
    UNION ALL SELECT a::text FROM admin_actions a) rows
"""


@pytest.fixture
async def stage(
    tmp_path: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_url, rows, cipher) as made:
        yield made


class Bug:
    """A function that stumbles over one thing, and tells a secret; until it is fixed."""

    def __init__(self) -> None:
        self.stumbled = 0
        self.fixed = False

    def stumble(self) -> None:
        """The bug."""
        if not self.fixed:
            self.stumbled += 1
            raise RuntimeError(f"refused by https://api.telegram.org/bot{SECRET}/getMe")


OWNERS_ALERTED = """
SELECT count(*) > 0 FROM outbox WHERE kind = 'alert' AND payload->>'text_id' = 'alert-set-aside'
"""


def plant_in_credits_of_anna(monkeypatch: pytest.MonkeyPatch) -> Bug:
    """A bug that only one purchase meets."""
    bug = Bug()

    def decide(record: Any, payment: Any, *args: Any, **named: Any) -> Any:
        if record.user.tg_id == ANNA:
            bug.stumble()
        return decide_credit(record, payment, *args, **named)

    monkeypatch.setattr("actors.user.actor.decide_credit", decide)
    return bug


def plant_in_the_plan_menu(monkeypatch: pytest.MonkeyPatch) -> Bug:
    """A bug outside every actor."""
    bug, real = Bug(), replies.plan_menu

    def menu(*args: Any) -> Any:
        bug.stumble()
        return real(*args)

    monkeypatch.setattr(replies, "plan_menu", menu)
    return bug


def has_card(message: Message) -> bool:
    return any((button.data or "").startswith("go:plans") for button in message.buttons)


async def assert_no_secret_was_told(stage: Stage) -> None:
    """Neither in a row, nor in the log, nor to an owner."""
    assert SECRET not in str(await stage.rows.fetchval(WORDS))
    assert SECRET not in stage.log.getvalue()
    assert "[redacted]" in stage.log.getvalue(), "it was there to be told"
    assert SECRET not in "".join(message.text for message in stage.owner.messages)


async def test_a_purchase_that_crashes_its_actor_is_done_after_the_fix(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = plant_in_credits_of_anna(monkeypatch)
    async with stage.life():
        await stage.owner.say("/start")
        invoice = await stage.invoice(stage.anna)
        await asyncio.gather(stage.pay(stage.anna, invoice), stage.buy(stage.boris))
        await stage.until_true(SET_ASIDE)
        await stage.until_true(f"SELECT count(*) FROM ({LETTER}) letters")  # noqa: S608 - ours

        assert bug.stumbled == 3
        letter = await stage.rows.fetchrow(LETTER)
        assert (letter["state"], letter["attempts"]) == ("waiting", 3)
        assert (letter["actor"], letter["error"]) == (f"user/{ANNA}", "RuntimeError")
        assert "decide" in letter["traceback"]
        assert await stage.rows.fetchval("SELECT count(*) FROM dead_letters") == 1
        await stage.shown(stage.owner, lambda m: f"user/{ANNA}" in m.text)
        await assert_no_secret_was_told(stage)
        mark = stage.anna.revision
        await stage.anna.say("/start")
        await stage.anna.wait_for(has_card, after=mark, timeout_s=60)
        await stage.assert_bought_once(stage.boris)

        bug.fixed = True
        await stage.control.post(f"/dead-letters/{letter['id']}", action="retry")
        await stage.assert_bought_once(stage.anna, stage.boris)
        decided = await stage.rows.fetchrow(LETTER)
        assert decided["state"] == "retried"
        done = await stage.rows.fetch("SELECT * FROM admin_actions")
        assert [(row["action"], row["target"]) for row in done] == [
            ("dead_letter_retry", str(letter["id"]))
        ]
        assert done[0]["actor"] == decided["decided_by"]
        assert done[0]["actor"].startswith("os:")
    await assert_no_secret_was_told(stage)


async def test_a_purchase_that_was_set_aside_is_tried_by_the_next_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start may be the release with the fix."""
    bug = plant_in_credits_of_anna(monkeypatch)
    async with stage.life():
        await stage.pay(stage.anna, await stage.invoice(stage.anna))
        await stage.until_true(SET_ASIDE)

    bug.fixed = True
    async with stage.life():
        await stage.assert_bought_once(stage.anna)
    letter = await stage.rows.fetchrow("SELECT state, decided_by FROM dead_letters")
    assert tuple(letter) == ("retried", "start")


async def test_a_bug_outside_the_actors_becomes_a_letter(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug = plant_in_the_plan_menu(monkeypatch)
    async with stage.life():
        before = await stage.control.tree()
        await stage.anna.say("/buy")
        await stage.until_true(SET_ASIDE)

        assert bug.stumbled == 3
        letter = await stage.rows.fetchrow(LETTER)
        assert (letter["actor"], letter["message_type"]) == ("inbox", "update")
        assert (letter["attempts"], letter["error"]) == (3, "RuntimeError")
        await stage.shown(stage.anna, lambda m: "it is our fault" in (m.text or ""))
        await stage.until_true(OWNERS_ALERTED)
        await stage.anna.say("/start")
        await stage.shown(stage.anna, has_card)
        after = await stage.control.tree()
        assert after["inbox"]["incarnation"] == before["inbox"]["incarnation"]
        await assert_no_secret_was_told(stage)

        bug.fixed = True
        await stage.control.post(f"/dead-letters/{letter['id']}", action="retry")
        await stage.shown(
            stage.anna, lambda m: any((b.data or "").startswith("plan:") for b in m.buttons)
        )


async def test_what_an_operator_dropped_stays_dropped_over_a_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of money too. That a recorded charge is decided about all the same is another errand's."""
    monkeypatch.setattr("actors.payments.sweep.UNCREDITED_S", 3_600.0)
    bug = plant_in_credits_of_anna(monkeypatch)
    async with stage.life():
        await stage.pay(stage.anna, await stage.invoice(stage.anna))
        await stage.until_true(SET_ASIDE)
        (letter,) = (await stage.control.get("/dead-letters"))["dead_letters"]
        await stage.control.post(
            f"/dead-letters/{letter['id']}", action="drop", reason="given back"
        )

    bug.fixed = True
    async with stage.life():
        await stage.buy(stage.boris)  # the worker has looked for work since
    assert bug.stumbled == 3
    assert stage.anna.link is None
    assert await stage.rows.fetchval("SELECT state FROM dead_letters") == "dropped"
    reasons = await stage.rows.fetch("SELECT action, reason FROM admin_actions")
    assert [tuple(row) for row in reasons] == [("dead_letter_drop", "given back")]

"""Owners: a slip moves no money and ends nobody's access, and what waits for them says why."""

from dataclasses import replace

import pytest
from aiogram.methods import SendMessage

from actors.notifier.ports import OwnerAlert
from actors.user.messages import NoteRefund, RefundNoted
from bot.callbacks import PaymentDecided, PaymentDecision
from bot.reports.alerts import alert
from bot.texts import Texts
from storage.rows import Disposition
from tests.unit.bot.conftest import OWNER, World, message, person, tap
from tests.unit.bot.test_owners import HELD, acts


@pytest.mark.parametrize("said", ["/refunded 17", "button"])
async def test_money_that_nobody_wanted_back_is_not_said_to_be_back(
    world: World, said: str
) -> None:
    """A slip of a digit would end somebody's access, and tell them of money that never came."""
    world.queries.payments = [replace(HELD, disposition=Disposition.CREDITED)]
    press = tap(
        PaymentDecided(decision=PaymentDecision.DONE, number=17).pack(), sender=person(OWNER)
    )

    await world.feed(press if said == "button" else message(said, sender=person(OWNER)))

    assert not acts(world)
    assert "#17 is not on its way back" in world.telegram.called(SendMessage)[0].text


async def test_money_on_its_way_is_said_to_be_back(world: World) -> None:
    world.queries.payments = [replace(HELD, disposition=Disposition.REFUND_PENDING)]
    world.users.answers[NoteRefund] = RefundNoted()

    await world.feed(message("/refunded 17", sender=person(OWNER)))

    [note] = acts(world)
    assert (note.provider_payment_id, note.who) == ("charge-1", f"telegram:{OWNER}")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_an_owner_reads_why_a_refund_does_not_get_through(language: str) -> None:
    """An empty purse or a token that is wrong waits for nobody but the owner."""
    arguments = {"number": 17, "reason": "transfer: 400 NOT_ENOUGH_COINS"}
    told = alert(
        OwnerAlert(
            chat_id=OWNER, language=language, text_id="alert-refund-stuck", arguments=arguments
        )
    )

    text = Texts().html(told.text_id, language, **told.values)

    assert "#17" in text
    assert "NOT_ENOUGH_COINS" in text

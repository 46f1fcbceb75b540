"""A charge is one person's, and an owner's word about money is an act."""

from dataclasses import replace
from uuid import uuid4

from actors.user.messages import NoteRefund, PaymentAlreadyRecorded, PaymentHeld, RefundNoted
from tests.integration.actors.world import World
from tests.integration.shop import BUYER

OTHER = 78
ACTS = "SELECT actor, action, target FROM admin_actions"


async def test_money_of_one_person_is_never_decided_about_as_another_s(world: World) -> None:
    """A process died between the record of a charge and its credit; then somebody else comes."""
    taken = await world.charged(BUYER, amount=1)
    assert isinstance(await world.push(taken), PaymentHeld)
    await world.rows.execute("UPDATE payments SET disposition = 'received', amount = 150")
    await world.rows.execute("UPDATE payments SET received_at = now() + interval '1 hour'")

    outcome = await world.push(replace(taken, user_id=OTHER))

    assert outcome == PaymentAlreadyRecorded()
    assert await world.rows.fetchval("SELECT count(*) FROM ledger") == 0


async def test_an_owner_s_word_that_credited_money_is_back_is_an_act(world: World) -> None:
    taken = await world.charged(BUYER)
    await world.push(taken)
    done = NoteRefund(
        operation_id=uuid4().hex,
        provider="stars",
        provider_payment_id=taken.provider_payment_id,
        who="tg:1000",
    )

    assert await world.ask(BUYER, done) == RefundNoted()

    (act,) = await world.rows.fetch(ACTS)
    assert tuple(act) == ("tg:1000", "refunded_by_hand", str(BUYER))

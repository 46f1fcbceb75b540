"""Money that was recorded is decided about, whoever recorded it."""

from tests.integration.actors.world import World, charge
from tests.integration.shop import BUYER, pass_time

RECORD = """
INSERT INTO payments (provider, provider_payment_id, purchase_id, user_id, amount, currency,
    body_sha256) VALUES ('stars', 'left', $1, $2, 150, 'XTR', '\\x00')
"""


async def test_a_payment_whose_actor_died_after_recording_it_is_credited_by_the_sweep(
    world: World,
) -> None:
    purchase_id = await world.order(BUYER)
    await world.rows.execute(RECORD, purchase_id, BUYER)
    await pass_time(world.rows, 3)

    async def credited() -> bool:
        return bool(await world.rows.fetchval("SELECT disposition = 'credited' FROM payments"))

    await world.until(credited)
    await world.settle()
    await world.ask(BUYER, charge(BUYER, purchase_id, provider_payment_id="left"))
    assert await world.rows.fetchval("SELECT count(*) FROM ledger WHERE source_kind='payment'") == 1

"""Access ends when PostgreSQL says that its time is over, and not before."""

from actors.user.messages import AccessExpired, ExpireAccess, NotExpired
from tests.integration.actors.world import World
from tests.integration.shop import BUYER, MONTH_S, pass_time

STATUS = "SELECT status FROM subscriptions WHERE user_id = $1"


async def test_a_key_leaves_the_node_when_its_time_is_over(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    assert world.node.running

    await pass_time(world.rows, MONTH_S + 60)

    async def shut_out() -> bool:
        return not world.node.running

    await world.until(shut_out)
    await world.settle()
    assert await world.rows.fetchval(STATUS, BUYER) == "expired"


async def test_a_renewal_before_the_end_leaves_nothing_to_expire(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    await pass_time(world.rows, MONTH_S - 600)
    await world.buy(BUYER)

    outcome = await world.ask(BUYER, ExpireAccess(operation_id="late"))

    assert isinstance(outcome, NotExpired)
    await world.settle()
    assert world.node.running


async def test_a_renewal_after_the_end_brings_the_same_key_back(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    (key,) = world.node.running
    await pass_time(world.rows, MONTH_S + 60)
    assert isinstance(
        await world.ask(BUYER, ExpireAccess(operation_id="now")), AccessExpired | NotExpired
    )

    await world.buy(BUYER)

    await world.settle()
    assert world.node.running == {key}

"""What the bot reads past the actors."""

from datetime import timedelta
from uuid import uuid4

import pytest

from storage.database import Database
from storage.phases import PostgresQueries, announce_nodes
from storage.rows import PurchaseStatus, UserStatus
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, Shop


@pytest.fixture
def queries(database: Database) -> PostgresQueries:
    return PostgresQueries(database)


async def test_a_stranger_has_no_language(queries: PostgresQueries, shop: Shop) -> None:
    assert await queries.language(BUYER) is None

    await shop.users.introduce(BUYER, "ru")

    assert await queries.language(BUYER) == "ru"


async def test_a_quote_is_the_order_as_it_stands_now(
    queries: PostgresQueries, shop: Shop, rows: Rows
) -> None:
    order = await shop.order()
    await rows.execute("UPDATE users SET status = 'banned'")

    quote = await queries.quote(order.id)

    assert quote is not None
    assert quote.purchase == order
    assert quote.purchase.status is PurchaseStatus.AWAITING_PAYMENT
    assert quote.user_status is UserStatus.BANNED
    assert abs(quote.now - order.created_at) < timedelta(minutes=1)


async def test_there_is_no_quote_for_an_unknown_order(queries: PostgresQueries) -> None:
    assert await queries.quote(uuid4()) is None


async def test_nodes_are_announced_once(database: Database, rows: Rows) -> None:
    await announce_nodes(database, ["node-1", "node-2"])
    await rows.execute("UPDATE nodes SET state = 'draining'")

    await announce_nodes(database, ["node-1", "node-3"])

    found = await rows.fetch("SELECT id, state FROM nodes ORDER BY id")
    assert [tuple(row) for row in found] == [
        ("node-1", "draining"),
        ("node-2", "draining"),
        ("node-3", "active"),
    ]


async def test_one_payment_of_an_order_is_let_through_at_a_time(
    queries: PostgresQueries, shop: Shop, rows: Rows
) -> None:
    order = await shop.order()

    assert await queries.approve(order.id, "first")
    assert await queries.approve(order.id, "first")  # Telegram may ask again
    assert not await queries.approve(order.id, "second")

    await rows.execute("UPDATE purchases SET approved_at = now() - interval '31 seconds'")
    assert await queries.approve(order.id, "second")


async def test_a_paid_order_is_not_let_through(queries: PostgresQueries, shop: Shop) -> None:
    order = await shop.order()
    await shop.pay(order)

    assert not await queries.approve(order.id, "again")


async def test_users_on_a_node_that_is_gone_are_counted(database: Database, shop: Shop) -> None:
    await shop.pay(await shop.order())

    assert await announce_nodes(database, ["another"]) == {"node-1": 1}

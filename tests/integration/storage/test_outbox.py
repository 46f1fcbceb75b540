"""What must be told: the latest state, in order for each person, and kept for who is away."""

from typing import Any
from uuid import UUID

import pytest

from storage import outbox
from storage.database import Database
from storage.operations import OperatorRecords
from storage.phases import STRANGER_WAIT_S, PostgresQueries
from storage.rows import (
    AlertDraft,
    AlertNews,
    LinkNews,
    OutboxRow,
    PersonalNews,
    PurchaseNews,
)
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, Shop, expire, link_of, pass_time


def kinds(found: list[OutboxRow]) -> list[tuple[int | None, str]]:
    return [(row.user_id, row.payload["notice"]) for row in found]


async def state(rows: Rows, row: OutboxRow) -> dict[str, Any]:
    return dict(await rows.fetchrow("SELECT * FROM outbox WHERE id = $1", row.id))


async def tell_again(database: Database, row: OutboxRow) -> None:
    """The order's live message is out of date."""
    async with database.transaction() as connection:
        await outbox.purchase_news(connection, UUID(row.payload["purchase_id"]))


async def test_an_order_s_progress_comes_before_its_link(shop: Shop) -> None:
    await shop.served()

    assert kinds(await shop.notices.due(10)) == [(BUYER, "purchase"), (BUYER, "link")]


async def test_what_was_told_is_not_due(shop: Shop, rows: Rows) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)

    assert await shop.notices.begin(row, 30)
    await shop.notices.sent(row, 900)

    assert await shop.notices.due(10) == []
    assert (await state(rows, row))["state"] == "sent"
    assert await rows.fetchval("SELECT message_id FROM purchases") == 900


async def test_news_that_comes_while_it_is_told_stays_due(shop: Shop, database: Database) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)
    await shop.notices.begin(row, 30)
    await tell_again(database, row)

    await shop.notices.sent(row, 900)

    (again,) = await shop.notices.due(10)
    assert (again.id, again.version) == (row.id, row.version + 1)


async def test_many_news_of_one_thing_are_one_message(shop: Shop, database: Database) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)
    for _ in range(3):
        await tell_again(database, row)

    (latest,) = await shop.notices.due(10)
    assert latest.version == 4


async def test_an_attempt_is_counted_before_it_is_made(shop: Shop, rows: Rows) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)

    assert await shop.notices.begin(row, 30)

    assert await shop.notices.due(10) == [], "nobody else's while it may be on its way"
    assert (await state(rows, row))["attempts"] == 1


async def test_an_old_version_is_not_begun(shop: Shop, database: Database) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)
    await tell_again(database, row)

    assert not await shop.notices.begin(row, 30)


async def test_what_was_told_is_not_begun(shop: Shop) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)
    await shop.notices.sent(row, 900)

    assert not await shop.notices.begin(row, 30)


async def test_what_a_dead_process_left_is_due_at_once(shop: Shop) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)
    await shop.notices.begin(row, 3_600)

    await shop.notices.resume()

    assert len(await shop.notices.due(10)) == 1


async def test_nothing_of_a_person_overtakes_what_waits_to_be_repeated(
    shop: Shop, rows: Rows
) -> None:
    await shop.served(1)
    await shop.served(2)
    first = (await shop.notices.due(10))[0]
    await shop.notices.begin(first, 30)
    await shop.notices.postpone(first, 3_600)

    assert kinds(await shop.notices.due(10)) == [(2, "purchase"), (2, "link")]

    await rows.execute("UPDATE outbox SET next_at = now()")
    assert [kind for user, kind in kinds(await shop.notices.due(10)) if user == 1] == [
        "purchase",
        "link",
    ]


async def test_the_oldest_is_first(shop: Shop) -> None:
    await shop.bought(2)
    await shop.bought(1)

    assert kinds(await shop.notices.due(10)) == [(2, "purchase"), (1, "purchase")]


async def test_who_cannot_be_reached_loses_nothing(shop: Shop, database: Database) -> None:
    await shop.served(1)
    await shop.bought(2)
    first = (await shop.notices.due(10))[0]
    await shop.notices.begin(first, 3_600)
    await shop.notices.cannot_reach(first)

    assert kinds(await shop.notices.due(10)) == [(2, "purchase")]

    await shop.users.introduce(1, "en")
    assert kinds(await shop.notices.due(10)) == [(1, "purchase"), (1, "link"), (2, "purchase")]
    del database


async def test_who_unblocks_the_bot_is_told_what_waited(shop: Shop, database: Database) -> None:
    queries = PostgresQueries(database)
    await shop.bought()
    await queries.reachable(BUYER, reachable=False)
    assert await shop.notices.due(10) == []

    await queries.reachable(BUYER, reachable=True)

    assert len(await shop.notices.due(10)) == 1


async def test_a_dropped_message_is_told_when_there_is_news(
    shop: Shop, database: Database, rows: Rows
) -> None:
    await shop.bought()
    (row,) = await shop.notices.due(10)
    await shop.notices.drop(row)
    assert (await state(rows, row))["state"] == "failed"

    await tell_again(database, row)

    assert len(await shop.notices.due(10)) == 1


# What the rows behind a message say.


async def news(
    shop: Shop, notice: str
) -> PurchaseNews | LinkNews | PersonalNews | AlertNews | None:
    """The news behind the only message of a kind."""
    (row,) = [row for row in await shop.notices.due(10) if row.payload["notice"] == notice]
    return await shop.notices.news(row)


async def test_a_message_is_made_from_the_rows_of_the_moment(shop: Shop) -> None:
    wish = await shop.bought()
    (row,) = await shop.notices.due(10)
    waiting = await shop.notices.news(row)
    assert isinstance(waiting, PurchaseNews)
    assert (waiting.held, waiting.delayed) == (False, False)
    assert waiting.purchase.fulfilled_at is None

    await shop.confirm(wish)

    ready = await shop.notices.news(row)
    assert isinstance(ready, PurchaseNews)
    assert ready.purchase.fulfilled_at is not None


async def test_a_wish_that_failed_is_a_delay(shop: Shop) -> None:
    wish = await shop.bought()
    await shop.nodes.postpone(wish, 0, "infra")

    told = await news(shop, "purchase")

    assert isinstance(told, PurchaseNews)
    assert told.delayed


async def test_a_link_is_told_as_the_node_gave_it(shop: Shop) -> None:
    owned = await shop.served()

    told = await news(shop, "link")

    assert isinstance(told, LinkNews)
    assert told.link == link_of(owned.uuid)


async def test_a_link_is_told_while_the_node_is_told_everything_again(
    shop: Shop, rows: Rows
) -> None:
    """A new generation that waits for its confirmation leaves the link what it was."""
    await shop.served()
    await rows.execute("UPDATE credentials SET gen = gen + 1")

    assert isinstance(await news(shop, "link"), LinkNews)


async def test_a_link_whose_access_ended_is_not_told(shop: Shop, rows: Rows) -> None:
    await shop.served(period_s=60)
    await pass_time(rows, 61)
    await expire(rows)

    assert await news(shop, "link") is None


@pytest.mark.parametrize("gone", ["users", "purchases", "subscriptions"])
async def test_a_message_about_nothing_is_nothing(shop: Shop, rows: Rows, gone: str) -> None:
    await shop.served()
    found = await shop.notices.due(10)
    async with rows.transaction():
        await rows.execute("SET LOCAL session_replication_role = replica")
        await rows.execute(f"DELETE FROM {gone}")  # noqa: S608 - named above

    told = {row.payload["notice"]: await shop.notices.news(row) for row in found}

    assert told["link" if gone == "subscriptions" else "purchase"] is None


async def test_an_order_without_a_subscription_is_told_without_one(
    shop: Shop, database: Database
) -> None:
    order = await shop.order()
    async with database.transaction() as connection:
        await outbox.purchase_news(connection, order.id)

    told = await news(shop, "purchase")

    assert isinstance(told, PurchaseNews)
    assert (told.subscription, told.held, told.delayed) == (None, True, False)


# What owners should know.

OWNER = 5


def alert(key: str, owner: int = OWNER, node: str = "node-1") -> AlertDraft:
    return AlertDraft(
        dedupe_key=key, owner=owner, text_id="alert-isolated", arguments={"node": node, "tries": 5}
    )


async def test_an_alert_is_told_to_an_owner_who_is_no_user(
    shop: Shop, records: OperatorRecords
) -> None:
    await records.record([], [], [alert("isolated:node-1")])

    (row,) = await shop.notices.due(10)
    assert (row.kind, row.user_id) == ("alert", None)
    assert await shop.notices.news(row) == AlertNews(
        owner=OWNER,
        language=None,
        text_id="alert-isolated",
        arguments={"node": "node-1", "tries": 5},
    )


async def test_an_alert_that_was_told_is_not_due(
    shop: Shop, records: OperatorRecords, rows: Rows
) -> None:
    await records.record([], [], [alert("a")])
    (row,) = await shop.notices.due(10)

    assert await shop.notices.begin(row, 30)
    await shop.notices.sent(row, 900)

    assert await shop.notices.due(10) == []
    assert (await state(rows, row))["state"] == "sent"


async def test_an_owner_who_is_a_user_is_told_in_the_language_of_choice(
    shop: Shop, records: OperatorRecords
) -> None:
    await shop.users.introduce(OWNER, "ru")
    await records.record([], [], [alert("isolated:node-1")])

    (row,) = await shop.notices.due(10)
    told = await shop.notices.news(row)

    assert isinstance(told, AlertNews)
    assert told.language == "ru"


async def test_an_alert_is_told_once_for_its_key(shop: Shop, records: OperatorRecords) -> None:
    await records.record([], [], [alert("a"), alert("a", node="node-2"), alert("b")])
    first, _ = await shop.notices.due(10)
    assert await shop.notices.begin(first, 30)
    await shop.notices.sent(first, 900)

    await records.record([], [], [alert("a"), alert("b")])

    (left,) = await shop.notices.due(10)
    told = await shop.notices.news(first)
    assert isinstance(told, AlertNews)
    assert told.arguments["node"] == "node-1", "the first of its key says all"
    assert left.id != first.id


async def test_alerts_of_one_moment_are_told_in_the_order_of_what_happened(
    shop: Shop, records: OperatorRecords
) -> None:
    nodes = [f"node-{number}" for number in range(20)]
    await records.record([], [], [alert(node, node=node) for node in nodes])

    due = await shop.notices.due(20)

    assert [row.payload["arguments"]["node"] for row in due] == nodes


async def test_an_alert_that_waits_to_be_repeated_holds_no_other_back(
    shop: Shop, records: OperatorRecords
) -> None:
    await records.record([], [], [alert("a"), alert("b", owner=6)])
    await shop.bought()
    first, second, bought = await shop.notices.due(10)

    await shop.notices.postpone(first, 3_600)

    left = await shop.notices.due(10)
    assert [row.id for row in left] == [second.id, bought.id]


async def test_an_owner_who_blocked_the_bot_is_told_later(
    shop: Shop, records: OperatorRecords
) -> None:
    await shop.users.introduce(OWNER, "en")
    await records.record([], [], [alert("a"), alert("b", owner=6)])
    first, other = await shop.notices.due(10)

    await shop.notices.cannot_reach(first)

    assert [row.id for row in await shop.notices.due(10)] == [other.id]
    await shop.users.introduce(OWNER, "en")
    assert len(await shop.notices.due(10)) == 2


async def test_an_owner_who_never_wrote_to_the_bot_is_not_tried_without_end(
    shop: Shop, records: OperatorRecords, rows: Rows
) -> None:
    await records.record([], [], [alert("a")])
    (row,) = await shop.notices.due(10)

    await shop.notices.cannot_reach(row)

    assert await shop.notices.due(10) == []
    await pass_time(rows, STRANGER_WAIT_S)
    assert len(await shop.notices.due(10)) == 1


async def test_an_alert_of_yesterday_is_not_told(
    shop: Shop, records: OperatorRecords, rows: Rows
) -> None:
    """An owner who comes back after a week reads what is wrong now."""
    await records.record([], [], [alert("a")])
    await rows.execute("UPDATE outbox SET created_at = now() - interval '1 day'")
    await records.record([], [], [alert("b")])

    told = [row.payload["arguments"] for row in await shop.notices.due(10)]

    assert len(told) == 1


async def test_a_task_for_an_owner_does_not_grow_old(
    shop: Shop, records: OperatorRecords, rows: Rows
) -> None:
    """Nobody else would give that money back."""
    await records.record([], [], [alert("a")])
    await rows.execute(
        "UPDATE outbox SET created_at = now() - interval '9 days',"
        " payload = jsonb_set(payload, '{text_id}', '\"alert-refund-by-hand\"')"
    )

    assert len(await shop.notices.due(10)) == 1

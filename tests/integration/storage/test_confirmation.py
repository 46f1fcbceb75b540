"""The node's answer, recorded in one statement that starts paid time exactly once."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from storage import credentials
from storage.database import Database
from storage.rows import Confirmed, Desired, PurchaseStatus, SubscriptionStatus, Superseded
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S, Shop, expire, link_of, pass_time
from tests.invariants import assert_invariants


async def news(rows: Rows) -> list[tuple[str, str]]:
    """What the outbox would tell, by kind of notice and state."""
    found = await rows.fetch("SELECT payload->>'notice', state FROM outbox ORDER BY 1 DESC")
    return [(notice, state) for notice, state in found]


async def test_the_first_confirmed_access_starts_the_paid_time(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()

    assert await shop.confirm(wish) == Confirmed(user_id=BUYER, activated=True)

    record = await shop.record()
    assert record.subscription is not None
    assert record.subscription.status is SubscriptionStatus.ACTIVE
    assert record.subscription.pending_s == 0
    begun = await rows.fetchval("SELECT at FROM ledger WHERE source_kind = 'activation'")
    assert record.subscription.expires_at == begun + timedelta(seconds=MONTH_S)
    (owned,) = record.credentials
    assert owned.applied
    assert owned.first_applied_at == begun
    assert owned.link_enc is not None
    assert shop.cipher.open(owned.link_enc) == link_of(wish.uuid)
    fulfilled = await rows.fetchval("SELECT fulfilled_at FROM purchases")
    assert fulfilled == begun
    assert await news(rows) == [("purchase", "due"), ("link", "due")]
    await assert_invariants(rows, shop.cipher)


async def test_time_that_waited_costs_nothing(shop: Shop, rows: Rows) -> None:
    """Ten days of a node that does not answer, and a whole month afterwards."""
    wish = await shop.bought()
    await pass_time(rows, 10 * 86_400)

    await shop.confirm(wish)

    left = await rows.fetchval("SELECT expires_at - now() FROM subscriptions")
    assert timedelta(0) <= timedelta(seconds=MONTH_S) - left < timedelta(minutes=5)
    await assert_invariants(rows, shop.cipher)


async def test_a_repeated_confirmation_changes_nothing(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()
    await shop.confirm(wish)
    before = await rows.fetch("SELECT s.*, c.* FROM subscriptions s, credentials c")
    told = await rows.fetch("SELECT * FROM outbox ORDER BY id")

    assert await shop.confirm(wish) == Superseded()

    assert await rows.fetch("SELECT s.*, c.* FROM subscriptions s, credentials c") == before
    assert await rows.fetch("SELECT * FROM outbox ORDER BY id") == told
    assert await rows.fetchval("SELECT count(*) FROM ledger") == 2


async def test_confirmations_at_the_same_time_start_time_once(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()

    outcomes = await asyncio.gather(*(shop.confirm(wish) for _ in range(8)))

    assert sorted(type(outcome).__name__ for outcome in outcomes) == [
        "Confirmed",
        *["Superseded"] * 7,
    ]
    assert await rows.fetchval("SELECT count(*) FROM ledger WHERE source_kind = 'activation'") == 1
    await assert_invariants(rows, shop.cipher)


async def test_the_answer_to_an_older_wish_changes_nothing(shop: Shop, rows: Rows) -> None:
    old = await shop.bought()
    await rows.execute("UPDATE credentials SET gen = gen + 1")

    assert await shop.confirm(old) == Superseded()

    assert not (await shop.credential()).applied
    record = await shop.record()
    assert record.subscription is not None
    assert record.subscription.status is SubscriptionStatus.ACTIVATING
    assert await rows.fetchval("SELECT count(*) FROM ledger") == 1


async def test_an_addition_that_is_answered_after_expiry_changes_nothing(
    shop: Shop, rows: Rows
) -> None:
    """Else the removal would never be sent."""
    added = await shop.served(period_s=60)
    await pass_time(rows, 61)
    await expire(rows)

    assert await shop.confirm(added) == Superseded()

    owned = await shop.credential()
    assert (owned.desired, owned.applied) == (Desired.ABSENT, False)
    await assert_invariants(rows, shop.cipher)


async def test_a_confirmed_removal_starts_nothing(shop: Shop, rows: Rows) -> None:
    await shop.served(period_s=60)
    await pass_time(rows, 61)
    await expire(rows)
    removal = await shop.credential()

    outcome = await shop.nodes.record_outcome(removal, None, seq=2)

    assert outcome == Confirmed(user_id=BUYER, activated=False)
    owned = await shop.credential()
    assert owned.applied
    assert owned.link_enc is not None, "the link is kept: it works again after a renewal"
    await assert_invariants(rows, shop.cipher)


async def test_a_renewal_before_the_removal_was_answered_wins(shop: Shop, rows: Rows) -> None:
    await shop.served(period_s=60)
    await pass_time(rows, 61)
    await expire(rows)
    removal = await shop.credential()
    again = await shop.bought()

    assert (again.uuid, again.gen) == (removal.uuid, removal.gen + 1)
    assert await shop.nodes.record_outcome(removal, None, seq=2) == Superseded()
    assert await shop.confirm(again) == Confirmed(user_id=BUYER, activated=True)

    await assert_invariants(rows, shop.cipher)


async def test_a_confirmation_of_access_that_runs_gives_no_time(shop: Shop, rows: Rows) -> None:
    served = await shop.served()
    ends = (await shop.record()).subscription
    await rows.execute("UPDATE credentials SET gen = gen + 1")
    again = await shop.credential()

    assert await shop.confirm(again) == Confirmed(user_id=BUYER, activated=False)

    record = await shop.record()
    assert record.subscription == ends
    assert record.credentials[0].first_applied_at == served.first_applied_at
    await assert_invariants(rows, shop.cipher)


async def test_a_suspended_user_gets_no_time_by_a_late_answer(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()
    await rows.execute("UPDATE subscriptions SET status = 'suspended'")

    assert await shop.confirm(wish) == Confirmed(user_id=BUYER, activated=False)

    record = await shop.record()
    assert record.subscription is not None
    assert (record.subscription.status, record.subscription.pending_s) == (
        SubscriptionStatus.SUSPENDED,
        MONTH_S,
    )


async def replacement_of(rows: Rows, old: UUID) -> UUID:
    """The replacement that a reissue would ask for."""
    fresh: UUID = await rows.fetchval(
        "INSERT INTO credentials (uuid, subscription_id, node_id, desired, replaces)"
        " SELECT $2, subscription_id, node_id, 'present', uuid FROM credentials WHERE uuid = $1"
        " RETURNING uuid",
        old,
        uuid4(),
    )
    return fresh


async def test_a_replacement_retires_the_old_credential_in_the_same_statement(
    shop: Shop, rows: Rows
) -> None:
    old = await shop.served()
    fresh_uuid = await replacement_of(rows, old.uuid)
    owned = {row.uuid: row for row in (await shop.record()).credentials}

    await shop.confirm(owned[fresh_uuid])

    owned = {row.uuid: row for row in (await shop.record()).credentials}
    assert owned[fresh_uuid].applied
    retired = owned[old.uuid]
    assert (retired.desired, retired.gen, retired.applied) == (Desired.ABSENT, 2, False)
    await assert_invariants(rows, shop.cipher, healed=False)


async def test_a_replacement_confirmed_again_retires_nothing_more(shop: Shop, rows: Rows) -> None:
    old = await shop.served()
    fresh_uuid = await replacement_of(rows, old.uuid)
    fresh = next(row for row in (await shop.record()).credentials if row.uuid == fresh_uuid)
    await shop.confirm(fresh)
    await shop.confirm(fresh)

    assert await rows.fetchval("SELECT gen FROM credentials WHERE uuid = $1", old.uuid) == 2


async def test_only_one_replacement_may_wait(shop: Shop, rows: Rows) -> None:
    old = await shop.served()
    await replacement_of(rows, old.uuid)

    with pytest.raises(asyncpg.UniqueViolationError, match="credentials_one_replacement"):
        await replacement_of(rows, old.uuid)


async def test_a_payment_that_commits_first_is_in_the_time_that_starts(
    shop: Shop, rows: Rows, database: Database
) -> None:
    """The confirmation waits for the credit that is under way, and starts what it wrote."""
    wish = await shop.bought()
    second = await shop.decided(*await shop.charge(await shop.order()))
    after = second.change.after
    assert after is not None
    async with rows.transaction():
        await rows.execute(
            "UPDATE subscriptions SET pending_s = $1, version = version + 1", after.pending_s
        )
        confirming = asyncio.create_task(shop.confirm(wish))

        async def waits() -> bool:
            async with database.read() as connection:
                return bool(
                    await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
                )

        await eventually(waits)

    assert await confirming == Confirmed(user_id=BUYER, activated=True)
    left = await rows.fetchval("SELECT expires_at - now() FROM subscriptions")
    assert left > timedelta(seconds=2 * MONTH_S - 300)


async def test_what_the_node_has_seen_of_our_writing_only_grows(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()
    await shop.nodes.record_outcome(wish, link_of(wish.uuid), seq=9)
    await shop.nodes.record_outcome(wish, link_of(wish.uuid), seq=4)

    assert await rows.fetchval("SELECT writer_seq_acked FROM nodes") == 9


async def test_all_orders_that_waited_are_fulfilled_together(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()
    await shop.pay(await shop.order(price=200))

    await shop.confirm(wish)

    assert await rows.fetchval("SELECT count(*) FROM purchases WHERE fulfilled_at IS NULL") == 0
    assert await rows.fetchval("SELECT count(*) FROM outbox WHERE payload ? 'purchase_id'") == 2
    await assert_invariants(rows, shop.cipher)


async def test_an_order_that_nobody_paid_is_not_fulfilled(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()
    unpaid = await shop.order(price=200)

    await shop.confirm(wish)

    found = await rows.fetchrow("SELECT * FROM purchases WHERE id = $1", unpaid.id)
    assert (found["status"], found["fulfilled_at"]) == (PurchaseStatus.AWAITING_PAYMENT, None)


# The work that waits for a node.


async def due(database: Database, *, besides: list[UUID] | None = None) -> list[UUID]:
    async with database.read() as connection:
        return [
            row.uuid
            for desired in Desired
            for row in await credentials.due(
                connection, "node-1", desired, 10, besides or [], repeats=True
            )
        ]


async def test_a_wish_is_due_until_its_generation_is_applied(
    shop: Shop, database: Database
) -> None:
    wish = await shop.bought()
    assert await due(database) == [wish.uuid]
    assert await due(database, besides=[wish.uuid]) == []

    await shop.confirm(wish)

    assert await due(database) == []


async def test_the_longest_waiting_is_first(shop: Shop, database: Database, rows: Rows) -> None:
    young, old = await shop.bought(1), await shop.bought(2)
    await rows.execute(
        "UPDATE credentials SET next_at = now() - interval '1 hour' WHERE uuid = $1", old.uuid
    )

    assert await due(database) == [old.uuid, young.uuid]


async def test_an_attempt_is_counted_before_it_is_made(
    shop: Shop, database: Database, rows: Rows
) -> None:
    wish = await shop.bought()

    first = await shop.nodes.begin(wish, 5.0)

    assert first is not None
    assert first[0] == 1
    assert await due(database) == [], "nobody else's while the call may run"
    await rows.execute("UPDATE credentials SET next_at = now()")
    second = await shop.nodes.begin(wish, 5.0)
    assert second is not None
    assert second[0] == 2
    assert second[1] > first[1], "the writer's number grows with each request"


async def test_a_wish_that_changed_is_not_begun(shop: Shop, rows: Rows) -> None:
    wish = await shop.bought()
    await rows.execute("UPDATE credentials SET gen = gen + 1")

    assert await shop.nodes.begin(wish, 5.0) is None


async def test_what_a_dead_process_left_is_due_at_once(shop: Shop, database: Database) -> None:
    wish = await shop.bought()
    await shop.nodes.begin(wish, 3_600.0)

    await shop.nodes.resume("node-1")

    assert await due(database) == [wish.uuid]


async def test_a_delay_is_told_once(shop: Shop, database: Database, rows: Rows) -> None:
    wish = await shop.bought()
    version = "SELECT version FROM outbox"
    assert await rows.fetchval(version) == 1
    await shop.nodes.postpone(wish, 0.0, "infra")
    assert await rows.fetchval(version) == 2

    await shop.nodes.postpone(await shop.credential(), 0.0, "infra")

    assert await rows.fetchval(version) == 2
    assert await due(database) == [wish.uuid]


async def test_a_wish_set_aside_is_not_due_and_its_buyer_is_told(
    shop: Shop, database: Database, rows: Rows
) -> None:
    wish = await shop.bought()

    await shop.nodes.quarantine(wish, "bug")

    assert await due(database) == []
    (row,) = await shop.notices.due(10)
    told = await shop.notices.news(row)
    assert getattr(told, "delayed", None) is True
    assert await rows.fetchval("SELECT version FROM outbox") == 2


async def test_a_wish_after_one_that_was_set_aside_is_due(
    shop: Shop, database: Database, rows: Rows
) -> None:
    """A quarantine is of one generation; someone who pays again is tried again."""
    await shop.served(period_s=60)
    await pass_time(rows, 61)
    await expire(rows)
    await shop.nodes.quarantine(await shop.credential(), "bug")

    again = await shop.bought()

    assert await due(database) == [again.uuid]


async def test_another_epoch_means_telling_everything_that_is_present_again(
    shop: Shop, rows: Rows
) -> None:
    kept, ended = await shop.served(1), await shop.served(2, period_s=60)
    await pass_time(rows, 61)
    await expire(rows, 2)
    removal = await shop.credential(2)
    first, second = uuid4(), uuid4()

    assert await shop.nodes.learn_epoch("node-1", first) is False, "first contact"
    assert (await shop.credential(1)).gen == kept.gen
    assert await shop.nodes.learn_epoch("node-1", first) is False, "no news"
    assert (await shop.credential(1)).gen == kept.gen
    assert await shop.nodes.learn_epoch("node-1", second) is True

    assert ((await shop.credential(1)).gen, (await shop.credential(1)).applied) == (2, False)
    assert (await shop.credential(2)).gen == removal.gen
    assert ended.uuid == removal.uuid
    known = await shop.nodes.node("node-1")
    assert known is not None
    assert known.epoch == second


async def test_of_many_who_learn_one_epoch_one_is_the_first(shop: Shop) -> None:
    """Each may have raised generations: once is needed, more harms nobody."""
    await shop.served()
    await shop.nodes.learn_epoch("node-1", uuid4())
    second = uuid4()

    told = await asyncio.gather(*(shop.nodes.learn_epoch("node-1", second) for _ in range(8)))

    assert sorted(told) == [*[False] * 7, True]
    raised = (await shop.credential()).gen
    assert 2 <= raised <= 9
    assert not await shop.nodes.learn_epoch("node-1", second)
    assert (await shop.credential()).gen == raised, "it is known from then on"


async def test_an_unknown_node_or_uuid_is_nothing(shop: Shop) -> None:
    assert await shop.nodes.node("nowhere") is None
    assert await shop.nodes.generation(uuid4()) == 0
    assert (await shop.nodes.database_id()).version == 4

"""A change of access is written whole or not at all, and once; the whole story can be told."""

from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from actors.user.messages import Standing
from storage.errors import VersionConflict
from storage.rows import (
    AccessChange,
    AlertDraft,
    Desired,
    RaisedCredential,
    RemovedCredential,
    SubscriptionStatus,
    UserStatus,
)
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, MONTH_S, NODE, Shop, act_of, pass_time
from tests.integration.storage.races import at_once
from tests.invariants import assert_invariants

WRITTEN = """
SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM outbox),
    (SELECT count(*) FROM admin_actions), (SELECT count(*) FROM history)
"""
LINKS = "SELECT count(*) FROM outbox WHERE payload->>'notice' = 'link'"


async def recorded(shop: Shop, change: AccessChange) -> bool | str:
    try:
        return await shop.users.record_change(change)
    except VersionConflict:
        return "decide again"


async def test_of_two_changes_of_one_version_at_once_one_is_decided_again(
    shop: Shop, rows: Rows
) -> None:
    await shop.served()
    first, second = await shop.grant_of(60), await shop.grant_of(90)

    outcomes = await at_once(rows, "subscriptions", recorded(shop, first), recorded(shop, second))

    assert sorted(map(str, outcomes)) == ["True", "decide again"]
    assert await rows.fetchval("SELECT count(*) FROM admin_actions") == 1
    await assert_invariants(rows, shop.cipher)


async def test_the_same_act_again_writes_nothing(shop: Shop, rows: Rows) -> None:
    await shop.served()
    act = act_of("revoke")
    assert await shop.users.record_change(await shop.standing_of(Standing.REVOKED, act=act))
    await shop.users.record_change(await shop.standing_of(Standing.RESTORED))
    await shop.confirm(await shop.credential())
    again = await shop.standing_of(Standing.REVOKED, act=act)
    before = await rows.fetchrow(WRITTEN)

    assert not await shop.users.record_change(again)

    assert await rows.fetchrow(WRITTEN) == before
    record = await shop.record()
    assert record.subscription is not None
    assert record.subscription.status is SubscriptionStatus.ACTIVE


async def test_the_same_source_of_time_again_writes_nothing(shop: Shop, rows: Rows) -> None:
    grant = replace(await shop.grant_of(60), act=None)
    assert await shop.users.record_change(grant)
    record = await shop.record()
    assert record.subscription is not None
    (step,) = grant.steps
    once_more = replace(record.subscription, version=2, pending_s=120)
    again = replace(
        grant, before=record.subscription, steps=(replace(step, after=once_more),), wishes=()
    )
    before = await rows.fetchrow(WRITTEN)

    assert not await shop.users.record_change(again)

    assert await rows.fetchrow(WRITTEN) == before
    assert (await shop.record()).subscription == record.subscription


async def test_a_change_without_time_needs_the_version_it_was_decided_from(shop: Shop) -> None:
    wish = await shop.bought()
    waiting = (await shop.record()).subscription
    change = AccessChange(user_id=BUYER, before=waiting)
    assert await shop.users.record_change(change)
    await shop.confirm(wish)

    for stale in (change, AccessChange(user_id=BUYER, before=None)):
        with pytest.raises(VersionConflict):
            await shop.users.record_change(stale)
    with pytest.raises(VersionConflict):
        await shop.users.record_change(AccessChange(user_id=404, before=waiting))


async def test_removing_what_is_gone_changes_nothing_and_raising_lets_in_again(shop: Shop) -> None:
    served = await shop.served()
    before = (await shop.record()).subscription
    gone = RemovedCredential(uuid=served.uuid, node_id=NODE)
    for _ in range(2):
        await shop.users.record_change(AccessChange(user_id=BUYER, before=before, wishes=(gone,)))
    removed = await shop.credential()
    assert (removed.desired, removed.gen) == (Desired.ABSENT, 2)

    raised = RaisedCredential(uuid=served.uuid, node_id=NODE)
    await shop.users.record_change(AccessChange(user_id=BUYER, before=before, wishes=(raised,)))

    again = await shop.credential()
    assert (again.desired, again.gen, again.applied) == (Desired.PRESENT, 3, False)


async def test_a_ban_is_written_with_its_pause_and_an_alert_is_told_once(
    shop: Shop, rows: Rows
) -> None:
    await shop.served()
    alert = AlertDraft(dedupe_key="one:1000", owner=1000, text_id="alert-x", arguments={"n": 1})
    ban = await shop.standing_of(Standing.BANNED)

    await shop.users.record_change(replace(ban, alerts=(alert, alert)))
    await shop.users.alert([alert])

    record = await shop.record()
    assert record.user is not None
    assert record.user.status is UserStatus.BANNED
    assert record.subscription is not None
    assert record.subscription.status is SubscriptionStatus.SUSPENDED
    assert MONTH_S - 300 < record.subscription.pending_s <= MONTH_S
    assert await rows.fetchval("SELECT count(*) FROM outbox WHERE kind = 'alert'") == 1
    await assert_invariants(rows, shop.cipher, healed=False)


# Time that is over.


async def test_expiry_of_what_was_confirmed_first_shuts_out_both_keys(
    shop: Shop, rows: Rows
) -> None:
    await shop.served(period_s=60)
    await shop.users.record_change(await shop.reissue_of())
    await pass_time(rows, 61)
    end = await shop.expiry_of()
    fresh = next(c for c in (await shop.record()).credentials if c.replaces)
    await shop.confirm(fresh)

    assert await shop.users.record_change(end)

    assert {c.desired for c in (await shop.record()).credentials} == {Desired.ABSENT}
    await assert_invariants(rows, shop.cipher)


async def test_a_confirmation_after_expiry_confirms_nothing(shop: Shop, rows: Rows) -> None:
    await shop.served(period_s=60)
    await shop.users.record_change(await shop.reissue_of())
    fresh = next(c for c in (await shop.record()).credentials if c.replaces)
    await pass_time(rows, 61)
    await shop.users.record_change(await shop.expiry_of())

    assert type(await shop.confirm(fresh)).__name__ == "Superseded"
    await assert_invariants(rows, shop.cipher)


async def test_whose_time_is_over_is_due_unless_money_waits(shop: Shop, rows: Rows) -> None:
    await shop.served(1, period_s=60)
    await shop.served(2, period_s=30)
    await shop.served(3)
    assert await shop.lapses.due(10) == []
    await pass_time(rows, 61)

    assert await shop.lapses.due(10) == [2, 1]
    assert await shop.lapses.due(1) == [2]
    await shop.charge(await shop.order(1, price=200))
    assert await shop.lapses.due(10) == [2]


# New links.


async def test_a_new_link_is_told_when_it_works_and_never_for_a_key_told_again(
    shop: Shop, rows: Rows
) -> None:
    old = await shop.served()
    assert await rows.fetchval(LINKS) == 1
    await shop.users.record_change(await shop.reissue_of())
    fresh = next(c for c in (await shop.record()).credentials if c.replaces)
    assert await rows.fetchval(LINKS) == 1

    await shop.confirm(fresh)

    assert await rows.fetchval(LINKS) == 2
    retired = next(c for c in (await shop.record()).credentials if c.uuid == old.uuid)
    await shop.nodes.record_outcome(retired, None, seq=3)
    await rows.execute("UPDATE credentials SET gen = gen + 1 WHERE desired = 'present'")
    again = next(c for c in (await shop.record()).credentials if c.replaces)
    await shop.confirm(again)
    assert await rows.fetchval(LINKS) == 2, "people have this link"
    await assert_invariants(rows, shop.cipher)


async def test_the_link_in_place_of_a_leaked_one_is_told(shop: Shop, rows: Rows) -> None:
    old = await shop.served()
    await shop.users.record_change(await shop.reissue_of(leaked=True))
    present = [c for c in (await shop.record()).credentials if c.desired is Desired.PRESENT]
    assert [c.replaces for c in present] == [old.uuid]

    await shop.confirm(present[0])

    assert await rows.fetchval(LINKS) == 2
    gone = next(c for c in (await shop.record()).credentials if c.uuid == old.uuid)
    assert (gone.desired, gone.gen) == (Desired.ABSENT, 2), "raised once, when it leaked"
    await assert_invariants(rows, shop.cipher, healed=False)


# What decisions are made from.


async def test_what_a_user_gained_and_had_is_read_with_their_rows(shop: Shop, rows: Rows) -> None:
    record = await shop.record()
    assert (record.uncredited, record.tried, record.gained_today_s) == (False, False, 0)
    await shop.users.record_change(await shop.grant_of(60))
    await shop.pay(await shop.order())
    await shop.charge(await shop.order(price=200))
    await shop.served(5)

    record = await shop.record()
    assert (record.uncredited, record.gained_today_s) == (True, MONTH_S + 60)
    assert await shop.users.given_today() == 60, "what is bought is not given"

    await pass_time(rows, 86_401)
    assert (await shop.record()).gained_today_s == 0
    assert await shop.users.given_today() == 0


async def test_a_trial_is_remembered_for_its_user_alone(shop: Shop) -> None:
    trial = replace(await shop.grant_of(60), act=None)
    (step,) = trial.steps
    entry = replace(step.entry, source_kind="trial", source_id=str(BUYER))
    await shop.users.record_change(replace(trial, steps=(replace(step, entry=entry),)))
    await shop.users.introduce(5, "en")

    assert (await shop.record()).tried
    assert not (await shop.record(5)).tried
    assert await shop.users.given_today() == 60


async def test_no_row_gives_more_than_ten_years(shop: Shop) -> None:
    grant = await shop.grant_of(60)
    (step,) = grant.steps
    for too_much in (316_224_001, -316_224_001):
        entry = replace(step.entry, delta_s=too_much)
        with pytest.raises(asyncpg.CheckViolationError, match="ledger_within_bounds"):
            await shop.users.record_change(replace(grant, steps=(replace(step, entry=entry),)))


# The story.


async def test_the_story_of_a_user_is_told_in_order(shop: Shop) -> None:
    credit = await shop.pay(await shop.order())
    await shop.confirm(await shop.credential())
    await shop.users.record_change(await shop.standing_of(Standing.REVOKED))
    found = await shop.users.payment("stars", credit.payment.provider_payment_id)
    assert found is not None
    await shop.users.record_refund(await shop.refund_of(found[0], act=act_of("refund")))
    await shop.bought(5)

    story = await shop.queries.story(BUYER)

    assert [(row.kind, row.event) for row in story] == [
        ("user", "met"),
        ("purchase", "created"),
        ("purchase", "awaiting_payment"),
        ("payment", "received"),
        ("payment", "credited"),
        ("purchase", "paid"),
        ("ledger", "payment"),
        ("key", "wished"),
        ("key", "confirmed"),
        ("ledger", "activation"),
        ("act", "revoke"),
        ("ledger", "suspend"),
        ("key", "wished"),
        ("act", "refund"),
        ("payment", "refund_pending"),
        ("purchase", "refund_pending"),
        ("ledger", "refund"),
    ]
    assert await shop.queries.story(404) == []
    keys = [row.subject for row in story if row.kind == "key"]
    assert {len(subject) for subject in keys} == {8}


async def test_each_step_is_noted_once_and_what_is_no_step_never(shop: Shop, rows: Rows) -> None:
    await shop.served()
    before = await rows.fetchval("SELECT count(*) FROM history")

    await shop.users.introduce(BUYER, "en")
    await rows.execute("UPDATE purchases SET status = status, message_id = 9")
    await rows.execute("UPDATE payments SET refund_attempts = 3")
    await rows.execute("UPDATE credentials SET attempts = 3, next_at = now()")
    assert await rows.fetchval("SELECT count(*) FROM history") == before

    await shop.queries.reachable(BUYER, reachable=False)
    await shop.queries.reachable(BUYER, reachable=False)
    await shop.users.introduce(BUYER, "en")
    await rows.execute("UPDATE credentials SET quarantined_at = now()")
    await rows.execute("UPDATE outbox SET state = 'sent', sent_at = now()")

    noted = await rows.fetch("SELECT kind, event FROM history ORDER BY id OFFSET $1", before)
    assert [tuple(row) for row in noted] == [
        ("user", "unreachable"),
        ("user", "reachable"),
        ("key", "set_aside"),
        ("notice", "sent"),
        ("notice", "sent"),
    ]


async def test_a_replacement_that_works_notes_both_keys(shop: Shop, rows: Rows) -> None:
    old = await shop.served()
    await shop.users.record_change(await shop.reissue_of())
    fresh = next(c for c in (await shop.record()).credentials if c.replaces)
    before = await rows.fetchval("SELECT count(*) FROM history")

    await shop.confirm(fresh)

    noted = await rows.fetch("SELECT subject, event FROM history ORDER BY id OFFSET $1", before)
    assert {tuple(row) for row in noted} == {
        (str(fresh.uuid)[:8], "confirmed"),
        (str(old.uuid)[:8], "wished"),
    }
    assert len(noted) == 2


@pytest.mark.parametrize("change", ["UPDATE history SET event = ''", "DELETE FROM history"])
async def test_the_story_is_append_only(shop: Shop, rows: Rows, change: str) -> None:
    await shop.users.introduce(uuid4().int % 10_000 + 1, "en")

    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await rows.execute(change)

"""What must be true when a story has ended and nothing is left to do.

The ledger is added up here once more, by a function that knows nothing of the program's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.invariants import assert_invariants
from tests.stateful.back_end import Stage
from tests.stateful.steps import Story

#: How long before its row a change may have been decided.
DECIDED_BEFORE = timedelta(seconds=30)

PRESENT = "SELECT uuid, gen FROM credentials WHERE node_id = $1 AND desired = 'present'"
WITHOUT_A_RIGHT = """
SELECT c.uuid FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE s.status NOT IN ('active', 'activating')
"""
UNDONE = """
SELECT 'wish' AS what, count(*) FROM credentials WHERE applied_gen < gen
UNION ALL SELECT 'set aside', count(*) FROM credentials WHERE quarantined_at IS NOT NULL
UNION ALL SELECT 'money', count(*) FROM payments WHERE disposition = 'received'
UNION ALL SELECT 'refund', count(*) FROM outbox WHERE kind = 'refund' AND state = 'due'
UNION ALL SELECT 'end', count(*) FROM subscriptions WHERE status = 'active' AND expires_at <= now()
UNION ALL SELECT 'beginning', count(*) FROM subscriptions WHERE status = 'activating'
"""
PAYMENTS = """
SELECT p.*, (SELECT count(*) FROM ledger l WHERE l.source_kind = 'payment'
        AND l.source_id = p.provider || ':' || p.provider_payment_id) AS credits,
    (SELECT count(*) FROM ledger l WHERE l.source_kind = 'refund'
        AND l.source_id = p.provider || ':' || p.provider_payment_id) AS reversals,
    (SELECT count(*) FROM outbox a WHERE a.payload->>'text_id' = 'alert-payment-held'
        AND a.payload->'arguments'->>'number' = p.number::text) AS alerts,
    (SELECT count(*) FROM outbox a WHERE a.payload->>'text_id' = 'alert-refund-by-hand'
        AND a.payload->'arguments'->>'number' = p.number::text) AS left_alerts
FROM payments p
"""
LEDGER = """
SELECT l.*, s.user_id, s.status AS status_now, s.expires_at AS expires_now,
    s.pending_s AS pending_now
FROM ledger l JOIN subscriptions s ON s.id = l.subscription_id ORDER BY s.id, l.version
"""
BOUGHT = """
SELECT s.user_id,
    (SELECT coalesce(sum(o.period_s), 0) FROM payments p JOIN purchases o ON o.id = p.purchase_id
        WHERE p.user_id = s.user_id AND (p.disposition = 'credited' OR EXISTS (
            SELECT FROM ledger b WHERE b.source_kind = 'refund'
                AND b.source_id = p.provider || ':' || p.provider_payment_id))) AS bought,
    (SELECT coalesce(sum(delta_s), 0) FROM ledger l
        WHERE l.subscription_id = s.id AND l.source_kind = 'payment') AS entered
FROM subscriptions s
"""


@dataclass(frozen=True)
class Sum:
    """Paid time as the ledger's rows add up: until when, and what waits."""

    until: datetime | None = None
    waits_s: int = 0


def added(total: Sum, row: Any) -> Sum:
    """A row of the ledger more. It must say for itself what it does; nothing else is asked."""
    kind, delta, at = row["source_kind"], row["delta_s"], row["at"]
    waits = row["pending_after"] - row["pending_before"]
    match kind:
        case "activation":
            assert delta == 0
            begins = max(at, total.until or at)
            return Sum(begins + timedelta(seconds=total.waits_s))
        case "expiry" | "restore":
            assert delta == waits == 0
            return total
        case "suspend":
            assert delta == 0
            assert waits >= 0
            until = total.until - timedelta(seconds=waits) if total.until and waits else total.until
            return Sum(until, total.waits_s + waits)
        case "payment" | "grant" | "trial":
            assert delta > 0
        case "change":
            assert total.until or total.waits_s
        case "refund":
            assert delta <= 0
    if waits or not delta:
        assert waits == delta
        return Sum(total.until, total.waits_s + delta)
    assert total.until is not None
    if kind in {"change", "refund"} or total.until > at:
        return Sum(total.until + timedelta(seconds=delta), total.waits_s)
    # Time that was over, and not noticed yet: from the moment of the decision.
    begins = row["expires_after"] - timedelta(seconds=delta)
    assert max(total.until, at - DECIDED_BEFORE) <= begins <= at
    return Sum(row["expires_after"], total.waits_s)


async def undone(stage: Stage) -> dict[str, int]:
    """What is left to do, by kind."""
    return {what: left for what, left in await stage.rows.fetch(UNDONE) if left}


async def assert_agreement(story: Story) -> None:
    """Database, nodes and providers' books agree, and every second is explained."""
    stage = story.stage
    await _one_row_each(stage)
    assert await undone(stage) == {}
    seen = [
        (call.uuid, call.gen)
        for node in stage.nodes.values()
        for call in node.calls
        if call.uuid and call.gen
    ]
    await assert_invariants(stage.rows, stage.cipher, seen=seen)
    await _nodes_agree(stage)
    await _money_agrees(story)
    await _time_agrees(stage)


async def _one_row_each(stage: Stage) -> None:
    rows = await stage.rows.fetch("SELECT provider, provider_payment_id FROM payments")
    assert len(set(rows)) == len(rows), "one charge has two rows"


async def _nodes_agree(stage: Stage) -> None:
    refused = {uuid for (uuid,) in await stage.rows.fetch(WITHOUT_A_RIGHT)}
    for node_id, node in stage.nodes.items():
        wanted = dict(await stage.rows.fetch(PRESENT, node_id))
        running = {uuid: node.wishes[uuid].gen for uuid in node.running}
        assert running == wanted, f"{node_id} runs others than the rows say"
        assert not refused & node.running, f"{node_id} lets in who has no right"


async def _money_agrees(story: Story) -> None:
    rows = await story.stage.rows.fetch(PAYMENTS)
    found = {(row["provider"], row["provider_payment_id"]): row for row in rows}
    for booked in story.charges:
        row = found.get(booked.key)
        if row is None:
            assert booked.provider == "manual", f"{booked} was taken and is nowhere"
            continue
        told = f"{booked} became {dict(row)}"
        assert row["user_id"] == booked.user_id, told
        assert row["credits"] <= 1, told
        match row["disposition"]:
            case "credited":
                assert row["credits"] == 1, told
                assert not booked.sent_back, told
            case "mismatch":
                assert row["credits"] == 0, told
                assert row["alerts"] > 0, told
                assert not booked.sent_back, told
            case "refund_pending":
                assert row["reversals"] == row["credits"], told
                assert row["left_alerts"] > 0, told
                assert not booked.sent_back, told
            case "refunded":
                assert row["reversals"] == row["credits"], told
                assert booked.sent_back or booked.by_hand, told
            case other:
                raise AssertionError(f"{other}: {told}")
    unknown = set(found) - {booked.key for booked in story.charges}
    assert not unknown, f"money that nobody paid: {unknown}"
    assert not any(gateway.unasked for gateway in story.stage.gateways.values())


async def _time_agrees(stage: Stage) -> None:
    rows = await stage.rows.fetch(LEDGER)
    for row in await stage.rows.fetch(BOUGHT):
        assert row["bought"] == row["entered"], dict(row)
    for own in _grouped(rows):
        total = Sum()
        for row in own:
            total = added(total, row)
        last = own[-1]
        standing = (last["expires_now"], last["pending_now"])
        assert (total.until, total.waits_s) == standing, (total, [dict(row) for row in own])


def _grouped(rows: Iterable[Any]) -> list[list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for row in rows:
        groups.setdefault(row["subscription_id"], []).append(row)
    return list(groups.values())

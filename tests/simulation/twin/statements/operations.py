"""Twins of what supervision and operators write: events, acts, letters, pollers, and the story."""

from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from storage import admin_actions, dead_letters, pollers, story, supervision_events
from tests.simulation.twin.registry import Answer, Record, picker, statement, tally
from tests.simulation.twin.schema import jsonb
from tests.simulation.twin.tables import Row, Tables

KEPT = timedelta(days=30)

pick_act = picker(admin_actions.COLUMNS)
pick_letter = picker(dead_letters.COLUMNS)
pick_event = picker(supervision_events.COLUMNS)
pick_poller = picker("provider, cursor, last_success_at, repairs")


@statement(admin_actions.NOTE, "e32ddfc8")
def note(t: Tables, actor: str, action: str, target: str, reason: str, details: Any) -> Answer:
    t.admin_actions.insert(
        actor=actor, action=action, target=target, reason=reason, details=jsonb(details)
    )
    return 1


@statement(admin_actions.ACT, "5ff66d88")
def act(
    t: Tables,
    actor: str,
    action: str,
    target: str,
    reason: str,
    details: Any,
    operation_id: str,
) -> Answer:
    _, fresh = t.admin_actions.insert_unless(
        "admin_actions_operation_once",
        actor=actor,
        action=action,
        target=target,
        reason=reason,
        details=jsonb(details),
        operation_id=operation_id,
    )
    return tally(fresh)


@statement(admin_actions.NEWEST, "2dbf7a58")
def newest_acts(t: Tables, limit: int) -> Answer:
    found = sorted(t.admin_actions.rows.values(), key=itemgetter("id"), reverse=True)
    return [pick_act(row) for row in found[:limit]]


@statement(dead_letters.QUEUE_UP, "fb34049b")
def queue_up(t: Tables) -> Answer:
    del t  # one transaction runs at a time
    return 0


@statement(dead_letters.ADD, "fdb93c0e")
def add_letter(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    letter_id: UUID,
    age: timedelta,
    correlation_id: str,
    operation_id: str,
    actor: str,
    message_type: str,
    payload: Any,
    attempts: int,
    error: str,
    traceback: str,
) -> Answer:
    if t.dead_letters.first("letter", letter_id) is not None:
        return 0
    said: dict[str, Any] = {
        "operation_id": operation_id,
        "actor": actor,
        "message_type": message_type,
        "payload": None if payload is None else jsonb(payload),
        "attempts": attempts,
        "error": error,
        "traceback": traceback,
    }
    row, fresh = t.dead_letters.insert_unless(
        "dead_letters_one_waiting",
        letter_id=letter_id,
        created_at=t.now - age,
        correlation_id=correlation_id,
        **said,
    )
    if not fresh:
        if not traceback:
            return 0
        t.dead_letters.update(row, **said)
    return 1


@statement(dead_letters.NEWEST, "8c5ac549")
def newest_letters(t: Tables, limit: int, state: str | None) -> Answer:
    found = [row for row in t.dead_letters.rows.values() if state is None or row["state"] == state]
    found.sort(key=itemgetter("id"), reverse=True)
    return [pick_letter(row) for row in found[:limit]]


@statement(dead_letters.READ, "fcdf423c")
def read_letter(t: Tables, number: int) -> Answer:
    row = t.dead_letters.get(number)
    return [] if row is None else [pick_letter(row)]


@statement(dead_letters.DECIDE, "5b71a8a0")
def decide(t: Tables, number: int, state: str, actor: str) -> Answer:
    row = t.dead_letters.get(number)
    if row is None:
        return []
    decided = t.dead_letters.update(row, state=state, decided_by=actor, decided_at=t.now)
    return [pick_letter(decided)]


@statement(supervision_events.ADD, "aa1d434a")
def add_event(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    event_id: UUID,
    age: timedelta,
    kind: str,
    supervisor: str,
    actor: str,
    incarnation: int | None,
    reason: str,
    details: Any,
    correlation_id: str,
) -> Answer:
    _, fresh = t.supervision_events.insert_unless(
        "supervision_events_pkey",
        id=event_id,
        at=t.now - age,
        kind=kind,
        supervisor=supervisor,
        actor=actor,
        incarnation=incarnation,
        reason=reason,
        details=jsonb(details),
        correlation_id=correlation_id,
    )
    return int(fresh)


@statement(supervision_events.NEWEST, "cf70479e")
def newest_events(
    t: Tables, limit: int, actor: str | None, within: timedelta | None, kinds: list[str] | None
) -> Answer:
    found = [
        row
        for row in t.supervision_events.rows.values()
        if (actor is None or row["actor"] == actor)
        and (within is None or row["at"] > t.now - within)
        and (kinds is None or row["kind"] in kinds)
    ]
    found.sort(key=itemgetter("at", "seq"), reverse=True)
    return [pick_event(row) for row in found[:limit]]


@statement(supervision_events.PRUNE, "cf08e017")
def prune_events(t: Tables) -> Answer:
    old = [row for row in t.supervision_events.rows.values() if row["at"] < t.now - KEPT]
    for row in old:
        t.supervision_events.delete(row)
    return len(old)


@statement(pollers.READ, "92091759")
def read_poller(t: Tables, provider: str) -> Answer:
    row = t.pollers.get(provider)
    return [] if row is None else [pick_poller(row)]


@statement(pollers.SUCCEED, "80f79e36")
def succeed(t: Tables, provider: str, cursor: str | None, repairs: int) -> Answer:
    row, fresh = t.pollers.insert_unless(
        "pollers_pkey", provider=provider, cursor=cursor, last_success_at=t.now, repairs=repairs
    )
    if not fresh:
        t.pollers.update(
            row, cursor=cursor, last_success_at=t.now, repairs=row["repairs"] + repairs
        )
    return 1


@statement(story.STORY, "f507fdd5")
def tell(t: Tables, user_id: int, limit: int) -> Answer:
    told = [_step(row) for row in t.history.by("of_user", user_id)]
    subscription = t.subscriptions.first("of_user", user_id)
    if subscription is not None:
        told += [_entry(row) for row in t.ledger.by("of_subscription", subscription["id"])]
    told += [_act(row) for row in t.admin_actions.by("of_target", str(user_id))]
    told.sort(key=itemgetter("at", "turn", "id"), reverse=True)
    return told[:limit]


def _step(row: Row) -> Record:
    return Record(
        at=row["at"],
        turn={"notice": 5, "key": 3}.get(row["kind"], 1),
        id=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        event=row["event"],
        details=row["details"],
    )


def _entry(row: Row) -> Record:
    kind = row["source_kind"]
    return Record(
        at=row["at"],
        turn=4 if kind == "activation" else 2,
        id=row["id"],
        kind="ledger",
        subject=str(row["subscription_id"])[:8],
        event=kind,
        details={
            "delta_s": row["delta_s"],
            "expires_before": moment(row["expires_before"]),
            "expires_after": moment(row["expires_after"]),
            "pending_before": row["pending_before"],
            "pending_after": row["pending_after"],
            "reason": row["reason"],
            "actor": row["actor"],
            "source_id": row["source_id"] if kind == "payment" else None,
        },
    )


def _act(row: Row) -> Record:
    return Record(
        at=row["at"],
        turn=0,
        id=row["id"],
        kind="act",
        subject=row["target"],
        event=row["action"],
        details={"actor": row["actor"], "reason": row["reason"]},
    )


def moment(at: datetime | None) -> str | None:
    """A moment as jsonb_build_object writes it: no zeros at the end of a fraction."""
    if at is None:
        return None
    fraction = f".{at.microsecond:06}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%dT%H:%M:%S}{fraction}+00:00"

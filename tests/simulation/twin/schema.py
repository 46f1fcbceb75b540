"""The tables of `storage/migrations`, with every rule and trigger that PostgreSQL holds them to.

`test_schema` compares this with a real database.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import asyncpg

from config.plans import LONGEST_PERIOD_S
from tests.simulation.twin.tables import Check, Foreign, Row, Schema, Tables, Unique, refuse

NOW: Callable[[Tables], Any] = lambda tables: tables.now  # noqa: E731 - a default, as in SQL
CLOCK: Callable[[Tables], Any] = lambda tables: tables.clock()  # noqa: E731
RANDOM: Callable[[Tables], Any] = lambda tables: tables.uuid()  # noqa: E731
APPEND_ONLY = "{} is append-only"
#: An order that may still be paid.
OPEN_ORDER = frozenset({"created", "awaiting_payment"})


def one_of(table: str, column: str, *values: str) -> Check:
    """CHECK (column IN (...)), with the name that PostgreSQL gives it."""
    allowed = frozenset(values)
    return Check(f"{table}_{column}_check", lambda row: row[column] in allowed)


def at_least(table: str, column: str, least: int) -> Check:
    """CHECK (column >= least)."""
    return Check(f"{table}_{column}_check", lambda row: row[column] >= least)


def names(table: str, column: str, other: str) -> Foreign:
    """REFERENCES, with the name that PostgreSQL gives it."""
    return Foreign(f"{table}_{column}_fkey", column, other)


def primary(table: str, *columns: str) -> Unique:
    """PRIMARY KEY."""
    return Unique(f"{table}_pkey", columns)


def note_purchase(tables: Tables, before: Row | None, after: Row) -> None:
    """Trigger note_purchases."""
    if before is None:
        details = {
            "plan": after["plan_id"],
            "price": after["price"],
            "currency": after["currency"],
            "provider": after["provider"],
            "kind": after["kind"],
        }
    elif after["status"] != before["status"]:
        details = stripped(plan=after["plan_id"], by=after["decided_by"])
    else:
        return
    _note(tables, after["user_id"], "purchase", str(after["id"]), after["status"], details)


def note_payment(tables: Tables, before: Row | None, after: Row) -> None:
    """Trigger note_payments."""
    purchase = after["purchase_id"]
    if before is None:
        details = {
            "amount": after["amount"],
            "currency": after["currency"],
            "provider": after["provider"],
            "id": after["provider_payment_id"],
            "purchase": None if purchase is None else str(purchase),
        }
    elif after["disposition"] != before["disposition"]:
        details = stripped(
            amount=after["amount"],
            currency=after["currency"],
            provider=after["provider"],
            reason=after["reason"],
            late=after["late"] or None,
            over=after["over"] or None,
            duplicate_invoice=after["duplicate_invoice"] or None,
        )
    else:
        return
    subject = str(after["number"])
    _note(tables, after["user_id"], "payment", subject, after["disposition"], details)


def note_credential(tables: Tables, before: Row | None, after: Row) -> None:
    """Trigger note_credentials."""
    if before is None or after["gen"] > before["gen"]:
        event = "wished"
    elif after["applied_gen"] > before["applied_gen"]:
        event = "confirmed"
    elif after["quarantined_at"] is not None and before["quarantined_at"] is None:
        event = "set_aside"
    else:
        return
    details = {
        "desired": after["desired"],
        "gen": after["gen"],
        "node": after["node_id"],
        "origin": after["origin"],
    }
    user_id = tables.subscriptions.rows[after["subscription_id"]]["user_id"]
    _note(tables, user_id, "key", str(after["uuid"])[:8], event, details)


def note_user(tables: Tables, before: Row | None, after: Row) -> None:
    """Trigger note_users."""
    if before is None:
        event = "met"
    elif after["status"] != before["status"]:
        event = after["status"]
    elif after["reachable"] != before["reachable"]:
        event = "reachable" if after["reachable"] else "unreachable"
    else:
        return
    _note(tables, after["tg_id"], "user", str(after["tg_id"]), event, {})


def note_outbox(tables: Tables, before: Row | None, after: Row) -> None:
    """Trigger note_outbox."""
    if before is None or after["state"] in {before["state"], "due"}:
        return
    if after["user_id"] is None or after["kind"] != "notify":
        return
    payload = after["payload"]
    details = stripped(notice=payload.get("notice"), text=payload.get("text_id"))
    _note(tables, after["user_id"], "notice", str(after["id"]), after["state"], details)


def stripped(**values: Any) -> dict[str, Any]:
    """jsonb_strip_nulls."""
    return {name: value for name, value in values.items() if value is not None}


def jsonb(value: Any) -> Any:
    """A value as the column keeps it: its own copy, of JSON alone."""
    text = json.dumps(value, allow_nan=False)
    if "\\u0000" in text:
        refuse(asyncpg.UntranslatableCharacterError, "unsupported Unicode escape sequence")
    return json.loads(text, object_pairs_hook=_in_order)


def _in_order(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Keys as jsonb keeps them: short ones first."""
    return dict(sorted(pairs, key=lambda pair: (len(pair[0].encode()), pair[0])))


def _note(tables: Tables, user_id: int, kind: str, subject: str, event: str, details: Row) -> None:
    tables.history.insert(user_id=user_id, kind=kind, subject=subject, event=event, details=details)


def _waits(row: Row) -> bool:
    return row["done_at"] is None and row["quarantined_at"] is None


SCHEMAS = (
    Schema(
        name="system",
        columns={"db_id": RANDOM, "bot_id": None, "keys_fingerprint": None, "created_at": NOW},
        key=("db_id",),
        required=frozenset({"db_id", "created_at"}),
        uniques=(primary("system", "db_id"), Unique("system_has_one_row", ())),
    ),
    Schema(
        name="shards",
        columns={
            "id": None,
            "epoch": 0,
            "owner": None,
            "backend_pid": None,
            "backend_start": None,
            "seen_at": None,
        },
        key=("id",),
        required=frozenset({"id", "epoch"}),
        uniques=(primary("shards", "id"),),
    ),
    Schema(
        name="users",
        columns={
            "tg_id": None,
            "status": "active",
            "language": None,
            "reachable": True,
            "created_at": NOW,
        },
        key=("tg_id",),
        required=frozenset({"tg_id", "status", "language", "reachable", "created_at"}),
        uniques=(primary("users", "tg_id"),),
        checks=(
            at_least("users", "tg_id", 1),
            one_of("users", "status", "active", "banned"),
            Check(
                "users_language_check",
                lambda row: (
                    len(row["language"]) == 2
                    and row["language"].isascii()
                    and row["language"].isalpha()
                    and row["language"].islower()
                ),
            ),
        ),
        trigger=note_user,
    ),
    Schema(
        name="nodes",
        columns={
            "id": None,
            "state": "active",
            "epoch": None,
            "writer_seq_acked": 0,
            "auth_hold_until": None,
            "created_at": NOW,
            "reason": "",
            "changed_at": NOW,
            "changed_by": "",
            "state_before": None,
            "accepted_writer": None,
        },
        key=("id",),
        required=frozenset(
            {
                "id",
                "state",
                "writer_seq_acked",
                "created_at",
                "reason",
                "changed_at",
                "changed_by",
            }
        ),
        uniques=(primary("nodes", "id"),),
        checks=(one_of("nodes", "state", "active", "draining", "frozen", "lost", "removed"),),
    ),
    Schema(
        name="subscriptions",
        columns={
            "id": RANDOM,
            "user_id": None,
            "plan_id": None,
            "status": "none",
            "expires_at": None,
            "pending_s": 0,
            "version": 0,
            "created_at": NOW,
        },
        key=("id",),
        required=frozenset(
            {"id", "user_id", "plan_id", "status", "pending_s", "version", "created_at"}
        ),
        uniques=(
            primary("subscriptions", "id"),
            Unique("subscriptions_one_a_user", ("user_id",)),
        ),
        checks=(
            one_of(
                "subscriptions", "status", "none", "activating", "active", "expired", "suspended"
            ),
            at_least("subscriptions", "pending_s", 0),
            Check(
                "subscriptions_active_time_runs",
                lambda row: (
                    row["status"] != "active"
                    or (row["expires_at"] is not None and row["pending_s"] == 0)
                ),
            ),
        ),
        foreign=(names("subscriptions", "user_id", "users"),),
        indexes={"of_user": lambda row: row["user_id"], "status": lambda row: row["status"]},
    ),
    Schema(
        name="purchases",
        columns={
            "id": None,
            "user_id": None,
            "kind": None,
            "plan_id": None,
            "node_id": None,
            "price": None,
            "currency": None,
            "period_s": None,
            "provider": None,
            "provider_invoice_id": None,
            "status": "created",
            "operation_id": None,
            "chat_id": None,
            "message_id": None,
            "invoice_expires_at": None,
            "approved_query": None,
            "approved_at": None,
            "fulfilled_at": None,
            "decided_by": None,
            "created_at": NOW,
            "pay_url": None,
            "decided_at": None,
        },
        key=("id",),
        required=frozenset(
            {
                "id",
                "user_id",
                "kind",
                "plan_id",
                "node_id",
                "price",
                "currency",
                "period_s",
                "provider",
                "status",
                "operation_id",
                "chat_id",
                "invoice_expires_at",
                "created_at",
            }
        ),
        uniques=(
            primary("purchases", "id"),
            Unique("purchases_invoice_once", ("provider", "provider_invoice_id")),
        ),
        checks=(
            one_of("purchases", "kind", "new", "renew", "change", "trial", "grant"),
            at_least("purchases", "price", 0),
            at_least("purchases", "period_s", 1),
            one_of(
                "purchases",
                "status",
                "created",
                "awaiting_payment",
                "awaiting_admin",
                "paid",
                "cancelled",
                "expired",
                "rejected",
                "refund_pending",
                "refunded",
            ),
        ),
        foreign=(names("purchases", "user_id", "users"), names("purchases", "node_id", "nodes")),
        indexes={
            "of_user": lambda row: row["user_id"],
            "open": lambda row: row["status"] in OPEN_ORDER or None,
        },
        trigger=note_purchase,
    ),
    Schema(
        name="inbox",
        columns={
            "source": None,
            "source_id": None,
            "seq": None,
            "payload": None,
            "lane": None,
            "received_at": NOW,
            "attempts": 0,
            "next_at": NOW,
            "done_at": None,
            "reply": None,
            "quarantined_at": None,
            "refusals": 0,
        },
        key=("source", "source_id"),
        required=frozenset(
            {
                "source",
                "source_id",
                "seq",
                "payload",
                "received_at",
                "attempts",
                "next_at",
                "refusals",
            }
        ),
        uniques=(primary("inbox", "source", "source_id"),),
        identity="seq",
        indexes={
            "waiting": lambda row: _waits(row) or None,
            "lane": lambda row: row["lane"] if _waits(row) else None,
            "set_aside": lambda row: (
                f"{row['source']}:{row['source_id']}"
                if row["quarantined_at"] is not None and row["done_at"] is None
                else None
            ),
        },
    ),
    Schema(
        name="payments",
        columns={
            "provider": None,
            "provider_payment_id": None,
            "purchase_id": None,
            "user_id": None,
            "amount": None,
            "currency": None,
            "body_sha256": None,
            "received_at": NOW,
            "disposition": "received",
            "reason": None,
            "late": False,
            "over": False,
            "duplicate_invoice": False,
            "number": None,
            "provider_ref": None,
            "refund_attempts": 0,
            "settled_at": None,
            "refunded_at": None,
        },
        key=("provider", "provider_payment_id"),
        required=frozenset(
            {
                "provider",
                "provider_payment_id",
                "user_id",
                "amount",
                "currency",
                "body_sha256",
                "received_at",
                "disposition",
                "late",
                "over",
                "duplicate_invoice",
                "number",
                "refund_attempts",
            }
        ),
        uniques=(
            primary("payments", "provider", "provider_payment_id"),
            Unique("payments_by_number", ("number",)),
        ),
        checks=(
            one_of(
                "payments",
                "disposition",
                "received",
                "credited",
                "mismatch",
                "refund_pending",
                "refunded",
            ),
        ),
        foreign=(
            names("payments", "purchase_id", "purchases"),
            names("payments", "user_id", "users"),
        ),
        identity="number",
        indexes={
            "number": lambda row: row["number"],
            "of_purchase": lambda row: row["purchase_id"],
            "uncredited_of": lambda row: (
                row["user_id"] if row["disposition"] == "received" else None
            ),
            "disposition": lambda row: row["disposition"],
        },
        trigger=note_payment,
    ),
    Schema(
        name="ledger",
        columns={
            "id": None,
            "subscription_id": None,
            "version": None,
            "delta_s": None,
            "expires_before": None,
            "expires_after": None,
            "pending_before": None,
            "pending_after": None,
            "source_kind": None,
            "source_id": None,
            "reason": None,
            "actor": None,
            "at": NOW,
        },
        key=("id",),
        required=frozenset(
            {
                "id",
                "subscription_id",
                "version",
                "delta_s",
                "pending_before",
                "pending_after",
                "source_kind",
                "source_id",
                "reason",
                "actor",
                "at",
            }
        ),
        uniques=(
            primary("ledger", "id"),
            Unique("ledger_source_once", ("source_kind", "source_id")),
            Unique("ledger_version_once", ("subscription_id", "version")),
        ),
        checks=(
            Check("ledger_within_bounds", lambda row: abs(row["delta_s"]) <= LONGEST_PERIOD_S),
        ),
        foreign=(names("ledger", "subscription_id", "subscriptions"),),
        identity="id",
        indexes={
            "of_subscription": lambda row: row["subscription_id"],
            "source": lambda row: (row["source_kind"], row["source_id"]),
            "given": lambda row: row["source_kind"] in {"grant", "trial"} or None,
        },
        append_only="the ledger is append-only",
    ),
    Schema(
        name="credentials",
        columns={
            "uuid": None,
            "subscription_id": None,
            "node_id": None,
            "desired": None,
            "gen": 1,
            "applied_gen": 0,
            "first_applied_at": None,
            "replaces": None,
            "link_enc": None,
            "attempts": 0,
            "next_at": NOW,
            "last_class": None,
            "quarantined_at": None,
            "created_at": NOW,
            "origin": "access",
            "operation_id": None,
            "bulk": False,
            "applied_at": None,
        },
        key=("uuid",),
        required=frozenset(
            {
                "uuid",
                "subscription_id",
                "node_id",
                "desired",
                "gen",
                "applied_gen",
                "attempts",
                "next_at",
                "created_at",
                "origin",
                "bulk",
            }
        ),
        uniques=(
            primary("credentials", "uuid"),
            Unique(
                "credentials_one_replacement",
                ("subscription_id",),
                lambda row: (
                    row["replaces"] is not None
                    and row["first_applied_at"] is None
                    and row["desired"] == "present"
                ),
            ),
            Unique("credentials_operation_once", ("operation_id",)),
        ),
        checks=(
            one_of("credentials", "desired", "present", "absent"),
            at_least("credentials", "gen", 1),
            at_least("credentials", "applied_gen", 0),
            Check(
                "credentials_confirmed_within_wish", lambda row: row["applied_gen"] <= row["gen"]
            ),
            one_of("credentials", "origin", "access", "reissue", "move"),
        ),
        foreign=(
            names("credentials", "subscription_id", "subscriptions"),
            names("credentials", "node_id", "nodes"),
            names("credentials", "replaces", "credentials"),
        ),
        indexes={
            "of_subscription": lambda row: row["subscription_id"],
            "of_node": lambda row: row["node_id"],
            "unapplied": lambda row: row["node_id"] if row["applied_gen"] < row["gen"] else None,
        },
        trigger=note_credential,
    ),
    Schema(
        name="outbox",
        columns={
            "id": RANDOM,
            "kind": None,
            "user_id": None,
            "dedupe_key": None,
            "payload": None,
            "state": "due",
            "version": 1,
            "attempts": 0,
            "next_at": NOW,
            "created_at": NOW,
            "sent_at": None,
            "bugs": 0,
        },
        key=("id",),
        required=frozenset(
            {
                "id",
                "kind",
                "dedupe_key",
                "payload",
                "state",
                "version",
                "attempts",
                "next_at",
                "created_at",
                "bugs",
            }
        ),
        uniques=(primary("outbox", "id"), Unique("outbox_dedupe", ("dedupe_key",))),
        checks=(
            one_of("outbox", "kind", "notify", "refund", "alert"),
            one_of("outbox", "state", "due", "sent", "failed"),
        ),
        foreign=(names("outbox", "user_id", "users"),),
        indexes={
            "key": lambda row: row["dedupe_key"],
            "due": lambda row: (row["kind"] == "refund") if row["state"] == "due" else None,
        },
        trigger=note_outbox,
    ),
    Schema(
        name="supervision_events",
        columns={
            "id": None,
            "seq": None,
            "at": None,
            "kind": None,
            "supervisor": None,
            "actor": None,
            "incarnation": None,
            "reason": None,
            "details": {},
            "correlation_id": "",
        },
        key=("id",),
        required=frozenset(
            {
                "id",
                "seq",
                "at",
                "kind",
                "supervisor",
                "actor",
                "reason",
                "details",
                "correlation_id",
            }
        ),
        uniques=(primary("supervision_events", "id"),),
        identity="seq",
    ),
    Schema(
        name="settings_history",
        columns={
            "id": None,
            "key": None,
            "old": None,
            "new": None,
            "actor": None,
            "reason": None,
            "at": CLOCK,
            "revert_at": None,
            "undoes": None,
            "restores": None,
        },
        key=("id",),
        required=frozenset({"id", "key", "actor", "reason", "at"}),
        uniques=(
            primary("settings_history", "id"),
            Unique("settings_history_undone_once", ("undoes",)),
        ),
        foreign=(
            names("settings_history", "undoes", "settings_history"),
            names("settings_history", "restores", "settings_history"),
        ),
        identity="id",
        indexes={"of_key": lambda row: row["key"]},
        append_only=APPEND_ONLY.format("settings_history"),
    ),
    Schema(
        name="admin_actions",
        columns={
            "id": None,
            "at": NOW,
            "actor": None,
            "action": None,
            "target": None,
            "reason": None,
            "details": {},
            "operation_id": None,
        },
        key=("id",),
        required=frozenset({"id", "at", "actor", "action", "target", "reason", "details"}),
        uniques=(
            primary("admin_actions", "id"),
            Unique("admin_actions_operation_once", ("operation_id",)),
        ),
        identity="id",
        indexes={"of_target": lambda row: row["target"]},
        append_only=APPEND_ONLY.format("admin_actions"),
    ),
    Schema(
        name="dead_letters",
        columns={
            "id": None,
            "letter_id": None,
            "correlation_id": "",
            "operation_id": "",
            "actor": None,
            "message_type": None,
            "payload": None,
            "attempts": None,
            "error": None,
            "traceback": None,
            "state": "waiting",
            "created_at": NOW,
            "decided_at": None,
            "decided_by": None,
        },
        key=("id",),
        required=frozenset(
            {
                "id",
                "letter_id",
                "correlation_id",
                "operation_id",
                "actor",
                "message_type",
                "attempts",
                "error",
                "traceback",
                "state",
                "created_at",
            }
        ),
        uniques=(
            primary("dead_letters", "id"),
            Unique("dead_letters_letter_once", ("letter_id",)),
            Unique(
                "dead_letters_one_waiting",
                ("correlation_id",),
                lambda row: row["state"] == "waiting" and row["correlation_id"] != "",
            ),
        ),
        checks=(
            one_of("dead_letters", "state", "waiting", "retried", "dropped"),
            Check(
                "dead_letters_decided_by_someone",
                lambda row: (
                    (row["state"] == "waiting")
                    == (row["decided_at"] is None)
                    == (row["decided_by"] is None)
                ),
            ),
        ),
        identity="id",
        indexes={"letter": lambda row: row["letter_id"]},
    ),
    Schema(
        name="pollers",
        columns={"provider": None, "cursor": None, "last_success_at": None, "repairs": 0},
        key=("provider",),
        required=frozenset({"provider", "repairs"}),
        uniques=(primary("pollers", "provider"),),
    ),
    Schema(
        name="history",
        columns={
            "id": None,
            "at": NOW,
            "user_id": None,
            "kind": None,
            "subject": None,
            "event": None,
            "details": {},
        },
        key=("id",),
        required=frozenset({"id", "at", "kind", "subject", "event", "details"}),
        uniques=(primary("history", "id"),),
        identity="id",
        indexes={"of_user": lambda row: row["user_id"]},
        append_only=APPEND_ONLY.format("history"),
    ),
    Schema(
        name="adopted_users",
        columns={"node_id": None, "uuid": None, "adopted_by": None, "at": NOW},
        key=("node_id", "uuid"),
        required=frozenset({"node_id", "uuid", "adopted_by", "at"}),
        uniques=(primary("adopted_users", "node_id", "uuid"),),
        foreign=(names("adopted_users", "node_id", "nodes"),),
    ),
    Schema(
        name="reconcile_runs",
        columns={
            "id": None,
            "node_id": None,
            "at": NOW,
            "took_s": None,
            "outcome": None,
            "dry_run": False,
            "on_node": None,
            "wanted": None,
            "missing": 0,
            "orphans": 0,
            "raised": 0,
            "removed": 0,
            "details": {},
        },
        key=("id",),
        required=frozenset(
            {
                "id",
                "node_id",
                "at",
                "took_s",
                "outcome",
                "dry_run",
                "on_node",
                "wanted",
                "missing",
                "orphans",
                "raised",
                "removed",
                "details",
            }
        ),
        uniques=(primary("reconcile_runs", "id"),),
        foreign=(names("reconcile_runs", "node_id", "nodes"),),
        identity="id",
        indexes={"of_node": lambda row: row["node_id"]},
    ),
    Schema(
        name="watermarks",
        columns={"name": None, "upto": None},
        key=("name",),
        required=frozenset({"name", "upto"}),
        uniques=(primary("watermarks", "name"),),
    ),
)


def empty(source: random.Random) -> Tables:
    """A database as migrations leave it; ids that it makes up come from `source`."""
    tables = Tables(SCHEMAS, source)
    tables.system.insert()
    tables.shards.insert(id=0)
    tables.keep()
    return tables

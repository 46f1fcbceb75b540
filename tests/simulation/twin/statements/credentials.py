"""Twins of `storage.credentials`, and of the link that `storage.phases` reads."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import Any
from uuid import UUID

from storage import credentials, phases
from tests.simulation.twin.registry import (
    Answer,
    Record,
    newest_first,
    picker,
    statement,
    value,
)
from tests.simulation.twin.statements.outbox import tell_purchase
from tests.simulation.twin.tables import EPOCH, Row, Tables

pick = picker(credentials.COLUMNS, quarantined=lambda row: row["quarantined_at"] is not None)
by_turn = itemgetter("bulk", "next_at")
by_uuid = itemgetter("uuid")

LATEST = datetime.max.replace(tzinfo=UTC)

#: A wish of one person, made just now.
FRESH: dict[str, Any] = {
    "attempts": 0,
    "last_class": None,
    "quarantined_at": None,
    "bulk": False,
}


@statement(credentials.OF_USER, "aa5ffdf9")
def of_user(t: Tables, user_id: int) -> Answer:
    subscription = t.subscriptions.first("of_user", user_id)
    if subscription is None:
        return []
    found = t.credentials.by("of_subscription", subscription["id"])
    return [pick(row) for row in newest_first(found, "created_at")]


@statement(credentials.ADD, "00263ef4")
def add(
    t: Tables,
    uuid: UUID,
    subscription_id: UUID,
    node_id: str,
    replaces: UUID | None,
    origin: str,
    operation_id: str | None,
) -> Answer:
    t.credentials.insert(
        uuid=uuid,
        subscription_id=subscription_id,
        node_id=node_id,
        desired="present",
        replaces=replaces,
        origin=origin,
        operation_id=operation_id,
    )
    return 1


@statement(credentials.RAISE, "c3db6b1f")
def raise_one(t: Tables, uuid: UUID) -> Answer:
    row = t.credentials.get(uuid)
    if row is None:
        return 0
    t.credentials.update(row, **FRESH, desired="present", gen=row["gen"] + 1, next_at=t.now)
    return 1


def remove(t: Tables, row: Row, *, bulk: bool = False) -> None:
    """What REMOVE, a confirmation of a replacement and the end of paid time do."""
    removed = {**FRESH, "desired": "absent", "gen": row["gen"] + 1, "next_at": t.now, "bulk": bulk}
    t.credentials.update(row, **removed)


@statement(credentials.REMOVE, "e729e6ac")
def remove_one(t: Tables, uuid: UUID) -> Answer:
    row = t.credentials.get(uuid)
    if row is None or row["desired"] != "present":
        return 0
    remove(t, row)
    return 1


@statement(credentials.DUE, "7d43bb2e")
def due(
    t: Tables, node_id: str, limit: int, besides: list[UUID], desired: str, repeats: bool
) -> Answer:
    node = t.nodes.get(node_id)
    if node is None or node["state"] == ("removed" if desired == "present" else "frozen"):
        return []
    hands = set(besides)
    found = [
        row
        for row in t.credentials.by("unapplied", node_id)
        if row["desired"] == desired
        and row["quarantined_at"] is None
        and row["next_at"] <= t.now
        and row["uuid"] not in hands
        and (repeats or row["attempts"] == 0)
    ]
    found.sort(key=by_turn)
    return [pick(row) for row in found[:limit]]


def _begun(t: Tables, uuid: UUID, gen: int, busy_for: timedelta) -> Row | None:
    row = _unapplied(t, uuid, gen)
    if row is None:
        return None
    frozen = t.nodes.rows[row["node_id"]]["state"] == "frozen"
    if row["desired"] != "present" and frozen:
        return None
    return t.credentials.update(row, attempts=row["attempts"] + 1, next_at=t.now + busy_for)


@statement(credentials.BEGIN, "dbad93c2")
def begin(t: Tables, uuid: UUID, gen: int, busy_for: timedelta) -> Answer:
    row = _begun(t, uuid, gen, busy_for)
    return [] if row is None else [Record(attempts=row["attempts"], seq=t.next_seq())]


@statement(credentials.BEGIN_MANY, "f4f45d9c")
def begin_many(t: Tables, uuids: list[UUID], gens: list[int], busy_for: timedelta) -> Answer:
    begun = {
        uuid: row
        for uuid, gen in zip(uuids, gens, strict=True)
        if (row := _begun(t, uuid, gen, busy_for)) is not None
    }
    if not begun:
        return []
    seq = t.next_seq()
    return [Record(uuid=uuid, attempts=row["attempts"], seq=seq) for uuid, row in begun.items()]


@statement(credentials.POSTPONE, "9424b1d7")
def postpone(t: Tables, uuid: UUID, gen: int, after: timedelta, error_class: str) -> Answer:
    row = _unapplied(t, uuid, gen)
    if row is None:
        return 0
    t.credentials.update(row, next_at=t.now + after, last_class=error_class)
    return 1


@statement(credentials.QUARANTINE, "861f395f")
def quarantine(t: Tables, uuid: UUID, gen: int, error_class: str) -> Answer:
    row = _unapplied(t, uuid, gen)
    if row is None:
        return []
    t.credentials.update(row, quarantined_at=t.now, last_class=error_class)
    return value("user_id", t.subscriptions.rows[row["subscription_id"]]["user_id"])


@statement(credentials.RESUME, "47955d37")
def resume(t: Tables, node_id: str) -> Answer:
    waiting = [
        row
        for row in t.credentials.by("unapplied", node_id)
        if row["quarantined_at"] is not None or row["next_at"] > t.now
    ]
    for row in waiting:
        t.credentials.update(row, next_at=t.now, quarantined_at=None)
    return len(waiting)


@statement(credentials.TAKE_UP, "eee74e0c")
def take_up(t: Tables, uuids: list[UUID]) -> Answer:
    waiting = [
        row
        for row in (t.credentials.get(uuid) for uuid in uuids)
        if row is not None
        and row["applied_gen"] < row["gen"]
        and row["quarantined_at"] is None
        and row["next_at"] > t.now
    ]
    for row in waiting:
        t.credentials.update(row, next_at=t.now)
    return len(waiting)


@statement(credentials.HASTEN, "fd7f96dc")
def hasten(t: Tables, node_id: str, besides: list[UUID]) -> Answer:
    hands = set(besides)
    waiting = [
        row
        for row in t.credentials.by("unapplied", node_id)
        if row["quarantined_at"] is None
        and (row["next_at"] > t.now or row["attempts"] > 0)
        and row["uuid"] not in hands
    ]
    for row in waiting:
        t.credentials.update(row, next_at=t.now, attempts=0)
    return len(waiting)


@statement(credentials.DELAY, "5e100f51")
def delay(t: Tables, node_id: str, limit: int) -> Answer:
    waiting = [
        row
        for row in t.credentials.by("unapplied", node_id)
        if row["desired"] == "present"
        and row["quarantined_at"] is None
        and row["last_class"] is None
        and not row["bulk"]
    ]
    for row in waiting[:limit]:
        t.credentials.update(row, last_class="away")
    return [Record(subscription_id=row["subscription_id"]) for row in waiting[:limit]]


@statement(credentials.GENERATION, "5a42927c")
def generation(t: Tables, uuid: UUID) -> Answer:
    row = t.credentials.get(uuid)
    return [] if row is None else value("gen", row["gen"])


@statement(credentials.REDRIVE, "2df4d118")
def redrive(t: Tables, node_id: str, after: UUID, limit: int, absent: bool) -> Answer:
    rest = sorted(
        (row for row in t.credentials.by("of_node", node_id) if row["uuid"] > after), key=by_uuid
    )
    page = list(islice(rest, limit))
    for row in page:
        if row["desired"] == "present" or absent:
            t.credentials.update(
                row,
                gen=row["gen"] + 1,
                attempts=0,
                next_at=t.now,
                quarantined_at=None,
                bulk=row["bulk"] or row["applied_gen"] == row["gen"],
            )
    return value("uuid", page[-1]["uuid"]) if page else []


@statement(credentials.HOLD, "6c75bf02")
def hold(t: Tables, uuid: UUID) -> Answer:
    return [Record()] if uuid in t.credentials.rows else []


@statement(credentials.CONFIRM, "40b2d1dc")
def confirm(t: Tables, uuid: UUID, gen: int, link_enc: bytes | None) -> Answer:
    row = _unapplied(t, uuid, gen)
    if row is None:
        return []
    was = t.subscriptions.rows[row["subscription_id"]]
    present = row["desired"] == "present"
    first = row["first_applied_at"]
    t.credentials.update(
        row,
        **FRESH,
        applied_gen=gen,
        link_enc=row["link_enc"] if link_enc is None else link_enc,
        first_applied_at=t.now if present and first is None else first,
        applied_at=t.now,
    )
    if not present:
        return [Record(user_id=was["user_id"], activated=False)]
    replaced = t.credentials.get(row["replaces"])
    if replaced is not None and replaced["desired"] == "present":
        remove(t, replaced)
    begins = was["status"] == "activating"
    if begins:
        _begin_time(t, was, f"{uuid}:{gen}")
    if begins or (was["status"] == "active" and first is None):
        t.outbox.insert_unless(
            "outbox_dedupe",
            kind="notify",
            user_id=was["user_id"],
            dedupe_key=f"link:{uuid}:{gen}",
            payload={"uuid": str(uuid), "notice": "link"},
        )
    return [Record(user_id=was["user_id"], activated=begins)]


def _begin_time(t: Tables, was: Row, source_id: str) -> None:
    begun = t.subscriptions.update(
        was,
        status="active",
        pending_s=0,
        version=was["version"] + 1,
        expires_at=max(t.now, was["expires_at"] or EPOCH) + timedelta(seconds=was["pending_s"]),
    )
    t.ledger.insert(
        subscription_id=was["id"],
        version=begun["version"],
        delta_s=0,
        expires_before=was["expires_at"],
        expires_after=begun["expires_at"],
        pending_before=was["pending_s"],
        pending_after=0,
        source_kind="activation",
        source_id=source_id,
        reason="access works: paid time starts",
        actor="provisioner",
    )
    for order in t.purchases.by("of_user", was["user_id"]):
        if order["status"] == "paid" and order["fulfilled_at"] is None:
            t.purchases.update(order, fulfilled_at=t.now)
            tell_purchase(t, order)


@statement(credentials.CONFIRM_MANY, "c6c575c4")
def confirm_many(
    t: Tables, uuids: list[UUID], gens: list[int], links: list[bytes | None]
) -> Answer:
    confirmed = []
    for uuid, gen, link in zip(uuids, gens, links, strict=True):
        row = _unapplied(t, uuid, gen)
        if row is None or not _plain(t, row):
            continue
        t.credentials.update(
            row,
            **FRESH,
            applied_gen=gen,
            link_enc=row["link_enc"] if link is None else link,
            applied_at=t.now,
        )
        confirmed.append(Record(uuid=uuid))
    return confirmed


def _plain(t: Tables, row: Row) -> bool:
    """Whether nothing follows from a confirmation."""
    if row["desired"] == "absent":
        return True
    status = t.subscriptions.rows[row["subscription_id"]]["status"]
    return row["first_applied_at"] is not None and status != "activating"


def _unapplied(t: Tables, uuid: UUID, gen: int) -> Row | None:
    row = t.credentials.get(uuid)
    if row is None or row["gen"] != gen or row["applied_gen"] >= gen:
        return None
    return row


@statement(phases.LINK, "214cd885")
def link(t: Tables, subscription_id: UUID) -> Answer:
    found = [
        row
        for row in t.credentials.by("of_subscription", subscription_id)
        if row["desired"] == "present" and row["link_enc"] is not None
    ]
    if not found:
        return []
    # NULLs come first in a descending order.
    row = max(found, key=lambda row: row["first_applied_at"] or LATEST)
    old = t.credentials.get(row["replaces"])
    moved: bool | None = row["origin"] == "move"
    if moved and row["applied_at"] is None:
        moved = None
    elif moved and row["applied_at"] != row["first_applied_at"]:
        moved = False
    if moved is not False and (old is None or old["first_applied_at"] is None):
        moved = False
    return [Record(link_enc=row["link_enc"], moved=moved)]

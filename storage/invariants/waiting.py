"""Nothing waits for too long, or it is known why and somebody was told."""

from datetime import datetime, timedelta

from storage.invariants.rules import (
    HEALED_WITHIN,
    SHOWN,
    Found,
    Life,
    Row,
    Scene,
    always,
    eventually,
)

#: Money is decided about within seconds.
DECIDED_WITHIN = timedelta(seconds=30)
#: What is due to be told, or given back, is tried within seconds.
TRIED_WITHIN = timedelta(seconds=60)
#: Nodes in these states are sent nothing any more, but perhaps whom to shut out.
GIVEN_UP = ("lost", "removed")


@eventually("I5", "no payment waits to be credited")
def decided(life: Life) -> Found:
    """Received money became something else."""
    for row in life.payments:
        age = life.scene.now - row["received_at"]
        if row["disposition"] == "received" and age > DECIDED_WITHIN:
            yield {"payment": row["number"], "waits_s": round(age.total_seconds())}


@eventually("I5", "active access is applied, and has a link")
def applied(life: Life) -> Found:
    """Whoever's time runs comes in; a node that is not called excuses, and owners know of it."""
    if life.status != "active":
        return
    present = life.present
    works = any(row["applied_gen"] == row["gen"] and row["link_enc"] is not None for row in present)
    if works or any(row["node_id"] in life.scene.away for row in present):
        return
    if not any(_age(row, life) < life.scene.patience for row in present):
        yield {"present": len(present)}


@eventually("I12", "no wish waits for its node for too long")
def wishes(life: Life) -> Found:
    """Unless it was set aside, or its node takes no such wishes now."""
    for row in life.credentials:
        if row["applied_gen"] >= row["gen"] or row["quarantined_at"] is not None:
            continue
        if _excused(row, life.scene) or life.story is None:
            continue
        age = _age(row, life)
        if age > HEALED_WITHIN:
            yield {
                "key": row["uuid"],
                "node": row["node_id"],
                "wish": row["desired"],
                "waits_s": round(age.total_seconds()),
            }


@always("I12", "owners know of each wish that was set aside")
def set_aside(life: Life) -> Found:
    """A row that nobody tries any more has its alert."""
    for row in life.credentials:
        if not is_set_aside(row) or not life.scene.owners:
            continue
        if alert_of(row) not in life.scene.alerts:
            yield {"key": row["uuid"], "gen": row["gen"]}


@eventually("I12", "no message or refund is due for too long")
def messages(life: Life) -> Found:
    """Who blocked the bot is told later; behind a message that waits, later ones wait too."""
    now = life.scene.now
    told = [row for row in life.messages if row["kind"] != "refund" and row["state"] == "due"]
    held = not life.user["reachable"] or any(row["next_at"] > now for row in told)
    for row in life.messages:
        if row["state"] != "due" or (row["kind"] != "refund" and held):
            continue
        age = now - row["next_at"]
        if age > TRIED_WITHIN:
            yield {"message": row["id"], "kind": row["kind"], "due_s": round(age.total_seconds())}


@eventually("I12", "time that is over has ended")
def ends(life: Life) -> Found:
    """Unless money waits that may be time, or ends are held."""
    if life.subscription is None or life.status != "active" or life.scene.ends_held:
        return
    over = life.scene.now - life.subscription["expires_at"]
    waits = any(row["disposition"] == "received" for row in life.payments)
    if over > HEALED_WITHIN and not waits:
        yield {"over_s": round(over.total_seconds())}


RULES = (decided, applied, wishes, set_aside, messages, ends)


def is_set_aside(row: Row) -> bool:
    """Whether nobody tries to apply this credential any more."""
    return row["applied_gen"] < row["gen"] and row["quarantined_at"] is not None


def alert_of(row: Row) -> tuple[str, str]:
    """What owners should know of a credential that was set aside; see `Scene.alerts`."""
    return "alert-key-set-aside", str(row["uuid"])[:SHOWN]


def _age(row: Row, life: Life) -> timedelta:
    """For how long the wish has been as it is."""
    last = (life.story or {}).get(("key", str(row["uuid"])[:SHOWN]))
    since: datetime = last["at"] if last else row["created_at"]
    return life.scene.now - since


def _excused(row: Row, scene: Scene) -> bool:
    state = scene.nodes[row["node_id"]]["state"] if row["node_id"] in scene.nodes else "active"
    if row["node_id"] in scene.away or state in GIVEN_UP:
        return True
    return state == "frozen" and row["desired"] == "absent"

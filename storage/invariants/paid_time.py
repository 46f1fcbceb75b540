"""Each second of paid time is explained by a row of the ledger."""

from datetime import datetime, timedelta

from config.plans import LONGEST_PERIOD_S
from storage.invariants.rules import Details, Found, Life, Row, always

#: How long before its ledger row a change of time may have been decided.
DECIDED_BEFORE = timedelta(seconds=30)
NOTHING = timedelta(0)


@always("I7", "the ledger is a chain")
def chain(life: Life) -> Found:
    """Each row begins where the one before it ended."""
    version, expires_at, pending_s = 0, None, 0
    for row in life.ledger:
        begins = (row["version"], row["expires_before"], row["pending_before"])
        if begins != (version + 1, expires_at, pending_s):
            yield _entry(row)
        version, expires_at, pending_s = (
            row["version"],
            row["expires_after"],
            row["pending_after"],
        )


@always("I7", "the ledger ends where the subscription stands")
def end(life: Life) -> Found:
    """Without a row nothing was ever bought."""
    if life.subscription is None:
        return
    last = life.ledger[-1] if life.ledger else None
    told = (last["version"], last["expires_after"], last["pending_after"]) if last else (0, None, 0)
    stands = tuple(life.subscription[name] for name in ("version", "expires_at", "pending_s"))
    if told != stands:
        yield {"version": stands[0], "last_version": told[0]}


@always("I17", "only what is bought, given or taken back changes the sum of time")
def kinds(life: Life) -> Found:
    """Each kind of row, and which way it may change the sum."""
    for row in life.ledger:
        delta_s = row["delta_s"]
        match row["source_kind"]:
            case "payment" | "grant" | "trial":
                right = delta_s > 0
            case "activation" | "expiry" | "suspend" | "restore":
                right = delta_s == 0
            case "refund":
                right = delta_s <= 0
            case kind:
                right = kind == "change"
        if not right:
            yield _entry(row)


@always("I17", "no row is beyond the bounds")
def bounds(life: Life) -> Found:
    """Nobody buys, or is given, ten years at once."""
    for row in life.ledger:
        if abs(row["delta_s"]) > LONGEST_PERIOD_S:
            yield _entry(row)


@always("I17", "each change of time is what its row says")
def changes(life: Life) -> Found:
    """What waits and what runs grew by just that much.

    Except that a decision was made a little before its row, which only shows where time ended in
    between.
    """
    for row in life.ledger:
        at, before, after = row["at"], row["expires_before"], row["expires_after"]
        gained = _gained(at, before, after)
        if gained is None:
            yield _entry(row)
            continue
        changed = gained + timedelta(seconds=row["pending_after"] - row["pending_before"])
        runs = before is not None and before > at
        exact = runs or gained == NOTHING or row["source_kind"] == "activation"
        late = timedelta(seconds=row["delta_s"]) - changed
        if not NOTHING <= late <= (NOTHING if exact else DECIDED_BEFORE):
            yield {**_entry(row), "changed_s": changed.total_seconds()}


@always("I17", "time starts no earlier than access")
def starts(life: Life) -> Found:
    """The key that an activation names was applied before."""
    applied = {str(key["uuid"]): key["first_applied_at"] for key in life.credentials}
    for row in life.ledger:
        if row["source_kind"] == "activation":
            first = applied.get(row["source_id"].partition(":")[0])
            if first is None or first > row["at"]:
                yield {"entry": row["id"], "at": row["at"], "first_applied_at": first}


RULES = (chain, end, kinds, bounds, changes, starts)


def _gained(at: datetime, before: datetime | None, after: datetime | None) -> timedelta | None:
    """How much longer time runs; None where its end was lost."""
    if after == before:
        return NOTHING
    if after is None:
        return None
    return after - (max(at, before) if before is not None else at)


def _entry(row: Row) -> Details:
    return {
        "entry": row["id"],
        "version": row["version"],
        "kind": row["source_kind"],
        "delta_s": row["delta_s"],
    }

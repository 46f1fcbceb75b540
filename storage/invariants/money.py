"""Money has the time, the refund and the story that it should have."""

from storage.invariants.rules import Details, Found, Life, Row, always

#: Money in these states went back, or is on its way.
RETURNED = ("refund_pending", "refunded")


@always("I4", "money has the ledger rows that its disposition says")
def booked(life: Life) -> Found:
    """Credited money has one row; returned money as many reversals as credits; other money none."""
    for payment in life.payments:
        credits_, refunds = (len(_rows(life, kind, payment)) for kind in ("payment", "refund"))
        match payment["disposition"]:
            case "credited":
                right = (credits_, refunds) == (1, 0)
            case "refund_pending" | "refunded":
                right = credits_ == refunds <= 1
            case _:
                right = credits_ == refunds == 0
        if not right:
            yield {**_named(payment), "credits": credits_, "refunds": refunds}


@always("I4", "a refund takes no more than its payment bought")
def within_its_payment(life: Life) -> Found:
    """Each row of a refund, beside the row of the credit."""
    bought = {r["source_id"]: r["delta_s"] for r in life.ledger if r["source_kind"] == "payment"}
    for row in life.ledger:
        if row["source_kind"] == "refund" and -row["delta_s"] > bought.get(row["source_id"], -1):
            yield {"entry": row["id"], "source": row["source_id"], "delta_s": row["delta_s"]}


@always("I4", "money on its way back waits for its provider, or for an owner")
def on_its_way(life: Life) -> Found:
    """A refund is due, or an owner's task, exactly while its payment is on its way back."""
    waiting = {row["dedupe_key"]: row["state"] for row in life.messages if row["kind"] == "refund"}
    for payment in life.payments:
        state = waiting.get(f"refund:{source_of(payment)}")
        if payment["disposition"] == "refund_pending":
            right = state in {"due", "failed"}
        else:
            right = state != "due"
        if not right:
            yield {**_named(payment), "refund": state}


@always("I4", "time is only credited for a payment")
def paid_for(life: Life) -> Found:
    """A credit is as long as what its payment's order says."""
    periods = {order["id"]: order["period_s"] for order in life.purchases}
    worth = {source_of(payment): periods.get(payment["purchase_id"]) for payment in life.payments}
    for row in life.ledger:
        if row["source_kind"] == "payment" and worth.get(row["source_id"]) != row["delta_s"]:
            yield {"entry": row["id"], "source": row["source_id"], "delta_s": row["delta_s"]}


@always("I4", "the story ends where orders and payments stand")
def told_as_it_stands(life: Life) -> Found:
    """The last entry of each is its state."""
    if life.story is None:
        return
    stands = [("purchase", str(order["id"]), order["status"]) for order in life.purchases]
    stands += [("payment", str(pay["number"]), pay["disposition"]) for pay in life.payments]
    for kind, subject, state in stands:
        last = life.story.get((kind, subject))
        if last is None or last["event"] != state:
            yield {kind: subject, "state": state, "told": last["event"] if last else None}


RULES = (booked, within_its_payment, on_its_way, paid_for, told_as_it_stands)


def source_of(payment: Row) -> str:
    """What ledger rows of a payment are named by."""
    return f"{payment['provider']}:{payment['provider_payment_id']}"


def _rows(life: Life, kind: str, payment: Row) -> list[Row]:
    source = source_of(payment)
    return [r for r in life.ledger if r["source_kind"] == kind and r["source_id"] == source]


def _named(payment: Row) -> Details:
    return {"payment": payment["number"], "disposition": payment["disposition"]}

"""What must hold of the protocol: in every state, in every step, and wherever it comes to rest."""

from functools import lru_cache

from storage.rows import SubscriptionStatus
from tests.model.states import OVER, Call, Database, Node, State

REVIVED = "revived: a uuid whose removal is confirmed lets somebody in"
DIVERGED = "diverged: nothing is left to do, and the node is not what the database wants"
FELL = "a generation fell"
CAME_BACK = "a uuid came back although another one took its place"
AHEAD_OF_US = "the node holds a generation that was never committed"
CONFIRMED_AHEAD = "more is confirmed than was wished"
TOO_MANY = "two uuids let in, and none is about to take the other's place"
UNENTITLED = "access and present credentials disagree"
MISCOUNTED = "time given is not time bought"

ENTITLED = (SubscriptionStatus.ACTIVE, SubscriptionStatus.ACTIVATING)
#: What steps may cost at most, so that each kind pays for the ones that it causes.
EXPIRY_PAYS, EPOCH_PAYS, RETIREMENT_PAYS, CALL_PAYS = 1000, 300, 25, 10


def wrong(state: State) -> str | None:
    """The rule that a state breaks."""
    return _wrong_rows(state.database) or _wrong_node(state.database, state.node)


def wrong_step(before: State, after: State) -> str | None:
    """The rule that a step breaks."""
    if after.database is not before.database:
        rule = _wrong_write(before.database, after.database)
        if rule is not None:
            return rule
    if after.node is not before.node and _forgot(before.node, after.node):
        return FELL
    return None


def wrong_rest(state: State) -> str | None:
    """The rule that is broken where nothing more would happen by itself."""
    return None if _converged(state.database, state.node) else DIVERGED


def rank(state: State) -> int:
    """An upper bound of what is left to do; every fair step lowers it."""
    database, calls = state.database, state.calls
    return _rank(database, state.node.epoch, calls)


@lru_cache(None)
def _rank(database: Database, node_epoch: int, calls: tuple[Call, ...]) -> int:
    subscription, known = database.subscription, database.epoch == node_epoch
    total = 0 if known else EPOCH_PAYS
    if subscription and subscription.status is SubscriptionStatus.ACTIVE:
        total += EXPIRY_PAYS * (subscription.ends == OVER)
    for row in database.credentials:
        total += CALL_PAYS * row.due
        taking_place = row.present and row.replaces is not None and not row.was_applied
        total += RETIREMENT_PAYS * taking_place
    for request, answer in calls:
        total -= 1 if answer is None else 2
        row = database.credentials[request.slot]
        refused = request.epoch != node_epoch if answer is None else answer.status != 200
        total += CALL_PAYS * (request.gen != row.gen or (known and refused))
    return total


@lru_cache(None)
def _wrong_rows(database: Database) -> str | None:
    subscription, rows = database.subscription, database.credentials
    present = [row for row in rows if row.present]
    if any(row.applied_gen > row.gen for row in rows):
        return CONFIRMED_AHEAD
    if len(present) > 1 and not _one_takes_over(database):
        return TOO_MANY
    if subscription is None:
        return None
    if (subscription.status in ENTITLED) != bool(present):
        return UNENTITLED
    waits_in_vain = subscription.status is SubscriptionStatus.ACTIVE and subscription.waits
    if waits_in_vain or subscription.waits + subscription.ran != subscription.sold:
        return MISCOUNTED
    return None


def _one_takes_over(database: Database) -> bool:
    present = [slot for slot, row in enumerate(database.credentials) if row.present]
    newcomers = [database.credentials[slot] for slot in present]
    return len(present) == 2 and any(
        row.replaces in present and not row.was_applied for row in newcomers
    )


@lru_cache(None)
def _wrong_node(database: Database, node: Node) -> str | None:
    for slot, seen in enumerate(node.seen):
        if seen is None:
            continue
        if slot >= len(database.credentials) or seen.gen > database.credentials[slot].gen:
            return AHEAD_OF_US
        row = database.credentials[slot]
        if seen.present and not row.present and not row.due:
            return REVIVED
    return None


@lru_cache(None)
def _wrong_write(before: Database, after: Database) -> str | None:
    gone = len(after.credentials) < len(before.credentials)
    pairs = list(zip(before.credentials, after.credentials, strict=False))
    if gone or any(new.gen < old.gen or new.applied_gen < old.applied_gen for old, new in pairs):
        return FELL
    replaced = {row.replaces for row in before.credentials}
    returned = (slot for slot, (old, new) in enumerate(pairs) if new.present and not old.present)
    if not replaced.isdisjoint(returned):
        return CAME_BACK
    return None


@lru_cache(None)
def _forgot(before: Node, after: Node) -> bool:
    if before.epoch != after.epoch:
        return False
    pairs = zip(before.seen, after.seen, strict=True)
    return any(old is not None and (new is None or new.gen < old.gen) for old, new in pairs)


@lru_cache(None)
def _converged(database: Database, node: Node) -> bool:
    """Node and database agree on who is let in and under which generation; time runs."""
    subscription = database.subscription
    if subscription is not None and subscription.status is SubscriptionStatus.ACTIVATING:
        return False
    if subscription is not None and subscription.ends == OVER:
        return subscription.status is SubscriptionStatus.EXPIRED and _same(database, node)
    return _same(database, node)


def _same(database: Database, node: Node) -> bool:
    wanted = {(slot, row.gen) for slot, row in enumerate(database.credentials) if row.present}
    held = {(slot, seen.gen) for slot, seen in enumerate(node.seen) if seen and seen.present}
    return wanted == held and not any(row.due for row in database.credentials)


def show(state: State) -> str:
    """A state, on one line."""
    database, node = state.database, state.node
    status = database.subscription.status if database.subscription else "none"
    rows = " ".join(
        f"{'AB'[slot]}:{_sign(row.present)}{row.gen}/{row.applied_gen}"
        for slot, row in enumerate(database.credentials)
    )
    held = " ".join(
        f"{'AB'[slot]}:{_sign(seen.present)}{seen.gen}"
        for slot, seen in enumerate(node.seen)
        if seen
    )
    return f"{status} [{rows}] epoch {database.epoch} | node [{held}] epoch {node.epoch}"


def _sign(present: object) -> str:
    return "+" if present else "-"

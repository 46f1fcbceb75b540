"""Pure: what differs between a node and the database, and how much of it may be mended at once.

The database is the authority, unless something says that one of the two sides was restored from a
copy: then nobody is removed, and a person looks.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from storage.rows import Desired, WantedRow

#: A user without a right is removed when it was seen in two lists at least so far apart, seconds.
SEEN_TWICE_S = 60.0
#: Fewer users than this are compared by the buckets of the node's own choice.
LARGE = 100_000
FEW_BUCKETS, MANY_BUCKETS = 4_096, 65_536
#: When more than this share of buckets differs, everything is listed.
LIST_ALL_SHARE = 0.25
UUID_BITS = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerLimits:
    """How a node is compared; times in seconds.

    In one run, and within a day, may go the larger of `guard_users` and a share of all, never more
    than the last.

    Attributes:
        enabled: whether it is compared unasked.
        removals: whether users without a right go.
        interval_s: between two runs.
        guard_users: so many may go whatever their share.
        guard_share: such a share of all may go.
        guard_most: never more than so many.
    """

    enabled: bool = True
    removals: bool = True
    interval_s: float = 60.0
    guard_users: int = 20
    guard_share: float = 0.01
    guard_most: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What differs in a range; pairs of a uuid and a generation.

    Attributes:
        missing: the node confirmed them and has them no more; the row's generation.
        leftover: their rows say absent, and the node has them; the node's generation.
        unknown: the node has them, and there is no row; the node's generation.
        ahead: the node has seen a generation that the database never made; the node's.
    """

    missing: tuple[WantedRow, ...] = ()
    leftover: tuple[tuple[UUID, int], ...] = ()
    unknown: tuple[tuple[UUID, int], ...] = ()
    ahead: tuple[tuple[UUID, int], ...] = ()


def compare(listed: Mapping[UUID, int], rows: Iterable[WantedRow]) -> Difference:
    """Compare a node's list of a range with the rows of that range, which were read after it.

    A row that was confirmed after the list was asked for says nothing: the list may be older.
    """
    missing: list[WantedRow] = []
    leftover: list[tuple[UUID, int]] = []
    ahead: list[tuple[UUID, int]] = []
    unknown = dict(listed)
    for row in rows:
        gen = unknown.pop(row.uuid, None)
        if gen is not None and gen > row.gen:
            ahead.append((row.uuid, gen))
        elif not row.settled:
            continue
        elif row.desired is Desired.ABSENT:
            if gen is not None:
                leftover.append((row.uuid, gen))
        elif gen != row.gen:
            missing.append(row)
    return Difference(
        missing=tuple(missing),
        leftover=tuple(leftover),
        unknown=tuple(unknown.items()),
        ahead=tuple(ahead),
    )


def guard(on_node: int, wanted: int, limits: ReconcilerLimits) -> int:
    """How many users may be removed in one run, and within a day."""
    share = int(min(on_node, wanted) * limits.guard_share)
    return min(limits.guard_most, max(limits.guard_users, share))


def why_not_removed(
    orphans: int,
    on_node: int,
    wanted: int,
    limits: ReconcilerLimits,
    *,
    known: bool,
    keyless: int = 0,
    lately: int = 0,
) -> str:
    """Why nobody may be removed, in words; empty if they may.

    Args:
        orphans: users of the node without a right.
        on_node: users of the node.
        wanted: those whom the database wants there.
        limits: how many may go at once, and within a day.
        known: whether the database ever had any there.
        keyless: people with access of whom there is no key.
        lately: others who were removed within a day.
    """
    if orphans and not known:
        return f"it has {on_node} users, and this database never had any there"
    if orphans and keyless:
        return f"{orphans} of its users have no rows, and {keyless} people with access have no key"
    most = guard(on_node, wanted, limits)
    if orphans > most:
        return f"{orphans} of its {on_node} users should not be there, and {most} may go at once"
    if orphans and orphans + lately > most:
        return f"{lately} were removed within a day, {orphans} more are to go, and {most} may"
    return ""


def buckets_for(users: int) -> int:
    """Into how many parts so many users are divided to be compared."""
    return MANY_BUCKETS if users > LARGE else FEW_BUCKETS


def ranges(numbers: Sequence[int], buckets: int) -> list[tuple[UUID, UUID]]:
    """The uuids of buckets that differ, neighbours together: first and last of each range."""
    if len(numbers) > LIST_ALL_SHARE * buckets:
        return [(UUID(int=0), UUID(int=2**UUID_BITS - 1))]
    width = 2**UUID_BITS // buckets
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return [(UUID(int=first * width), UUID(int=(last + 1) * width - 1)) for first, last in found]

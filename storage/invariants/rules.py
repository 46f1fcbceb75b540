"""What a rule is, and what it is asked of: everything of one user, in one moment."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar
from uuid import UUID

#: A row under the names of its columns.
Row: TypeAlias = Mapping[str, Any]
#: Rows by the names of their tables.
Tables: TypeAlias = Mapping[str, Iterable[Row]]
#: What breaks a rule: values that say what to look at.
Details: TypeAlias = Mapping[str, Any]
Found: TypeAlias = Iterator[Details]

#: What holds eventually holds so long after the last fault.
HEALED_WITHIN = timedelta(seconds=90)
#: So much of a uuid tells one from another; the whole would let its reader in.
SHOWN = 8

Case = TypeVar("Case")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Case]):
    """A sentence that is true of every case, and what finds where it is not.

    Attributes:
        number: as in the table of invariants.
        sentence: what is true.
        find: gives what breaks it.
        eventual: true only once there has been no fault for `HEALED_WITHIN`.
    """

    number: str
    sentence: str
    find: Callable[[Case], Found]
    eventual: bool = False

    def __str__(self) -> str:
        return f"{self.number} {self.sentence}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A rule that does not hold, of whom or what, and what was found."""

    rule: str
    subject: str
    details: Details

    def __str__(self) -> str:
        told = ", ".join(f"{name}={shown(value)}" for name, value in self.details.items())
        return f"{self.rule}: {self.subject}" + (f" ({told})" if told else "")


def always(number: str, sentence: str) -> Callable[[Callable[[Case], Found]], Rule[Case]]:
    """Make a rule that is true in every moment."""
    return lambda find: Rule(number, sentence, find)


def eventually(number: str, sentence: str) -> Callable[[Callable[[Case], Found]], Rule[Case]]:
    """Make a rule that is true once nothing has gone wrong for a while."""
    return lambda find: Rule(number, sentence, find, eventual=True)


def broken_by(
    case: Case, subject: str, rules: Iterable[Rule[Case]], *, healed: bool = True
) -> list[Broken]:
    """What of these rules a case breaks.

    Args:
        case: what the rules are about.
        subject: what to call it.
        rules: to hold it to.
        healed: whether what holds eventually must hold now.
    """
    return [
        Broken(rule=str(rule), subject=subject, details=details)
        for rule in rules
        if healed or not rule.eventual
        for details in rule.find(case)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What lives are judged in.

    Attributes:
        now: PostgreSQL's, when the rows were read.
        open_link: makes a link of its stored form; raises what it likes. None: links stay closed.
        nodes: rows by id.
        away: nodes that are not called now, because of a breaker, a refused key or a switch.
        alerts: what owners were told of: the text's id, and the key, node or payment in it.
        owners: whether there are any who could be told.
        ends_held: whether nobody's access ends just now, by a switch or a doubted clock.
        patience: how long what nodes should do may be under way; where people trade, some is.
    """

    now: datetime
    open_link: Callable[[bytes], str] | None
    nodes: Mapping[str, Row] = field(default_factory=dict)
    away: Collection[str] = frozenset()
    alerts: Collection[tuple[str, str]] = frozenset()
    owners: bool = False
    ends_held: bool = False
    patience: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Everything of one user.

    Attributes:
        ledger: by version.
        messages: the outbox's rows for this user.
        acts: of owners, about this user or this user's time.
        story: the last entry of the history for each subject, by kind and subject; None where no
            history is kept.
    """

    scene: Scene
    user: Row
    subscription: Row | None
    credentials: Sequence[Row]
    ledger: Sequence[Row]
    purchases: Sequence[Row]
    payments: Sequence[Row]
    messages: Sequence[Row]
    acts: Sequence[Row]
    story: Mapping[tuple[str, str], Row] | None

    @property
    def status(self) -> str:
        """The subscription's; `none` without one."""
        return self.subscription["status"] if self.subscription else "none"

    @property
    def present(self) -> list[Row]:
        """Credentials that should be let in."""
        return [row for row in self.credentials if row["desired"] == "present"]


def lives(tables: Tables, scene: Scene) -> Iterator[Life]:
    """The life of each user of whom there is a row in `users`.

    Args:
        tables: rows by table; of `history` at least the last one for each subject. Without that
            table no history is kept.
        scene: what they are judged in.
    """
    of = {
        name: _grouped(tables.get(name, ()), "user_id")
        for name in ("subscriptions", "purchases", "payments", "outbox")
    }
    credentials = _grouped(tables.get("credentials", ()), "subscription_id")
    ledger = _grouped(tables.get("ledger", ()), "subscription_id")
    acts = list(tables.get("admin_actions", ()))
    about = _grouped(acts, "target")
    by_operation = _grouped(acts, "operation_id")
    stories = _stories(tables["history"]) if "history" in tables else None
    for user in tables.get("users", ()):
        number = user["tg_id"]
        subscription = next(iter(of["subscriptions"][number]), None)
        id_ = subscription["id"] if subscription else None
        own = sorted(ledger[id_], key=lambda row: row["version"])
        yield Life(
            scene=scene,
            user=user,
            subscription=subscription,
            credentials=credentials[id_],
            ledger=own,
            purchases=of["purchases"][number],
            payments=of["payments"][number],
            messages=of["outbox"][number],
            acts=[*about[str(number)], *(a for row in own for a in by_operation[row["source_id"]])],
            story=None if stories is None else stories.get(number, {}),
        )


def told_of(outbox: Iterable[Row]) -> set[tuple[str, str]]:
    """What owners were told of, by the rows of alerts."""
    return {
        (row["payload"]["text_id"], str(row["payload"]["arguments"][name]))
        for row in outbox
        if row["kind"] == "alert"
        for name in ("key", "node", "number")
        if name in row["payload"]["arguments"]
    }


def shown(value: Any) -> str:
    """A value for people; of a uuid only what tells it from others."""
    return str(value)[:SHOWN] if isinstance(value, UUID) else str(value)


def _grouped(rows: Iterable[Row], column: str) -> defaultdict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[column]].append(row)
    return groups


def _stories(history: Iterable[Row]) -> dict[Any, dict[tuple[str, str], Row]]:
    stories: dict[Any, dict[tuple[str, str], Row]] = {}
    for row in history:
        story, key = stories.setdefault(row["user_id"], {}), (row["kind"], row["subject"])
        if key not in story or story[key]["id"] < row["id"]:
            story[key] = row
    return stories

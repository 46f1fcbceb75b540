"""What a back-end answered, as lines. Pure: values and a width go in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from actors.runtime.inspection import ActorDetails
from config.tuning import Forecast, Tunable
from storage.rows import AdminActionRow, DeadLetterRow, EventRow, SettingChangeRow
from supervisors.console.tree import in_hand_of, restarts_of, told_below
from supervisors.console.words import clean, cut, moment, shown, span, table

INDENT = "  "
#: What the inbox calls its messages; a retry is its own work, and needs nothing of the letter.
UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One moment of a user's story, in words."""

    at: datetime
    text: str


def story_lines(user: int, story: Sequence[Moment], left_out: int, *, width: int) -> list[str]:
    """What became of a user, oldest first."""
    lines = [f"User {user}, oldest first:"]
    if left_out:
        lines.append(f"({_counted(left_out, 'earlier moment')} left out)")
    lines += [f"{moment(one.at)}{INDENT}{clean(one.text)}" for one in story]
    return [cut(line, width) for line in lines]


def act_lines(acts: Sequence[AdminActionRow], *, width: int) -> list[str]:
    """What operators did, newest first."""
    if not acts:
        return ["No operator did anything yet."]
    rows = [
        (
            str(act.id),
            moment(act.at),
            clean(act.actor),
            clean(act.action),
            clean(act.target),
            clean(act.reason),
        )
        for act in acts
    ]
    return table(("ID", "AT", "BY", "DID", "TO", "WHY"), rows, width=width, right=("ID",))


def policy_lines(policies: Sequence[Tunable], *, width: int) -> list[str]:
    """Every value, what it may be, and which ones an operator changed."""
    rows = [
        (
            policy.key,
            shown(policy.value),
            f"changed from {shown(policy.default)}" if policy.changed else "",
            clean(policy.bounds),
        )
        for policy in policies
    ]
    return table(("KEY", "VALUE", "CHANGED", "MAY BE"), rows, width=width, right=("VALUE",))


def change_lines(change: SettingChangeRow) -> list[str]:
    """What a change did, and how to take it back."""
    line = f"{clean(change.key)}: {_transition(change)}"
    if change.revert_at is not None:
        line += f", until {moment(change.revert_at, beside=change.at)} (taken back by itself)"
    if change.undoes is not None:
        line += f" (change {change.undoes} is undone)"
    return [line, f"Undo: tollgate policy undo {change.id}"]


def forecast_lines(forecast: Forecast) -> list[str]:
    """What a change would have done."""
    change = f"{clean(forecast.key)}: {shown(forecast.old)} -> {shown(forecast.new)}"
    restarts = f"{_counted(forecast.restarts, 'restart')} of {_counted(forecast.actors, 'actor')}"
    before, after = forecast.too_many_before, forecast.too_many_after
    return [
        f"{change} (nothing is changed)",
        f"In the last {span(forecast.within_s)}: {restarts};",
        f"too many {_counted(before, 'time')} as it is, {_counted(after, 'time')} as it would be.",
    ]


def history_lines(changes: Sequence[SettingChangeRow], *, width: int) -> list[str]:
    """The last changes, newest first."""
    if not changes:
        return ["Nothing has been changed."]
    rows = [
        (
            str(change.id),
            moment(change.at),
            clean(change.key),
            _transition(change),
            clean(change.actor),
            _remarks(change),
        )
        for change in changes
    ]
    head = ("ID", "AT", "KEY", "CHANGE", "BY", "REMARKS")
    return table(head, rows, width=width, right=("ID",))


def actor_lines(
    details: ActorDetails, events: Sequence[EventRow] | None, *, width: int
) -> list[str]:
    """A look inside one actor. `events` is None where they cannot be read now."""
    view = details.view
    facts = [
        f"restarts {restarts_of(view)}",
        f"inbox {view.inbox:,}" + (f", oldest {span(view.oldest_s)}" if view.oldest_s else ""),
        f"handled {details.handled:,}, failed {details.failed:,}",
    ]
    if details.mean_s is not None and details.longest_s is not None:
        facts.append(f"mean {span(details.mean_s)}, longest {span(details.longest_s)}")
    who = f"{clean(view.name)} ({clean(view.kind) or 'not there'}) of {clean(details.supervisor)}"
    lines = [
        f"{who}: {view.state}, life {view.incarnation}",
        INDENT + "; ".join(facts),
    ]
    if view.in_hand is not None:
        lines.append(f"{INDENT}in hand: {in_hand_of(view)}")
    lines += [INDENT + words for words in told_below(view)]
    if details.state:
        lines += ["", "State", *_fields(details.state)]
    lines += ["", "Last messages", *_indented(_recent_lines(details, width=width - len(INDENT)))]
    lines += ["", "Events"]
    if events is None:
        lines.append(f"{INDENT}cannot be read now")
    else:
        lines += _indented(event_lines(events, width=width - len(INDENT)))
    return [cut(line, width) for line in lines]


def event_lines(events: Sequence[EventRow], *, width: int) -> list[str]:
    """What happened in the tree."""
    if not events:
        return ["Nothing happened."]
    rows = [
        (
            moment(event.at),
            clean(event.kind),
            clean(event.actor),
            "" if event.incarnation is None else str(event.incarnation),
            _because(event),
        )
        for event in events
    ]
    return table(("AT", "WHAT", "ACTOR", "LIFE", "WHY"), rows, width=width, right=("LIFE",))


def letter_lines(letters: Sequence[DeadLetterRow], *, width: int) -> list[str]:
    """Messages that were set aside."""
    if not letters:
        return ["No message was set aside."]
    rows = [
        (
            str(letter.id),
            moment(letter.created_at),
            str(letter.state),
            clean(letter.actor),
            clean(letter.message_type),
            str(letter.attempts),
            clean(letter.error),
        )
        for letter in letters
    ]
    head = ("ID", "AT", "STATE", "ACTOR", "MESSAGE", "TRIED", "ERROR")
    return table(head, rows, width=width, right=("ID", "TRIED"))


def letter_details(letter: DeadLetterRow) -> list[str]:
    """One of them, whole."""
    if letter.decided_at is not None:
        who = clean(letter.decided_by or "nobody known")
        then = [f"{INDENT}{letter.state} by {who}, {moment(letter.decided_at)}"]
    else:
        then = [
            f"{INDENT}Try it again: tollgate dead-letters retry {letter.id}",
            f"{INDENT}Give it up:   tollgate dead-letters drop {letter.id}",
        ]
    tried = _counted(letter.attempts, "attempt")
    if letter.payload is not None:
        payload = _fields(letter.payload)
    elif letter.message_type == UPDATE:
        payload = [f"{INDENT}an update: the inbox keeps it, and tries it again whole"]
    else:
        payload = [f"{INDENT}not kept: it cannot be sent again by itself"]
    return [
        f"{letter.id}: {clean(letter.message_type)} to {clean(letter.actor)}, {letter.state}",
        f"{INDENT}set aside {moment(letter.created_at)} after {tried}: {clean(letter.error)}",
        f"{INDENT}operation {clean(letter.operation_id)}, journey {clean(letter.correlation_id)}",
        *then,
        "",
        "Message",
        *payload,
        "",
        "Traceback",
        *(INDENT + clean(line) for line in letter.traceback.splitlines()),
    ]


def _transition(change: SettingChangeRow) -> str:
    return f"{_setting(change.old)} -> {_setting(change.new)}"


def _setting(value: Any) -> str:
    return "the file's value" if value is None else shown(value)


def _remarks(change: SettingChangeRow) -> str:
    remarks = []
    if change.undoes is not None:
        remarks.append(f"undoes {change.undoes}")
    if change.revert_at is not None:
        remarks.append(f"until {moment(change.revert_at, beside=change.at)}")
    if change.reason:
        remarks.append(clean(change.reason))
    return "; ".join(remarks)


def _recent_lines(details: ActorDetails, *, width: int) -> list[str]:
    if not details.recent:
        return ["none yet"]
    rows = [
        (
            f"{span(message.at)} ago",
            clean(message.message),
            span(message.waited_s),
            span(message.took_s),
            clean(message.outcome),
            clean(message.correlation_id),
        )
        for message in details.recent
    ]
    head = ("WHEN", "MESSAGE", "WAITED", "TOOK", "OUTCOME", "JOURNEY")
    return table(head, rows, width=width, right=("WAITED", "TOOK"))


def _because(event: EventRow) -> str:
    told = [clean(event.reason)] if event.reason else []
    told += [
        f"{clean(name)}={shown(value)}"
        for name, value in event.details.items()
        if value not in (None, False, "", [])
    ]
    if event.correlation_id:
        told.append(f"journey={clean(event.correlation_id)}")
    return " ".join(told)


def _fields(values: Mapping[str, Any]) -> list[str]:
    return [f"{INDENT}{clean(name)}: {shown(value)}" for name, value in values.items()]


def _indented(lines: Sequence[str]) -> list[str]:
    return [INDENT + line for line in lines]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")

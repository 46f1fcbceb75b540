"""The story of one user, so that whoever helps them needs no code to understand it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.replies import Reply, title
from bot.reports.fitting import fitting, one_line
from bot.reports.names import who_acts
from bot.texts import Price, Texts, Value
from config.plans import Plans
from storage.rows import StoryRow

LONGEST_WORD = 120
FLAGS = ("late", "over", "duplicate_invoice")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryLine:
    """One moment, before it has a language. `parts` are values that are texts themselves."""

    at: datetime
    text_id: str
    values: Mapping[str, Value]
    parts: Mapping[str, tuple["StoryPart", ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryPart:
    """A piece of a line."""

    text_id: str
    values: Mapping[str, Value] = field(default_factory=dict)


def story(rows: Sequence[StoryRow], plans: Plans) -> list[StoryLine]:
    """A line for each row; what another release wrote is told plainly."""
    return [_line(row, plans) for row in rows]


def story_text(rows: Sequence[StoryRow], plans: Plans, texts: Texts, language: str) -> list[str]:
    """Lines such as `2026-11-23 14:05:02  Paid 150 ⭐ by Telegram Stars: payment #17`, in UTC."""
    return [
        f"{row.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}  {story_line(row, plans, texts, language)}"
        for row in rows
    ]


def story_line(row: StoryRow, plans: Plans, texts: Texts, language: str) -> str:
    """The words of one moment."""
    return _words(_line(row, plans), texts, language)


def told(user_id: int, lines: Sequence[str]) -> Reply:
    """A story as one message: its end, and how much there was before it."""
    user = str(user_id)
    if not lines:
        return Reply(text_id="story-none", values={"user": user})
    block, more = fitting(list(reversed(lines)))
    newest = "\n".join(reversed(block.splitlines()))
    values: dict[str, Value] = {"user": user, "list": newest}
    if not more:
        return Reply(text_id="story", values=values)
    return Reply(text_id="story-more", values={**values, "more": more})


def _words(line: StoryLine, texts: Texts, language: str) -> str:
    pieces = {
        name: "".join(texts.get(part.text_id, language, **part.values) for part in parts)
        for name, parts in line.parts.items()
    }
    words = texts.get(line.text_id, language, **line.values, **pieces)
    return " ".join(words.split())


def _line(row: StoryRow, plans: Plans) -> StoryLine:
    tell = TELLERS.get(row.kind)
    try:
        if tell is not None:
            return tell(row, plans)
    except (KeyError, TypeError, ValueError, OverflowError):
        pass  # details of another release
    values: dict[str, Value] = {
        "kind": _word(row.kind),
        "id": _word(row.subject),
        "event": _word(row.event),
    }
    return StoryLine(at=row.at, text_id="story-other", values=values)


def _purchase(row: StoryRow, plans: Plans) -> StoryLine:
    details = row.details
    values: dict[str, Value] = {"id": _word(row.subject)[:8]}
    if "price" in details:
        values |= {
            "plan": title(str(details["plan"]), plans),
            "price": Price(amount=int(details["price"]), currency=str(details["currency"])),
            "provider": _word(details["provider"]),
        }
        return StoryLine(at=row.at, text_id="story-ordered", values=values)
    values["event"] = _word(row.event)
    who = details.get("by")
    by = (StoryPart(text_id="story-by", values=who_acts(str(who))),) if who else ()
    return StoryLine(at=row.at, text_id="story-purchase", values=values, parts={"by": by})


def _payment(row: StoryRow, _: Plans) -> StoryLine:
    details = row.details
    values: dict[str, Value] = {
        "event": _word(row.event),
        "number": _word(row.subject),
        "price": Price(amount=int(details["amount"]), currency=str(details["currency"])),
        "provider": _word(details["provider"]),
        "reason": _word(details.get("reason") or "-"),
    }
    flags = tuple(StoryPart(text_id=f"story-flag-{flag}") for flag in FLAGS if details.get(flag))
    return StoryLine(at=row.at, text_id="story-payment", values=values, parts={"flags": flags})


def _key(row: StoryRow, _: Plans) -> StoryLine:
    values: dict[str, Value] = {
        "id": _word(row.subject)[:8],
        "event": _word(f"{row.details['desired']}-{row.event}"),
        "node": _word(row.details["node"]),
        "origin": _word(row.details.get("origin") or "access"),
    }
    return StoryLine(at=row.at, text_id="story-key", values=values)


def _user(row: StoryRow, _: Plans) -> StoryLine:
    return StoryLine(at=row.at, text_id="story-user", values={"event": _word(row.event)})


def _notice(row: StoryRow, _: Plans) -> StoryLine:
    what = row.details.get("text") or row.details.get("notice") or "-"
    values: dict[str, Value] = {"event": _word(row.event), "what": _word(what)}
    return StoryLine(at=row.at, text_id="story-notice", values=values)


def _ledger(row: StoryRow, _: Plans) -> StoryLine:
    details = row.details
    values: dict[str, Value] = {
        "event": _word(row.event),
        "time": timedelta(seconds=abs(int(details["delta_s"]))),
        "reason": _word(details.get("reason") or ""),
        **who_acts(str(details.get("actor") or "-")),
    }
    then: tuple[StoryPart, ...] = ()
    if details.get("pending_after"):
        waits = timedelta(seconds=int(details["pending_after"]))
        then = (StoryPart(text_id="story-waits", values={"time": waits}),)
    elif details.get("expires_after") and row.event != "expiry":
        until = datetime.fromisoformat(str(details["expires_after"]))
        then = (StoryPart(text_id="story-until", values={"until": until}),)
    return StoryLine(at=row.at, text_id="story-ledger", values=values, parts={"then": then})


def _act(row: StoryRow, _: Plans) -> StoryLine:
    values: dict[str, Value] = {
        "event": _word(row.event),
        "reason": _word(row.details.get("reason") or ""),
        **who_acts(str(row.details.get("actor") or "-")),
    }
    return StoryLine(at=row.at, text_id="story-act", values=values)


def _word(value: Any) -> str:
    return one_line(str(value), LONGEST_WORD)


TELLERS: Mapping[str, Callable[[StoryRow, Plans], StoryLine]] = {
    "purchase": _purchase,
    "payment": _payment,
    "key": _key,
    "user": _user,
    "notice": _notice,
    "ledger": _ledger,
    "act": _act,
}

"""Whether nodes are called, and what became of an order about it."""

from collections.abc import Sequence
from datetime import timedelta

from bot.node_views import BreakerView
from bot.replies import Reply
from bot.reports.fitting import fitting, span
from bot.reports.nodes import calls_of, look_button
from bot.texts import Texts, Value


def breakers(found: Sequence[BreakerView], texts: Texts, language: str) -> Reply:
    """A line a node."""
    if not found:
        return Reply(text_id="breakers-none")
    block, more = fitting([_line(one, texts, language) for one in found])
    return Reply(text_id="breakers", values={"list": block + ("\n…" if more else "")})


def ordered(
    found: BreakerView, order: str, for_s: float | None, texts: Texts, language: str
) -> Reply:
    """How a node is called from now on, for how long, and how that is ended."""
    text_id = "breaker-until-released" if for_s is None else "breaker-for"
    time = texts.get(text_id, language, span=span(for_s or 0.0))
    return Reply(
        text_id=f"breaker-{order}",
        values={"node": found.node, "time": time, "calls": calls_of(found)},
        keyboard=(look_button(found.node),),
    )


def _line(one: BreakerView, texts: Texts, language: str) -> str:
    values: dict[str, Value] = {"node": one.node, "calls": calls_of(one)}
    told = [texts.get("breaker-line", language, **values)]
    if one.away_s is not None:
        away = timedelta(seconds=one.away_s)
        told.append(texts.get("breaker-away", language, time=away))
    if one.next_probe_s > 0:
        told.append(texts.get("breaker-next", language, span=span(one.next_probe_s)))
    told.append(texts.get("breaker-pace", language, calls_at_a_time=one.at_a_time))
    return " ".join(told)

"""Whether access ends as it should, and the question whether it is so late."""

import hashlib

from bot.callbacks import ClocksConfirmed
from bot.keyboards import Button
from bot.node_views import ExpiryView
from bot.replies import Reply
from bot.reports.fitting import one_line
from bot.reports.nodes import LONGEST_REASON, OVER

CONFIRMED = Reply(text_id="expiry-confirmed")


def expiry(view: ExpiryView) -> Reply:
    """What was done since the start, what is in the way, or what is switched off."""
    if view.held:
        return Reply(text_id="expiry-held", values={"why": one_line(view.held, LONGEST_REASON)})
    done = {"ended": view.ended, "reminded": view.reminded}
    if "expiry.enabled" in view.off:
        return Reply(text_id="expiry-off", values=done)
    text_id = "expiry-silent" if "expiry.reminders" in view.off else "expiry-goes-on"
    return Reply(text_id=text_id, values=done)


def question(view: ExpiryView, reason: str) -> Reply:
    """The second tap, about what holds access now and nothing else."""
    yes = ClocksConfirmed(held=mark_of(view.held))
    return Reply(
        text_id="ask-expiry",
        values={
            "why": one_line(view.held, LONGEST_REASON),
            "reason": one_line(reason, LONGEST_REASON) or "-",
        },
        keyboard=((Button(text_id="button-yes-expiry", callback=yes),), (OVER,)),
    )


def mark_of(held: str) -> str:
    """A short mark of what a question was about: a late tap on an old one means no other hold."""
    return hashlib.sha256(held.encode()).hexdigest()[:16]

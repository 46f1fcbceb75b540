"""Pure: how long a user whose time may be over is left alone, and when people are reminded."""

from dataclasses import dataclass

from actors.user.messages import AccessExpired, NotExpired
from storage.expiry import Reminder

HOUR_S = 3_600
#: Before time ends, each once, and a day after. A reminder whose time is past when the next one's
#: has come is left out.
REMINDERS = (
    Reminder(text_id="news-ends-in-3-days", lead_s=72 * HOUR_S, next_lead_s=24 * HOUR_S),
    Reminder(text_id="news-ends-tomorrow", lead_s=24 * HOUR_S, next_lead_s=3 * HOUR_S),
    Reminder(text_id="news-ends-soon", lead_s=3 * HOUR_S),
    Reminder(text_id="news-missed", lead_s=-24 * HOUR_S),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryLimits:
    """How time ends; in seconds.

    Attributes:
        enabled: whether access ends at all.
        reminders: whether people are told before, and after.
        interval_s: between two looks.
        bulk_from: so many that are due are ended by statements instead of their actors.
        bulk_users: so many at a time.
    """

    enabled: bool = True
    reminders: bool = True
    interval_s: float = 5.0
    bulk_from: int = 200
    bulk_users: int = 1_000


#: Whoever has time after all, or money to be decided about first, is looked at again, seconds.
NOT_NOW_S = 5.0
#: A user whose actor failed, or is not free, is left for so long, seconds.
FAILED_S = 60.0


def decide_rest(outcome: AccessExpired | NotExpired | None) -> float:
    """Seconds until this user is asked again if still due; None: the actor did not answer."""
    match outcome:
        case AccessExpired():
            return 0.0
        case NotExpired():
            return NOT_NOW_S
        case None:
            return FAILED_S

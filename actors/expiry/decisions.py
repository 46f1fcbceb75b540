"""Pure: how long a user whose time may be over is left alone, and when people are reminded."""

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
#: When so many are due, statements end them, so many at a time, instead of their actors.
MANY = 200
SWEEP = 1_000

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

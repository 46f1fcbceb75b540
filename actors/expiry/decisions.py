"""Pure: how long a user whose time may be over is left alone."""

from actors.user.messages import AccessExpired, NotExpired

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

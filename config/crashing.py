"""Where a back-end under test can be ended: on both sides of each commit and each outside call.

Nothing happens unless `testing.crash_at` names a point, and that is refused to a back-end that
talks to anything but this machine.
"""

import os
from enum import StrEnum

#: As of a process that was killed.
KILLED = 137
BEFORE, AFTER = "before", "after"


class Step(StrEnum):
    """All steps of purchase, renewal, reissue and expiry: phases of storage, and calls."""

    ACCEPT = "PostgresInbox.accept"
    WORK = "PostgresInbox.begin"
    DONE = "PostgresInbox.done"
    INTRODUCE = "UserPhases.introduce"
    ORDER = "UserPhases.open_purchase"
    SEND_INVOICE = "telegram sendInvoice"
    RECORD_INVOICE = "UserPhases.record_invoice"
    APPROVE = "PostgresQueries.approve"
    ANSWER_CHECKOUT = "telegram answerPreCheckoutQuery"
    RECEIVE_PAYMENT = "UserPhases.receive_payment"
    CREDIT = "UserPhases.record_credit"
    CHANGE = "UserPhases.record_change"
    BEGIN_CALL = "NodePhases.begin"
    PUT = "node PUT"
    DELETE = "node DELETE"
    CONFIRM = "NodePhases.record_outcome"
    BEGIN_NEWS = "NoticePhases.begin"
    SEND_LINK = "telegram sendPhoto"
    NEWS_SENT = "NoticePhases.sent"


POINTS = tuple(f"{side} {step}" for step in Step for side in (BEFORE, AFTER))

_armed: str | None = None


def known(point: str) -> str:
    """A point.

    Raises:
        ValueError: there is no such one.
    """
    if point not in POINTS:
        raise ValueError(f"is no point; there are: {', '.join(POINTS)}")
    return point


def arm(point: str | None) -> None:
    """End this process when it comes to this point."""
    global _armed  # noqa: PLW0603 - of the process, like its end
    _armed = point


def before(step: str) -> None:
    """A phase is about to commit, or a call to be made."""
    _reached(f"{BEFORE} {step}")


def after(step: str) -> None:
    """A phase has committed, or an answer has come."""
    _reached(f"{AFTER} {step}")


def _reached(point: str) -> None:
    if point == _armed:
        os._exit(KILLED)  # no `finally`, no flush

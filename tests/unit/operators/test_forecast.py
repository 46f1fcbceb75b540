"""What another policy would have done: each case counted by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from storage.rows import EventRow
from supervisors.engine.policy import Exceeded, Policy, Scope
from supervisors.operators.forecast import too_many

START = datetime(2026, 1, 1, tzinfo=UTC)


def policy(max_restarts: int, window_s: float = 60) -> Policy:
    return Policy(max_restarts=max_restarts, window_s=window_s, backoff_base_s=0.1, backoff_cap_s=5)


def crash(at_s: float, actor: str = "user/7", supervisor: str = "users/03") -> EventRow:
    return EventRow(
        id=uuid4(),
        at=START + timedelta(seconds=at_s),
        kind="crashed",
        supervisor=supervisor,
        actor=actor,
        incarnation=1,
        reason="KeyError",
        details={},
        correlation_id="",
    )


def of(actor: str, *moments: float) -> list[EventRow]:
    return [crash(at, actor) for at in moments]


def in_order(*crashes: Sequence[EventRow]) -> list[EventRow]:
    return sorted((one for many in crashes for one in many), key=lambda one: one.at)


@pytest.mark.parametrize(
    ("crashes", "max_restarts", "times"),
    [
        ([], 2, 0),
        (of("user/7", 0, 10), 2, 0),
        (of("user/7", 0, 10, 20), 2, 1),  # the third within a minute
        (of("user/7", 0, 10, 70.1), 2, 0),  # the first is out of the window
        (of("user/7", 0, 10, 60), 2, 1),  # exactly a window ago counts, as in OTP
        (of("user/7", 0, 10, 20, 30, 40), 2, 1),  # parked at 20; a new count of two
        (of("user/7", 0, 10, 20, 30, 40, 50), 2, 2),  # parked again at 50
        (of("user/7", 0, 10, 20), 0, 3),  # none is allowed
        (in_order(of("user/7", 0, 2, 4), of("user/8", 1, 3)), 2, 1),  # each for itself
    ],
)
def test_users_are_parked_each_for_itself(
    crashes: list[EventRow], max_restarts: int, times: int
) -> None:
    assert too_many(crashes, policy(max_restarts), Exceeded.PARK, Scope.EACH) == times


@pytest.mark.parametrize(
    ("crashes", "max_restarts", "times"),
    [
        (in_order(of("inbox", 0, 10), of("intake", 5)), 3, 0),
        (in_order(of("inbox", 0, 10), of("intake", 5, 15)), 3, 1),  # four, whoever it was
        (in_order(of("inbox", 0, 10), of("intake", 5, 15, 20)), 3, 1),  # a new life counts anew
    ],
)
def test_the_door_gives_up_over_all_its_children(
    crashes: list[EventRow], max_restarts: int, times: int
) -> None:
    assert too_many(crashes, policy(max_restarts), Exceeded.ESCALATE, Scope.TOGETHER) == times


def test_two_supervisors_with_one_policy_are_counted_apart() -> None:
    crashes = [
        crash(at, actor, supervisor)
        for at, actor, supervisor in [
            (0, "door", "root"),
            (1, "users/00", "users"),
            (2, "door", "root"),
            (3, "users/01", "users"),
        ]
    ]

    assert too_many(crashes, policy(2), Exceeded.ESCALATE, Scope.TOGETHER) == 0
    assert too_many(crashes, policy(1), Exceeded.ESCALATE, Scope.TOGETHER) == 2


def test_who_keeps_trying_exceeds_with_every_crash_above() -> None:
    crashes = of("notifier/telegram", 0, 1, 2, 3, 4)

    assert too_many(crashes, policy(2), Exceeded.KEEP_TRYING, Scope.EACH) == 3

"""What an end means and whom it takes along: pure decisions, so tables."""

from collections.abc import Mapping

import pytest

from supervisors.engine.child import ChildSpec
from supervisors.engine.policy import AutoShutdown, Strategy
from supervisors.engine.strategies import (
    Directive,
    Outcome,
    Restart,
    decide_outcome,
    decide_shutdown,
    directive_for,
    taken_along,
)
from tests.puppets import Puppet


@pytest.mark.parametrize(
    ("restart", "directive", "outcome"),
    [
        (Restart.PERMANENT, None, Outcome.RESTART),
        (Restart.PERMANENT, Directive.RESTART, Outcome.RESTART),
        (Restart.PERMANENT, Directive.RESUME, Outcome.RESTART),  # outside a message: no way on
        (Restart.PERMANENT, Directive.STOP, Outcome.STAY_DOWN),
        (Restart.PERMANENT, Directive.ESCALATE, Outcome.ESCALATE),
        (Restart.TRANSIENT, None, Outcome.STAY_DOWN),
        (Restart.TRANSIENT, Directive.RESTART, Outcome.RESTART),
        (Restart.TRANSIENT, Directive.RESUME, Outcome.RESTART),
        (Restart.TRANSIENT, Directive.STOP, Outcome.STAY_DOWN),
        (Restart.TRANSIENT, Directive.ESCALATE, Outcome.ESCALATE),
        (Restart.TEMPORARY, None, Outcome.FORGET),
        (Restart.TEMPORARY, Directive.RESTART, Outcome.FORGET),
        (Restart.TEMPORARY, Directive.RESUME, Outcome.FORGET),
        (Restart.TEMPORARY, Directive.STOP, Outcome.FORGET),
        (Restart.TEMPORARY, Directive.ESCALATE, Outcome.ESCALATE),
    ],
)
def test_what_an_end_means(restart: Restart, directive: Directive | None, outcome: Outcome) -> None:
    assert decide_outcome(restart, directive) is outcome


@pytest.mark.parametrize(
    ("error", "directive"),
    [
        (KeyError(), Directive.STOP),
        (IndexError(), Directive.ESCALATE),
        (LookupError(), Directive.ESCALATE),
        (ValueError(), Directive.RESTART),
        (BaseException(), Directive.RESTART),
    ],
)
def test_the_first_class_that_fits_an_error_decides(
    error: BaseException, directive: Directive
) -> None:
    directives: Mapping[type[Exception], Directive] = {
        KeyError: Directive.STOP,
        LookupError: Directive.ESCALATE,
    }

    assert directive_for(error, directives) is directive


@pytest.mark.parametrize(
    ("strategy", "failed", "taken"),
    [
        (Strategy.ONE_FOR_ONE, "b", []),
        (Strategy.ONE_FOR_ALL, "b", ["a", "c"]),
        (Strategy.REST_FOR_ONE, "a", ["b", "c"]),
        (Strategy.REST_FOR_ONE, "b", ["c"]),
        (Strategy.REST_FOR_ONE, "c", []),
    ],
)
def test_whom_a_failed_child_takes_along(strategy: Strategy, failed: str, taken: list[str]) -> None:
    assert taken_along(strategy, ["a", "b", "c"], failed) == taken


@pytest.mark.parametrize(
    ("auto_shutdown", "left", "ends"),
    [
        (AutoShutdown.NEVER, 0, False),
        (AutoShutdown.ANY_SIGNIFICANT, 1, True),
        (AutoShutdown.ANY_SIGNIFICANT, 0, True),
        (AutoShutdown.ALL_SIGNIFICANT, 1, False),
        (AutoShutdown.ALL_SIGNIFICANT, 0, True),
    ],
)
def test_whether_a_supervisor_ends_with_its_significant_children(
    auto_shutdown: AutoShutdown, left: int, ends: bool
) -> None:
    assert decide_shutdown(auto_shutdown, significant_left=left) is ends


def test_a_permanent_child_cannot_be_significant() -> None:
    with pytest.raises(ValueError, match="never ends"):
        ChildSpec(name="clerk", start=Puppet, significant=True)

"""Pure: what the end of a child means, and which siblings it takes along."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from supervisors.engine.policy import AutoShutdown, Strategy


class Restart(StrEnum):
    """Which ends of a child are mended."""

    PERMANENT = "permanent"  # every end
    TRANSIENT = "transient"  # crashes alone
    TEMPORARY = "temporary"  # none: it is forgotten


class Directive(StrEnum):
    """What an error of a certain class means for the actor that made it."""

    RESTART = "restart"  # a new object, its state from storage
    RESUME = "resume"  # the message failed, the actor goes on with the state that it has
    STOP = "stop"  # it stays down
    ESCALATE = "escalate"  # its supervisor fails at once


class Outcome(StrEnum):
    """What a supervisor does about the end of a child."""

    RESTART = "restart"
    STAY_DOWN = "stay_down"
    FORGET = "forget"
    ESCALATE = "escalate"


def decide_outcome(restart: Restart, directive: Directive | None) -> Outcome:
    """What to do about an end; `directive` is None for an orderly one."""
    match restart, directive:
        case _, Directive.ESCALATE:
            return Outcome.ESCALATE
        case Restart.TEMPORARY, _:
            return Outcome.FORGET
        case _, Directive.STOP:
            return Outcome.STAY_DOWN
        case Restart.TRANSIENT, None:
            return Outcome.STAY_DOWN
        case _:
            return Outcome.RESTART


def directive_for(
    error: BaseException, directives: Mapping[type[Exception], Directive]
) -> Directive:
    """What an error means: the first class that fits, else a restart."""
    for kind, directive in directives.items():
        if isinstance(error, kind):
            return directive
    return Directive.RESTART


def taken_along(strategy: Strategy, children: Sequence[str], failed: str) -> list[str]:
    """The siblings that are restarted with a failed child, in the order of their start."""
    match strategy:
        case Strategy.ONE_FOR_ONE:
            return []
        case Strategy.ONE_FOR_ALL:
            return [child for child in children if child != failed]
    return list(children[children.index(failed) + 1 :])


def decide_shutdown(auto_shutdown: AutoShutdown, *, significant_left: int) -> bool:
    """Whether a supervisor ends, now that a significant child has ended by itself."""
    match auto_shutdown:
        case AutoShutdown.NEVER:
            return False
        case AutoShutdown.ANY_SIGNIFICANT:
            return True
    return significant_left == 0

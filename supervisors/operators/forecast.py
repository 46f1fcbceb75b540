"""Pure: what another policy would have done to the restarts that there were."""

from collections.abc import Sequence

from storage.rows import EventRow
from supervisors.engine.policy import Exceeded, Policy, Scope
from supervisors.engine.restarts import GiveUp, ParkFor, RestartHistory, decide_restart

#: The middle of the back-off: what it was by chance is not known any more.
JITTER = 0.5


def too_many(crashes: Sequence[EventRow], policy: Policy, exceeded: Exceeded, scope: Scope) -> int:
    """How often a policy is exceeded by crashes, given in the order in which they happened."""
    histories: dict[str, RestartHistory] = {}
    times = 0
    for crash in crashes:
        who = crash.actor if scope is Scope.EACH else crash.supervisor
        history = histories.get(who, RestartHistory())
        decision = decide_restart(history, crash.at.timestamp(), policy, exceeded, JITTER)
        if isinstance(decision, GiveUp | ParkFor):
            times += 1
            histories[who] = RestartHistory()
        else:
            times += decision.exceeded
            histories[who] = decision.history
    return times

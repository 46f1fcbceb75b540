"""Health of nodes about which tests are patient: failures close nothing, repeats cost nothing."""

from dataclasses import replace

from actors.provisioner.breaker import BreakerLimits
from actors.provisioner.budget import BudgetLimits, RetryBudget
from actors.provisioner.health import NodeHealth

#: No failure opens it.
PATIENT = BreakerLimits(
    failure_share=1.1, failures_in_row=10**6, tls_in_row=10**6, slow_share=1.1, ramp_successes=1
)
#: One call at a time, so that the order of calls is the order of rows.
ONE = replace(PATIENT, concurrency=1)


def patient_health(limits: BreakerLimits = PATIENT) -> NodeHealth:
    """Of a node whose breaker stays closed, and which is told again without end."""
    health = NodeHealth.new(lambda: limits, lambda: 0.5)
    health.budget = RetryBudget(BudgetLimits(floor_per_s=10.0**9))
    return health

"""A trial, which a person has once for ever: a node that fails takes nothing of it."""

from uuid import uuid4

from actors.user.messages import StartTrial, TrialNotOffered
from tests.failures.cells import JITTER, OPEN
from tests.failures.run import Run
from tests.failures.scenario import Setting, row
from tests.failures.till import tap
from tests.faults.convergence import FIRST
from tests.faults.proxy import HoldAnswer, Rule

PEOPLE = 5
PERIOD_S = 86_400
TRIAL = f"""
[trial]
plan = "{FIRST}"
period_s = {PERIOD_S}
"""

TAKEN = "SELECT count(*) = $1 FROM ledger WHERE source_kind = 'trial'"
BEGUN = """
SELECT count(*) FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
WHERE s.user_id = ANY($1) AND c.first_applied_at IS NOT NULL
"""
WHOLE = """
SELECT count(*) FROM subscriptions s JOIN credentials c ON c.subscription_id = s.id
WHERE s.user_id = ANY($1) AND s.status = 'active'
    AND s.expires_at = c.first_applied_at + make_interval(secs => $2)
"""


@row(43, bound_s=90, cb=OPEN, bo=JITTER, setting=Setting(trade=False))
async def trial_on_a_node_that_hangs(run: Run) -> None:
    """People take their trial while the node answers nothing; time begins when access does."""
    town = run.town
    plans = town.settings.plans_file
    await town.close()
    plans.write_text(plans.read_text() + TRIAL)
    await town.open()
    people = [await town.newcomer() for _ in range(PEOPLE)]
    ids = [person.id for person in people]
    async with run.fault(Rule(HoldAnswer())):
        for person in people:
            await tap(person, "try")
        await town.until(TAKEN, PEOPLE)
        await run.breaker_opened(times=2)
        again = StartTrial(operation_id=uuid4().hex, language="en")
        assert isinstance(await town.ask(ids[0], again), TrialNotOffered), "it was taken"
        assert await town.value(BEGUN, ids) == 0, "nobody was to have confirmed access"

    async def whole() -> None:
        assert await town.value(WHOLE, ids, PERIOD_S) == PEOPLE, "nothing of it was to be lost"

    run.closing.append(whole)

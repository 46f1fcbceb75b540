"""Calls to a node that fail: by time, by status, by what the answer says."""

from tests.failures.cells import JITTER, OPEN
from tests.failures.run import Run
from tests.failures.scenario import row
from tests.faults.proxy import DelayAfter, DelayBefore, Rule, Status


@row(1, bound_s=90, cb=OPEN, bo=JITTER)
async def vpn_api_timeout(run: Run) -> None:
    """Half of the requests wait before the node hears of them, the others after it."""
    proxy = run.first.proxy
    async with run.fault():
        rules = [
            proxy.add(Rule(DelayAfter(run.held_s), methods=("PUT", "POST"), times=2)),
            proxy.add(Rule(DelayBefore(run.held_s))),
        ]
        await run.breaker_opened(times=2)
        await run.served_meanwhile()
        for rule in rules:
            proxy.lift(rule)


@row(2, bound_s=90, cb=OPEN, bo=JITTER, quick=True)
async def vpn_api_500(run: Run) -> None:
    async with run.fault(Rule(Status(500))):
        await run.breaker_opened(times=2)
        await run.served_meanwhile()

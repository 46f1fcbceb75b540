"""The actor that calls a node fails itself."""

from tests.failures.cells import OPEN
from tests.failures.run import Run, fired
from tests.failures.scenario import Setting, row
from tests.faults.convergence import FIRST
from tests.faults.proxy import Hold, Rule, Status
from tests.integration.node_fixtures import eventually

NAME = f"provisioner/{FIRST}"


@row(33, bound_s=5, cb=OPEN, setting=Setting(factor=1))
async def provisioner_crashes_mid_call(run: Run) -> None:
    """It crashes while its node's breaker is open, and again in the middle of a call.

    The next one finds the breaker as it was, and sends the very same wish again.
    """
    proxy = run.first.proxy
    async with run.fault():
        outage = proxy.add(Rule(Status(500)))
        await run.breaker_opened()
        asked = len(proxy.requests)
        await crash(run)
        assert run.health()["breaker"] in {"open", "half_open"}
        proxy.lift(outage)
        await run.called_again()
        first, second = proxy.requests[asked : asked + 2]
        assert (first.path, second.path) == ("/readyz", "/readyz"), "probes before any wish"

        held = proxy.add(Rule(Hold(), methods=("PUT",), times=1))
        await fired(held)
        await crash(run)
        wish = held.met[0].wishes[0]

        async def repeated() -> bool:
            return sum(wish in seen.wishes for seen in proxy.requests) > 1

        await eventually(repeated)
        proxy.lift(held)


async def crash(run: Run) -> None:
    """It ends in whatever it does, as by a bug; until the next one is there."""
    before = run.actor(NAME)
    assert before is not None
    before.kill(RuntimeError("a bug"))
    run.met()

    async def replaced() -> bool:
        return run.actor(NAME) not in {None, before}

    await eventually(replaced)

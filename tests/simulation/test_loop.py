"""The loop of simulations: its time, its order, its detectors, and the end of a process."""

import asyncio
import random

import pytest

from tests.simulation.loop import Deadlock, Livelock, Process, SimLoop


def loop_of(seed: int) -> SimLoop:
    return SimLoop(random.Random(seed))  # noqa: S311 - chance is the point


async def sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)  # noqa: TID251 - of the loop's own time


def order_of(seed: int) -> list[int]:
    loop, order = loop_of(seed), list[int]()

    async def worker(number: int) -> None:
        for _ in range(3):
            await sleep(0)
            order.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(worker(number) for number in range(5)))

    loop.run_until_complete(all_of_them())
    loop.close()
    return order


def test_a_month_takes_no_time() -> None:
    loop = loop_of(1)

    loop.run_until_complete(sleep(30 * 86_400))

    assert loop.time() == pytest.approx(30 * 86_400)
    assert loop.steps < 10
    loop.close()


def test_the_same_seed_has_the_same_order_and_another_one_another() -> None:
    assert order_of(7) == order_of(7)
    assert len({tuple(order_of(seed)) for seed in range(10)}) > 1


def test_who_waits_for_ever_is_noticed() -> None:
    loop = loop_of(1)

    async def wait() -> None:
        await asyncio.Event().wait()

    waiting = loop.create_task(wait())
    with pytest.raises(Deadlock):
        loop.run_until_complete(waiting)
    waiting.cancel()
    loop.run_until_complete(asyncio.wait([waiting]))
    loop.close()


def test_steps_without_end_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.simulation.loop.LIVELOCK_STEPS", 1_000)
    loop = loop_of(1)

    async def spin() -> None:
        while True:
            await sleep(0)

    spinning = loop.create_task(spin())
    with pytest.raises(Livelock):
        loop.run_until_complete(spinning)
    spinning.cancel()
    loop._still = 0
    loop.run_until_complete(asyncio.wait([spinning]))
    loop.close()


def test_nothing_of_a_killed_process_runs_any_more() -> None:
    """Not even what stands in a `finally`."""
    loop, process, said = loop_of(1), Process("victim"), list[str]()

    async def victim() -> None:
        try:
            await sleep(1)
            said.append("worked")
        finally:
            said.append("last words")

    async def story() -> int:
        loop.spawn(process, victim())
        await sleep(0.5)
        buried = loop.kill(process)
        await sleep(10)
        return buried

    buried = loop.run_until_complete(loop.spawn(None, story()))

    assert (buried, said) == (1, [])
    loop.close()


def test_a_leap_spares_what_is_under_way() -> None:
    """Timers of waits are overrun together; an answer that is near comes before its deadline."""
    loop, heard = loop_of(3), list[str]()

    async def call() -> None:
        answer = loop.create_future()
        loop.call_later(0.1, answer.set_result, "answer")
        async with asyncio.timeout(4):
            heard.append(await answer)

    async def story() -> None:
        calling = loop.create_task(call())
        loop.pace.lag_s, loop.pace.until_s = 3_600.0, 7_200.0
        await sleep(7_200)
        await calling

    loop.run_until_complete(story())

    assert heard == ["answer"]
    loop.close()

"""Guesses at the key run dry and come back slowly; heavy reads queue, but not without end."""

import asyncio

import pytest

from xray_api.node import limits
from xray_api.node.limits import FailedKeys, HeavyReads, TooMany


def test_guesses_run_dry_and_come_back_one_a_second() -> None:
    keys = FailedKeys()

    first = [keys.too_many("a", 100.0) for _ in range(22)]

    assert first == [False] * 20 + [True] * 2
    assert keys.too_many("a", 100.9)
    assert not keys.too_many("a", 102.0)
    assert keys.too_many("a", 102.0)


def test_a_long_rest_gives_no_more_than_the_first_burst() -> None:
    keys = FailedKeys()
    keys.too_many("a", 0.0)

    later = [keys.too_many("a", 1_000_000.0) for _ in range(21)]

    assert later == [False] * 20 + [True]


def test_addresses_do_not_share() -> None:
    keys = FailedKeys()
    while not keys.too_many("a", 0.0):
        pass

    assert not keys.too_many("b", 0.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ],
)
def test_one_customers_ipv6_network_is_one_guesser(one: str, other: str, *, same: bool) -> None:
    keys = FailedKeys()
    while not keys.too_many(one, 0.0):
        pass

    assert keys.too_many(other, 0.0) is same


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_ADDRESSES", 3)
    keys = FailedKeys()

    for number in range(100):
        keys.too_many(str(number), 0.0)

    assert list(keys._left) == ["97", "98", "99"]


async def test_one_reads_at_a_time_and_a_queue_is_short() -> None:
    heavy, gate, inside = HeavyReads(), asyncio.Event(), 0
    most = 0

    async def read() -> None:
        nonlocal inside, most
        async with heavy.turn():
            inside += 1
            most = max(most, inside)
            await gate.wait()
            inside -= 1

    readers = [asyncio.create_task(read()) for _ in range(1 + limits.MOST_WAITING)]
    while heavy._waiting < limits.MOST_WAITING:
        await asyncio.wait(readers, timeout=0.001)
    with pytest.raises(TooMany):
        async with heavy.turn():
            pass
    readers[-1].cancel()
    await asyncio.wait({readers[-1]})
    gate.set()
    await asyncio.gather(*readers[:-1])

    assert most == 1
    async with heavy.turn():
        pass

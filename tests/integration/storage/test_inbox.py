"""Updates: stored once, worked on in order, and forgotten long after they are done."""

from bot.ports import RawUpdate
from storage.inbox import PostgresInbox
from storage.rows import InboxRow
from tests.integration.database_fixtures import Rows

SOURCE = "telegram:1"


def update(number: int, lane: int | None = 1, payload: str | None = None) -> RawUpdate:
    body = payload or f'{{"update_id":{number}}}'
    return RawUpdate(source=SOURCE, source_id=str(number), payload=body, lane=lane)


async def waiting(
    inbox: PostgresInbox, *, lanes: list[int] | None = None, besides: list[int] | None = None
) -> list[InboxRow]:
    return await inbox.waiting(100, lanes or [], besides or [])


async def numbers(inbox: PostgresInbox, *, lanes: list[int] | None = None) -> list[str]:
    return [row.source_id for row in await waiting(inbox, lanes=lanes)]


async def test_an_update_waits_as_it_came(inbox: PostgresInbox) -> None:
    await inbox.accept([update(10, lane=7)])

    (row,) = await waiting(inbox)
    assert (row.source, row.source_id, row.lane, row.attempts) == (SOURCE, "10", 7, 0)
    assert row.payload == '{"update_id":10}'


async def test_a_repeated_update_changes_nothing(inbox: PostgresInbox) -> None:
    await inbox.accept([update(10), update(10)])
    (row,) = await waiting(inbox)
    await inbox.done(row, "handled")

    await inbox.accept([update(10)])

    assert await waiting(inbox) == []


async def test_a_number_that_is_used_again_for_another_update_loses_neither(
    inbox: PostgresInbox,
) -> None:
    """Telegram starts its numbers anew after a week of silence."""
    await inbox.accept([update(10, payload="old")])
    (old,) = await waiting(inbox)
    await inbox.done(old, "handled")

    for _ in range(2):
        await inbox.accept([update(10, payload="new")])

    (fresh,) = await waiting(inbox)
    assert fresh.payload == "new"
    assert fresh.source_id.startswith("10#")


async def test_updates_without_a_lane_come_first_then_the_oldest(inbox: PostgresInbox) -> None:
    await inbox.accept([update(1, lane=5), update(2, lane=6), update(3, lane=None)])

    assert await numbers(inbox) == ["3", "1", "2"]


async def test_the_order_is_that_of_arrival_and_not_of_numbers(inbox: PostgresInbox) -> None:
    await inbox.accept([update(900)])
    await inbox.accept([update(5)])

    assert await numbers(inbox) == ["900", "5"]


async def test_lanes_and_updates_in_hand_are_left_out(inbox: PostgresInbox) -> None:
    await inbox.accept([update(1, lane=5), update(2, lane=6), update(3, lane=None)])
    alone = (await waiting(inbox))[0]

    assert await numbers(inbox, lanes=[5]) == ["3", "2"]
    assert [row.source_id for row in await waiting(inbox, besides=[alone.seq])] == ["1", "2"]


async def test_an_update_that_has_to_wait_holds_back_its_own_lane_alone(
    inbox: PostgresInbox, rows: Rows
) -> None:
    await inbox.accept([update(1, lane=5), update(2, lane=5), update(3, lane=6)])
    first = (await waiting(inbox))[0]
    await inbox.begin(first)
    await inbox.release(first, after_s=3_600, counts=True)

    assert await numbers(inbox) == ["3"]

    await rows.execute("UPDATE inbox SET next_at = now()")
    assert await numbers(inbox) == ["1", "2", "3"]


async def test_an_update_without_a_lane_that_waits_holds_nobody_back(inbox: PostgresInbox) -> None:
    await inbox.accept([update(1, lane=None), update(2, lane=None)])
    first = (await waiting(inbox))[0]
    await inbox.release(first, after_s=3_600, counts=True)

    assert await numbers(inbox) == ["2"]


async def test_a_later_update_that_waits_does_not_hold_back_an_earlier_one(
    inbox: PostgresInbox,
) -> None:
    await inbox.accept([update(1), update(2)])
    _, second = await waiting(inbox)
    await inbox.release(second, after_s=3_600, counts=True)

    assert await numbers(inbox) == ["1"]


async def test_attempts_are_counted_and_weather_takes_its_own_back(inbox: PostgresInbox) -> None:
    await inbox.accept([update(1)])
    (row,) = await waiting(inbox)

    await inbox.begin(row)
    await inbox.release(row, after_s=0, counts=False)
    assert [row.attempts for row in await waiting(inbox)] == [0]

    await inbox.begin(row)
    await inbox.release(row, after_s=0, counts=True)
    assert [row.attempts for row in await waiting(inbox)] == [1]


async def test_what_telegram_refused_is_counted_apart_and_repeated(inbox: PostgresInbox) -> None:
    await inbox.accept([update(1)])
    (row,) = await waiting(inbox)

    for _ in range(3):
        await inbox.begin(row)
        await inbox.refused(row, after_s=0)

    (again,) = await waiting(inbox)
    assert (again.attempts, again.refusals) == (0, 3)


async def test_an_update_that_was_refused_waits_its_time(inbox: PostgresInbox) -> None:
    await inbox.accept([update(1), update(2), update(3, lane=6)])
    first = (await waiting(inbox))[0]
    await inbox.begin(first)
    await inbox.refused(first, after_s=3_600)

    assert await numbers(inbox) == ["3"]


async def test_a_new_start_counts_refusals_anew(inbox: PostgresInbox) -> None:
    await inbox.accept([update(1, lane=None)])
    (row,) = await waiting(inbox)
    for _ in range(2):
        await inbox.begin(row)
    await inbox.refused(row, after_s=3_600)
    await inbox.quarantine(row, "TelegramBadRequest")

    await inbox.resume()

    (again,) = await waiting(inbox)
    assert (again.attempts, again.refusals) == (0, 0)


async def test_an_update_set_aside_frees_its_lane(inbox: PostgresInbox, rows: Rows) -> None:
    await inbox.accept([update(1), update(2)])
    first, _ = await waiting(inbox)
    await inbox.release(first, after_s=3_600, counts=True)
    await inbox.quarantine(first, "KeyError")

    assert await numbers(inbox) == ["2"]
    found = await rows.fetchrow("SELECT * FROM inbox WHERE source_id = '1'")
    assert found["quarantined_at"] is not None
    assert found["reply"] == "KeyError"


async def test_done_updates_are_forgotten_after_days_and_no_others(
    inbox: PostgresInbox, rows: Rows
) -> None:
    await inbox.accept([update(n) for n in range(1, 5)])
    old, young, aside, _ = await waiting(inbox)
    await inbox.done(old, "handled")
    await inbox.done(young, "handled")
    await inbox.quarantine(aside, "KeyError")
    long_ago = "now() - interval '73 hours'"
    await rows.execute(f"UPDATE inbox SET received_at = {long_ago}")  # noqa: S608 - a constant
    await rows.execute(
        f"UPDATE inbox SET quarantined_at = {long_ago} WHERE source_id = '3'"  # noqa: S608
    )
    await rows.execute(f"UPDATE inbox SET done_at = {long_ago} WHERE source_id = '1'")  # noqa: S608

    await inbox.prune()

    kept = await rows.fetch("SELECT source_id FROM inbox ORDER BY seq")
    assert [number for (number,) in kept] == ["2", "3", "4"]


async def test_no_more_than_asked_for_is_read(inbox: PostgresInbox) -> None:
    await inbox.accept([update(n, lane=n) for n in range(5)])

    assert len(await inbox.waiting(3, [], [])) == 3

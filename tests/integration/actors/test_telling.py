"""Messages: at least once, in order for each person, and no trouble of one is another's."""

import pytest
from cryptography.fernet import InvalidToken

from actors.notifier.ports import (
    CannotReach,
    Carried,
    CarryLater,
    LinkReady,
    Notice,
    Progress,
    PurchaseProgress,
)
from actors.runtime.replies import ActorFailed, Unavailable
from actors.user.messages import Introduce
from storage.database import Database
from storage.errors import StorageUnavailable
from storage.links import LinkCipher
from storage.operations import OperatorRecords
from storage.phases import NoticePhases
from storage.rows import AlertDraft, OutboxRow
from tests.integration.actors.world import World, running
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S, expire, pass_time


async def told(world: World, user_id: int) -> bool:
    return bool(world.courier.links(user_id))


async def carrying(world: World) -> bool:
    return bool(world.courier.under_way)


async def applied(world: World) -> bool:
    return bool(await world.rows.fetchval("SELECT applied_gen = gen FROM credentials"))


async def test_nothing_overtakes_a_message_that_has_to_wait(world: World) -> None:
    """Telegram names a wait for the order's message; the link behind it waits too."""
    await world.meet_node()
    world.node.hold_calls()
    world.courier.hold()
    await world.buy(BUYER)
    await eventually(lambda: carrying(world))
    world.node.release_calls()
    await world.until(lambda: applied(world))
    world.courier.outcomes.extend(
        [Carried(message_id=901), CarryLater(after_s=3_600.0, reason="flood limit")]
    )
    world.courier.release()

    async def waits() -> bool:
        return bool(
            await world.rows.fetchval("SELECT max(next_at) > now() + interval '50 min' FROM outbox")
        )

    await eventually(waits)
    world.directory.find("notifier").wake()
    assert world.courier.links(BUYER) == []
    world.clock.ahead_s += 3_600.0  # the notifier keeps the pause in mind, too
    await world.settle()

    told_in_order = [type(notice) for notice in world.courier.carried]
    assert told_in_order == [PurchaseProgress, PurchaseProgress, LinkReady]


async def test_news_while_a_message_is_carried_is_told_after_it(world: World) -> None:
    world.courier.hold()
    world.node.refuse_connections()
    await world.buy(BUYER)
    await eventually(lambda: carrying(world))
    world.node.accept_connections()
    await world.until(lambda: applied(world))
    world.courier.release()
    await world.settle()

    assert world.courier.progress(BUYER)[-1] is Progress.READY


async def test_who_blocked_the_bot_is_told_everything_on_coming_back(world: World) -> None:
    world.courier.outcomes.append(CannotReach(reason="blocked"))
    await world.buy(BUYER)
    await world.settle()
    assert world.courier.carried == []
    assert not await world.rows.fetchval("SELECT reachable FROM users")

    await world.ask(BUYER, Introduce(operation_id="back", language="en"))
    await world.settle()

    assert world.courier.progress(BUYER) == [Progress.READY]
    assert len(world.courier.links(BUYER)) == 1


async def test_a_person_who_cannot_be_reached_is_no_trouble_for_others(world: World) -> None:
    world.courier.outcomes.append(CannotReach(reason="blocked"))
    await world.buy(1)
    await world.settle()

    await world.buy(2)
    await world.settle()

    assert len(world.courier.links(2)) == 1


async def test_a_bug_in_one_message_silences_nobody(world: World) -> None:
    """It is tried three times and set aside; the person's other messages go on."""

    def stumbles(notice: Notice) -> bool:
        return isinstance(notice, PurchaseProgress) and notice.chat_id == 1

    world.courier.stumbles = stumbles
    notifier = world.actor("notifier/telegram")
    await world.buy(1)
    await world.until(lambda: told(world, 1))
    await world.buy(2)
    await world.settle()

    assert world.courier.progress(1) == []
    assert len(world.courier.links(2)) == 1
    assert world.actor("notifier/telegram") is notifier, "no restart"
    failed = await world.rows.fetch("SELECT attempts FROM outbox WHERE state = 'failed'")
    assert [attempts for (attempts,) in failed] == [3]


async def test_a_link_that_no_key_opens_silences_nobody(world: World) -> None:
    world.courier.hold()
    await world.buy(1)
    await eventually(lambda: applied(world))
    await world.rows.execute("UPDATE credentials SET link_enc = 'nonsense'")
    world.courier.release()
    await world.buy(2)
    await world.until(lambda: told(world, 2))

    with pytest.raises(InvalidToken):
        world.cipher.open(b"nonsense")
    assert world.courier.links(1) == []


async def test_a_message_that_cannot_be_recorded_is_not_repeated_all_the_time(
    database: Database, rows: Rows, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full: PostgreSQL still reads, and a person must not be told every second."""
    begun, failed = 0, 0
    begin = NoticePhases.begin

    async def noted(self: NoticePhases, row: OutboxRow, busy_for_s: float) -> bool:
        nonlocal begun
        begun += 1
        return await begin(self, row, busy_for_s)

    async def full(*_: object) -> None:
        nonlocal failed
        failed += 1
        raise StorageUnavailable("disk full")

    monkeypatch.setattr(NoticePhases, "begin", noted)
    monkeypatch.setattr(NoticePhases, "sent", full)
    async with running(database, rows, cipher) as world:
        await world.meet_node()
        world.node.hold_calls()
        await world.buy(BUYER)

        async def tried_again_and_again() -> bool:
            return failed >= 5

        await eventually(tried_again_and_again)
        assert (begun, len(world.courier.carried)) == (1, 1)


@pytest.mark.parametrize("step", ["begin", "news", "sent"])
async def test_what_an_outage_cut_off_is_taken_up_when_it_is_over_and_told_once(
    database: Database,
    rows: Rows,
    cipher: LinkCipher,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A row is nobody else's for an hour here, which is longer than this test waits."""
    real = getattr(NoticePhases, step)
    failed: list[str] = []

    async def away(self: NoticePhases, *args: object) -> object:
        if not failed:
            failed.append(step)
            raise StorageUnavailable("away")
        return await real(self, *args)

    monkeypatch.setattr("actors.notifier.actor.BUSY_S", 3_600)
    monkeypatch.setattr(NoticePhases, step, away)
    async with running(database, rows, cipher) as world:
        await world.meet_node()
        world.node.hold_calls()
        await world.buy(BUYER)

        async def all_told() -> bool:
            return not await rows.fetchval("SELECT count(*) FROM outbox WHERE state = 'due'")

        await eventually(all_told)
        assert failed == [step]
        assert len(world.courier.carried) == 1


async def test_a_row_that_was_read_before_it_was_told_is_not_told_twice(
    database: Database, rows: Rows, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scan reads, the message is recorded, and then the scan goes on with what it read."""
    due = NoticePhases.due

    async def slow(self: NoticePhases, limit: int) -> list[OutboxRow]:
        found = await due(self, limit)
        async with self._database.read() as connection:
            await connection.fetchval("SELECT pg_sleep(0.03)")
        return found

    monkeypatch.setattr(NoticePhases, "due", slow)
    async with running(database, rows, cipher) as world:
        for user_id in range(1, 6):
            await world.buy(user_id)
        await world.settle()

        for user_id in range(1, 6):
            assert len(world.courier.links(user_id)) == 1


@pytest.mark.parametrize("step", ["due", "begin", "news", "sent", "resume"])
async def test_an_outage_at_any_step_of_telling_heals_by_itself(
    database: Database, rows: Rows, cipher: LinkCipher, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = getattr(NoticePhases, step)
    failed: list[str] = []

    async def unknown(self: NoticePhases, *args: object) -> object:
        answer: object = await real(self, *args)
        if not failed:
            failed.append(step)
            raise StorageUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(NoticePhases, step, unknown)
    async with running(database, rows, cipher) as world:
        notifier = world.actor("notifier/telegram")
        await world.buy(BUYER)
        await world.settle()

        assert failed == [step]
        assert world.courier.progress(BUYER)[-1] is Progress.READY
        assert len(world.courier.links(BUYER)) >= 1
        assert world.actor("notifier/telegram") is notifier


async def test_a_notifier_killed_while_it_carries_tells_it_again(world: World) -> None:
    world.courier.hold()
    await world.buy(BUYER)
    await eventually(lambda: carrying(world))
    world.actor("notifier/telegram").kill()
    world.courier.release()

    async def again() -> bool:  # nobody hurries it along
        return bool(world.courier.links(BUYER))

    await eventually(again)
    await world.settle()


async def test_more_people_than_are_served_at_once_are_all_told(world: World) -> None:
    world.courier.hold()
    buyers = range(1, 25)
    for user_id in buyers:
        await world.buy(user_id)

    async def full() -> bool:
        return len(world.courier.under_way) == 8

    await eventually(full)
    world.courier.release()
    await world.settle()

    assert all(len(world.courier.links(user_id)) == 1 for user_id in buyers)


async def test_a_link_whose_access_ended_before_it_was_told_is_dropped(world: World) -> None:
    world.courier.outcomes.append(CannotReach(reason="blocked"))
    await world.buy(BUYER)
    await world.settle()
    await pass_time(world.rows, MONTH_S + 1)
    await expire(world.rows)

    await world.ask(BUYER, Introduce(operation_id="back", language="en"))
    await world.settle()

    assert world.courier.links(BUYER) == []
    failed = await world.rows.fetchval(
        "SELECT payload->>'notice' FROM outbox WHERE state = 'failed'"
    )
    assert failed == "link"


async def test_a_database_that_is_away_makes_nobody_fail(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    actors = [world.actor("notifier/telegram"), world.provisioner(), world.user(BUYER)]
    for _ in range(5):
        await world.cut_connections()
        try:
            await world.ask(BUYER, Introduce(operation_id="x", language="en"))
        except Unavailable:
            continue
        except ActorFailed:
            pytest.fail("an outage is weather")

    await world.settle()
    assert [world.actor("notifier/telegram"), world.provisioner(), world.user(BUYER)] == actors


async def test_owners_are_told_side_by_side(world: World) -> None:
    """One whose message takes long, or cannot be sent, holds up no other owner."""
    world.courier.hold()
    alerts = [
        AlertDraft(dedupe_key=str(owner), owner=owner, text_id="alert-gave-up", arguments={})
        for owner in (5, 6)
    ]

    await OperatorRecords(world.database).record([], [], alerts)

    async def both() -> bool:
        return world.courier.under_way == {5, 6}

    await eventually(both)
    world.courier.release()

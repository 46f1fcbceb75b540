"""Updates: committed before they are acknowledged, worked on in order, and none is lost."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from aiogram import Bot
from aiogram.client.session.base import BaseSession
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType

from actors.runtime.actor import AsyncioActor
from actors.runtime.replies import Unavailable
from bot.intake import (
    BUG_TRIES,
    LANES_AT_ONCE,
    TELEGRAM_TRIES,
    InboxWorker,
    TelegramIntake,
    UnknownSource,
    lane_of,
    raw_update,
)
from bot.session import GetRawUpdates
from storage.database import Database
from storage.errors import StorageUnavailable
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from storage.operations import OperatorRecords
from storage.rows import InboxRow
from tests.integration.actors.world import World, running
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually

ALLOWED = ["message", "callback_query", "pre_checkout_query"]
ANN, BOB = 1, 2
ASKED = GetRawUpdates(allowed_updates=ALLOWED)

WAITING = "SELECT count(*) FROM inbox WHERE done_at IS NULL AND quarantined_at IS NULL"


class Telegram(BaseSession):
    """Holds updates until they are acknowledged, as the Bot API does."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[dict[str, Any]] = []
        self.polls: list[GetRawUpdates] = []
        self.failures: list[Exception] = []
        self._news = asyncio.Event()

    def send(self, *updates: dict[str, Any]) -> None:
        """Updates come in."""
        self.held.extend(updates)
        self._news.set()

    def fail_next(self, *errors: Exception) -> None:
        """The next polls fail."""
        self.failures.extend(errors)
        self._news.set()

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109 - the signature is aiogram's
    ) -> TelegramType:
        """A poll: forgets what its offset confirms, and waits for more."""
        del bot, timeout
        assert isinstance(method, GetRawUpdates)
        self.polls.append(method)
        while True:
            if self.failures:
                raise self.failures.pop(0)
            offset = method.offset or 0
            self.held = [update for update in self.held if update["update_id"] >= offset]
            if self.held:
                return cast("TelegramType", list(self.held))
            self._news.clear()
            await self._news.wait()

    async def close(self) -> None:
        """Nothing is open."""

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,
        timeout: int = 30,  # noqa: ASYNC109 - the signature is aiogram's
        chunk_size: int = 65536,
        raise_for_status: bool = True,
    ) -> AsyncGenerator[bytes, None]:
        """The bot downloads nothing."""
        del url, headers, timeout, chunk_size, raise_for_status
        yield b""


def said(number: int, user_id: int = ANN, text: str = "hello") -> dict[str, Any]:
    """An update with a message."""
    sender = {"id": user_id, "is_bot": False, "first_name": "A"}
    return {
        "update_id": number,
        "message": {"message_id": number, "from": sender, "chat": {"id": user_id}, "text": text},
    }


def asked_to_pay(number: int, user_id: int = ANN) -> dict[str, Any]:
    """A pre-checkout question."""
    return {"update_id": number, "pre_checkout_query": {"id": "q", "from": {"id": user_id}}}


def paid(number: int, user_id: int = ANN) -> dict[str, Any]:
    """A payment that was made."""
    payment = {"telegram_payment_charge_id": "c"}
    return {
        "update_id": number,
        "message": {"from": {"id": user_id}, "successful_payment": payment},
    }


class Handlers:
    """What the dispatcher does with updates, as a test prepares it."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.tries: dict[int, int] = defaultdict(int)
        self.under_way: dict[int | None, int] = defaultdict(int)
        self.behaviour: dict[int, Callable[[int], Awaitable[None]]] = {}

    async def dispatch(self, row: InboxRow) -> None:
        """Handle an update; a lane never has two in hand."""
        number = json.loads(row.payload)["update_id"]
        self.tries[number] += 1
        assert row.lane is None or not self.under_way[row.lane], "two of one user at once"
        self.under_way[row.lane] += 1
        try:
            if number in self.behaviour:
                await self.behaviour[number](self.tries[number])
            self.handled.append(number)
        finally:
            self.under_way[row.lane] -= 1

    def fails(self, number: int, error: Exception, *, times: int = 1_000) -> None:
        """An update's handler raises at its first tries."""

        async def fail(attempt: int) -> None:
            if attempt <= times:
                raise error

        self.behaviour[number] = fail

    def fails_in_turn(self, number: int, errors: list[Exception]) -> None:
        """An update's handler raises one error after the other, then works."""

        async def fail(attempt: int) -> None:
            if attempt <= len(errors):
                raise errors[attempt - 1]

        self.behaviour[number] = fail

    def kills(self, number: int, kill: Callable[[], None]) -> None:
        """An update's handler ends whoever runs it."""

        async def die(_: int) -> None:
            kill()
            await asyncio.Event().wait()

        self.behaviour[number] = die

    def hangs_once(self, number: int) -> None:
        """An update's handler does not end at its first try."""

        async def hang(attempt: int) -> None:
            if attempt == 1:
                await asyncio.Event().wait()

        self.behaviour[number] = hang

    def waits(self, number: int) -> asyncio.Event:
        """An update's handler waits for the event."""
        gate = asyncio.Event()

        async def wait(_: int) -> None:
            await gate.wait()

        self.behaviour[number] = wait
        return gate


class Door:
    """A running back-end with its door to a scripted Telegram."""

    def __init__(self, world: World, telegram: Telegram, handlers: Handlers) -> None:
        self.world = world
        self.telegram = telegram
        self.handlers = handlers

    async def until_handled(self, *numbers: int) -> None:
        """Until these updates were handled, whichever waits the database keeps."""

        async def all_of_them() -> bool:
            return set(numbers) <= set(self.handlers.handled)

        await self.world.until(all_of_them)

    async def until_idle(self) -> None:
        """Until no update waits."""

        async def idle() -> bool:
            return not (await self.world.rows.fetchval(WAITING) or self.telegram.held)

        await self.world.until(idle)

    async def until_polled(self, times: int) -> None:
        """Until Telegram was polled so often."""

        async def polled() -> bool:
            return len(self.telegram.polls) >= times

        await eventually(polled)

    async def letters(self) -> list[Any]:
        """What operators find, oldest first."""
        return list(await self.world.rows.fetch("SELECT * FROM dead_letters ORDER BY id"))

    def worker(self) -> AsyncioActor:
        """The actor that works on updates."""
        return self.world.actor("inbox")

    def intake(self) -> AsyncioActor:
        """The actor that polls."""
        return self.world.actor("intake")


@pytest.fixture
def telegram() -> Telegram:
    return Telegram()


@pytest.fixture
def handlers() -> Handlers:
    return Handlers()


@pytest.fixture
async def door(
    database: Database,
    rows: Rows,
    cipher: LinkCipher,
    telegram: Telegram,
    handlers: Handlers,
) -> AsyncIterator[Door]:
    bot = Bot("123456:made-up", session=telegram)
    inbox = PostgresInbox(database)
    async with running(
        database,
        rows,
        cipher,
        inbox=lambda: InboxWorker(inbox, handlers.dispatch),
        intake=lambda worker: TelegramIntake(bot, inbox, ALLOWED, worker),
    ) as world:
        yield Door(world, telegram, handlers)


# Taking in.


async def test_an_update_is_acknowledged_after_it_is_committed(door: Door) -> None:
    door.telegram.send(said(10), said(11))
    await door.until_polled(2)

    first, second = door.telegram.polls[:2]
    assert first.offset is None
    assert second.offset == 12
    assert second.allowed_updates == ALLOWED, "else Telegram keeps an older list"
    assert await door.world.rows.fetchval("SELECT count(*) FROM inbox") == 2
    await door.until_idle()
    assert door.handlers.handled == [10, 11]


async def test_what_cannot_be_committed_is_not_acknowledged(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failed = PostgresInbox.accept, asyncio.Event()

    async def away(self: PostgresInbox, updates: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable("away")
        await accept(self, updates)

    monkeypatch.setattr(PostgresInbox, "accept", away)
    door.telegram.send(said(10))
    await door.until_handled(10)

    assert [poll.offset for poll in door.telegram.polls[:2]] == [None, None]
    assert door.handlers.handled == [10]


async def test_a_crash_between_commit_and_acknowledgement_is_one_effect(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, killed = PostgresInbox.accept, asyncio.Event()

    async def dies(self: PostgresInbox, updates: Any) -> None:
        await accept(self, updates)
        if not killed.is_set():
            killed.set()
            door.intake().kill()
            await asyncio.Event().wait()

    monkeypatch.setattr(PostgresInbox, "accept", dies)
    door.telegram.send(said(10))
    await door.until_idle()

    offsets = [poll.offset for poll in door.telegram.polls]
    assert offsets[:2] == [None, None], "it came twice"
    assert door.handlers.handled == [10]


async def test_updates_are_stored_as_they_came(door: Door) -> None:
    update = said(10, text="héllo \N{SNOWMAN} \0")
    door.telegram.send(update)
    await door.until_handled(10)

    stored = await door.world.rows.fetchval("SELECT payload FROM inbox")
    assert json.loads(stored) == update


async def test_half_a_character_does_not_stop_everything(door: Door) -> None:
    """JSON can carry half of a surrogate pair, and no database can store it as text."""
    door.telegram.send(said(10, text="\ud83d"), said(11, BOB))
    await door.until_handled(10, 11)

    stored = await door.world.rows.fetchval("SELECT payload FROM inbox WHERE source_id = '10'")
    assert json.loads(stored)["message"]["text"] == "\ud83d"


@pytest.mark.parametrize(
    "error",
    [
        TelegramNetworkError(ASKED, "reset"),
        TelegramServerError(ASKED, "bad gateway"),
        TelegramBadRequest(ASKED, "odd"),
        TelegramConflictError(ASKED, "terminated by other getUpdates request"),
        TelegramRetryAfter(ASKED, "too many requests", retry_after=1),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_poll_that_fails_is_repeated(door: Door, error: Exception) -> None:
    intake = door.intake()
    door.telegram.fail_next(error)
    door.telegram.send(said(10))
    await door.until_handled(10)

    assert door.intake() is intake, "no restart: nothing is wrong with the program"


async def test_a_refused_token_ends_the_actor(door: Door) -> None:
    """Nothing here can mend it: the supervisor hears of it, and gives up in the end."""
    intake = door.intake()
    door.telegram.fail_next(TelegramUnauthorizedError(ASKED, "Unauthorized"))
    await asyncio.wait_for(intake.wait_ended(), 60)

    door.telegram.send(said(10))
    await door.until_handled(10)
    assert door.intake() is not intake


# Working on.


async def test_one_user_s_updates_are_handled_in_order(door: Door) -> None:
    gate = door.handlers.waits(10)
    door.telegram.send(said(10), said(11), said(12))

    async def begun() -> bool:
        return door.handlers.tries[10] == 1

    await eventually(begun)
    door.telegram.send(said(13))
    await door.until_polled(3)
    gate.set()
    await door.until_idle()

    assert door.handlers.handled == [10, 11, 12, 13]


async def test_users_do_not_wait_for_each_other(door: Door) -> None:
    gate = door.handlers.waits(10)
    door.telegram.send(said(10, ANN), said(11, ANN), said(12, BOB))
    await door.until_handled(12)

    assert door.handlers.handled == [12]
    gate.set()
    await door.until_idle()


async def test_a_pre_checkout_question_waits_behind_nothing(door: Door) -> None:
    gate = door.handlers.waits(10)
    door.telegram.send(said(10), said(11), asked_to_pay(12))
    await door.until_handled(12)

    assert door.handlers.handled == [12]
    gate.set()
    await door.until_idle()


async def test_a_payment_waits_behind_nothing(door: Door) -> None:
    gate = door.handlers.waits(10)
    door.telegram.send(said(10), said(11), paid(12))
    await door.until_handled(12)

    assert door.handlers.handled == [12]
    gate.set()
    await door.until_idle()


async def test_a_payment_behind_a_bug_is_tried_again_by_the_next_start(door: Door) -> None:
    door.handlers.fails(10, KeyError("a bug"), times=BUG_TRIES)
    door.telegram.send(paid(10))
    await door.until_idle()
    assert door.handlers.handled == []

    door.worker().kill()
    await door.until_handled(10)

    assert await door.world.rows.fetchval("SELECT quarantined_at FROM inbox") is None
    (letter,) = await door.letters()
    assert (letter["state"], letter["decided_by"]) == ("retried", "start")


async def test_money_that_an_operator_dropped_is_not_tried_by_the_next_start(door: Door) -> None:
    door.handlers.fails(10, KeyError("a bug"), times=BUG_TRIES)
    door.telegram.send(paid(10))
    await door.until_idle()
    (letter,) = await door.letters()
    await OperatorRecords(door.world.database).drop_dead_letter(
        letter["id"], "os:root", "given back"
    )

    door.worker().kill()
    door.telegram.send(paid(11))
    await door.until_handled(11)

    assert door.handlers.handled == [11]
    assert [row["state"] for row in await door.letters()] == ["dropped"]


async def test_a_flood_limit_is_waited_out_and_not_counted(door: Door) -> None:
    limit = TelegramRetryAfter(ASKED, "slow down", retry_after=3)
    door.handlers.fails(10, limit, times=TELEGRAM_TRIES + 1)
    door.telegram.send(said(10))

    async def postponed() -> bool:
        return bool(
            await door.world.rows.fetchval(
                "SELECT next_at > now() + interval '2 s' AND attempts = 0 FROM inbox"
            )
        )

    await eventually(postponed)
    await door.until_idle()

    assert door.handlers.handled == [10]


async def test_an_update_that_never_ends_is_set_aside(door: Door) -> None:
    """It may be what kills the process; the count outlives that."""
    gate = door.handlers.waits(10)
    door.telegram.send(said(10), said(11, BOB))
    await door.until_handled(11)
    await door.world.rows.execute("UPDATE inbox SET attempts = $1", TELEGRAM_TRIES)

    door.worker().kill()
    await door.until_idle()

    assert 10 not in door.handlers.handled
    gate.set()


async def test_an_update_that_kills_whoever_works_on_it_is_set_aside_after_three_lives(
    door: Door,
) -> None:
    """The attempt is committed before it is made, so the count survives what it kills."""
    door.handlers.kills(10, lambda: door.worker().kill())
    door.telegram.send(said(10, ANN), said(11, ANN))
    await door.until_idle()

    assert door.handlers.tries[10] == BUG_TRIES == 3
    assert door.handlers.handled == [11]
    (letter,) = await door.letters()
    assert (letter["actor"], letter["error"], letter["attempts"]) == ("inbox", "never ended", 3)
    assert (letter["state"], letter["payload"]) == ("waiting", None)


async def test_answers_that_telegram_refused_are_no_strikes(door: Door) -> None:
    """An update that was refused often still has all its tries when it meets a bug."""
    refusal, bug = TelegramNetworkError(ASKED, "reset"), KeyError("a bug")
    door.handlers.fails_in_turn(10, [*[refusal] * (TELEGRAM_TRIES - 1), *[bug] * (BUG_TRIES - 1)])
    door.telegram.send(said(10))
    await door.until_idle()

    assert door.handlers.handled == [10]
    assert await door.letters() == []
    found = await door.world.rows.fetchrow("SELECT attempts, refusals FROM inbox")
    assert tuple(found) == (BUG_TRIES, TELEGRAM_TRIES - 1)


async def test_a_crowd_is_served_a_few_at_a_time(door: Door) -> None:
    gates = [door.handlers.waits(number) for number in range(10, 40)]
    door.telegram.send(*(said(number, 1_000 + number) for number in range(10, 40)))

    async def full() -> bool:
        return sum(door.handlers.under_way.values()) == LANES_AT_ONCE

    await eventually(full)
    for gate in gates:
        gate.set()
    await door.until_idle()

    assert sorted(door.handlers.handled) == list(range(10, 40))


async def test_a_bug_is_tried_three_times_and_then_blocks_nobody(door: Door) -> None:
    worker = door.worker()
    door.handlers.fails(10, KeyError("a bug"))
    door.telegram.send(said(10, ANN), said(11, ANN), said(12, BOB))
    await door.until_idle()

    assert door.handlers.tries[10] == BUG_TRIES == 3
    assert door.handlers.tries[11] == 1
    assert set(door.handlers.handled) == {11, 12}
    found = await door.world.rows.fetchrow("SELECT * FROM inbox WHERE source_id = '10'")
    assert found["quarantined_at"] is not None
    assert found["reply"] == "KeyError"
    assert door.worker() is worker


async def test_a_bug_holds_back_its_own_user_until_it_is_decided(door: Door) -> None:
    """Otherwise a later message would be handled before the one that is tried again."""
    door.handlers.fails(10, KeyError("a bug"), times=1)
    door.telegram.send(said(10), said(11))
    await door.until_idle()

    assert door.handlers.handled == [10, 11]


@pytest.mark.parametrize(
    "weather", [StorageUnavailable("away"), Unavailable("busy"), UnknownSource("switched off")]
)
async def test_weather_is_not_counted(door: Door, weather: Exception) -> None:
    door.handlers.fails(10, weather, times=6)
    door.telegram.send(said(10))
    await door.until_idle()

    assert door.handlers.tries[10] == 7
    assert door.handlers.handled == [10]
    assert await door.world.rows.fetchval("SELECT attempts FROM inbox") == 1


async def test_an_answer_that_telegram_does_not_take_is_repeated_for_longer(door: Door) -> None:
    door.handlers.fails(10, TelegramNetworkError(ASKED, "reset"), times=TELEGRAM_TRIES - 1)
    door.handlers.fails(20, TelegramNetworkError(ASKED, "reset"))
    door.telegram.send(said(10, ANN), said(20, BOB))
    await door.until_idle()

    assert door.handlers.handled == [10]
    assert door.handlers.tries[20] == TELEGRAM_TRIES


async def test_a_worker_killed_in_the_middle_finishes_after_its_restart(door: Door) -> None:
    door.handlers.hangs_once(10)
    door.telegram.send(said(10), said(11))

    async def begun() -> bool:
        return door.handlers.tries[10] == 1

    await eventually(begun)
    door.worker().kill()
    await door.until_idle()

    assert door.handlers.handled == [10, 11]
    assert door.handlers.tries[10] == 2
    found = await door.world.rows.fetchval("SELECT attempts FROM inbox WHERE source_id = '10'")
    assert found == 2, "what kills the process counts too"


async def test_connections_cut_again_and_again_lose_no_update(door: Door) -> None:
    numbers = range(100, 130)
    for number in numbers:
        door.telegram.send(said(number, user_id=number % 5 + 1))
        if number % 3 == 0:
            await door.world.cut_connections()
            await door.world.rows.fetchval("SELECT pg_sleep(0.01)")
    await door.until_idle()

    assert set(door.handlers.handled) == set(numbers)
    for user in range(5):
        firsts = list(dict.fromkeys(n for n in door.handlers.handled if n % 5 == user))
        assert firsts == sorted(firsts), "in order for each user"


async def test_more_updates_than_are_read_at_once_are_all_handled_in_order(door: Door) -> None:
    numbers = list(range(1, 251))
    door.telegram.send(*(said(number, user_id=number % 2 + 1) for number in numbers))
    await door.until_idle()

    for user in range(2):
        mine = [number for number in door.handlers.handled if number % 2 == user]
        assert mine == [number for number in numbers if number % 2 == user]


async def test_what_was_done_long_ago_is_forgotten(
    database: Database, rows: Rows, cipher: LinkCipher, handlers: Handlers
) -> None:
    inbox = PostgresInbox(database)
    await inbox.accept([raw_update(1, said(10)), raw_update(1, said(11))])
    await rows.execute("UPDATE inbox SET done_at = now() - interval '4 days' WHERE seq = 1")
    async with running(database, rows, cipher, inbox=lambda: InboxWorker(inbox, handlers.dispatch)):

        async def forgotten() -> bool:
            return bool(await rows.fetchval("SELECT count(*) = 1 FROM inbox"))

        await eventually(forgotten)


@pytest.mark.parametrize("step", ["waiting", "begin", "done", "release", "quarantine", "prune"])
async def test_an_outage_at_any_step_of_the_work_heals_by_itself(
    database: Database,
    rows: Rows,
    cipher: LinkCipher,
    handlers: Handlers,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each step once without its answer, although it was committed."""
    real, failed = getattr(PostgresInbox, step), asyncio.Event()

    async def unknown(self: PostgresInbox, *args: Any, **named: Any) -> Any:
        answer = await real(self, *args, **named)
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(PostgresInbox, step, unknown)
    handlers.fails(10, KeyError("a bug"))
    handlers.fails(11, Unavailable("busy"), times=1)
    inbox = PostgresInbox(database)
    await inbox.accept([raw_update(1, said(number)) for number in (10, 11, 12)])
    async with running(
        database, rows, cipher, inbox=lambda: InboxWorker(inbox, handlers.dispatch)
    ) as world:
        worker = world.actor("inbox")

        async def idle() -> bool:
            return not await rows.fetchval(WAITING)

        await world.until(idle)
        assert list(dict.fromkeys(handlers.handled)) == [11, 12]
        assert failed.is_set()
        assert world.actor("inbox") is worker


@pytest.mark.parametrize("applied", [True, False], ids=["committed_unheard", "not_committed"])
@pytest.mark.parametrize("step", ["begin", "done", "release", "refused"])
async def test_outages_around_an_update_never_set_it_aside(
    database: Database,
    rows: Rows,
    cipher: LinkCipher,
    handlers: Handlers,
    step: str,
    applied: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An attempt that the database could not take back was still no bug's."""
    real, outages = getattr(PostgresInbox, step), [StorageUnavailable("away")] * BUG_TRIES

    async def away(self: PostgresInbox, *args: Any, **named: Any) -> Any:
        answer = await real(self, *args, **named) if applied or not outages else None
        if outages:
            raise outages.pop()
        return answer

    monkeypatch.setattr(PostgresInbox, step, away)
    trouble = {"release": Unavailable("busy"), "refused": TelegramNetworkError(ASKED, "reset")}
    if step in trouble:
        handlers.fails(10, trouble[step], times=BUG_TRIES + 1)
    inbox = PostgresInbox(database)
    await inbox.accept([raw_update(1, paid(10))])
    async with running(
        database, rows, cipher, inbox=lambda: InboxWorker(inbox, handlers.dispatch)
    ) as world:

        async def done() -> bool:
            return bool(await rows.fetchval("SELECT reply FROM inbox"))

        await world.until(done)

    assert handlers.handled[-1:] == [10]
    assert await rows.fetchval("SELECT reply FROM inbox") == "handled"
    assert await rows.fetchval("SELECT count(*) FROM dead_letters") == 0


# Whose update it is.


@pytest.mark.parametrize(
    ("update", "lane"),
    [
        (said(1, 7), 7),
        ({"update_id": 1, "callback_query": {"id": "x", "from": {"id": 7}}}, 7),
        (asked_to_pay(1, 7), None),
        (paid(1, 7), None),
        ({"update_id": 1, "my_chat_member": {"chat": {"id": 9}, "from": {"id": 7}}}, 7),
        ({"update_id": 1, "channel_post": {"message_id": 1, "chat": {"id": -100}}}, -100),
        ({"update_id": 1, "subscription": {"user": {"id": 7}}}, 7),
        ({"update_id": 1, "poll": {"id": "x"}}, 0),
        ({"update_id": 1, "message": {"from": {"id": "seven"}}}, 0),
        ({"update_id": 1}, 0),
    ],
    ids=[
        "message",
        "tap",
        "pre-checkout",
        "payment",
        "membership",
        "channel",
        "subscription",
        "poll",
        "odd sender",
        "empty",
    ],
)
def test_a_lane_is_whose_update_it_is(update: dict[str, Any], lane: int | None) -> None:
    assert lane_of(update) == lane


def test_an_update_is_keyed_by_the_bot_and_its_number() -> None:
    kept = raw_update(5, said(10, 7))

    assert (kept.source, kept.source_id, kept.lane) == ("telegram:5", "10", 7)

"""People are told before their time ends and once after, each thing once."""

from actors.expiry.actor import EXPIRY
from actors.expiry.decisions import REMINDERS, ExpiryLimits
from actors.notifier.ports import PersonalNotice
from actors.user.messages import StartTrial
from storage.expiry import REMINDED_AT_ONCE
from storage.phases import ExpiryPhases
from tests.integration.actors.world import DAY_S, World
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S, pass_time

HOUR_S = 3_600


def told(world: World, user_id: int = BUYER) -> list[str]:
    """What a person was told, but for how an order goes."""
    return [
        notice.text_id
        for notice in world.courier.carried
        if isinstance(notice, PersonalNotice) and notice.chat_id == user_id
    ]


async def swept(world: World, times: int = 2) -> None:
    """Until it was looked who should be reminded, so often, and they were."""
    for _ in range(times):
        latest = await world.rows.fetchval("SELECT clock_timestamp()")

        async def looked(since: object = latest) -> bool:
            found = await world.rows.fetchval(
                "SELECT count(*) FROM watermarks WHERE name LIKE 'news-%' AND upto > $1", since
            )
            return bool(found == len(REMINDERS))

        await eventually(looked)
    await world.settle()


async def test_each_reminder_comes_once_and_in_time(world: World) -> None:
    await swept(world, 1)
    await world.buy(BUYER)
    await world.settle()
    await swept(world, 1)
    assert told(world) == []

    await pass_time(world.rows, MONTH_S - 72 * HOUR_S - 60)
    await swept(world)
    assert told(world) == [], "a minute before it is too early"

    expected = []
    for seconds, text_id in (
        (120, "news-ends-in-3-days"),
        (48 * HOUR_S, "news-ends-tomorrow"),
        (21 * HOUR_S, "news-ends-soon"),
        (3 * HOUR_S, "news-expired"),
        (24 * HOUR_S, "news-missed"),
    ):
        await pass_time(world.rows, seconds)
        expected.append(text_id)
        await swept(world)
        await world.until(lambda: _told_so_far(world, expected))
    await pass_time(world.rows, 24 * HOUR_S)
    await swept(world)
    assert told(world) == expected


async def _told_so_far(world: World, expected: list[str]) -> bool:
    return told(world) == expected


async def test_after_a_long_time_away_only_the_latest_is_told(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    await swept(world, 1)

    await pass_time(world.rows, MONTH_S - 2 * HOUR_S)
    await swept(world)

    assert told(world) == ["news-ends-soon"]


async def test_who_got_a_day_just_now_is_not_told_that_it_ends_tomorrow(world: World) -> None:
    await swept(world, 1)
    await world.ask(BUYER, StartTrial(operation_id="trial", language="en"))
    await world.settle()
    await pass_time(world.rows, 60)
    await swept(world)
    assert "news-ends-tomorrow" not in told(world)

    await pass_time(world.rows, DAY_S - 3 * HOUR_S)
    await swept(world)
    assert told(world)[-1] == "news-ends-soon"


async def test_who_extends_is_reminded_of_the_new_end_alone(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    await swept(world, 1)
    await pass_time(world.rows, MONTH_S - 30 * HOUR_S)
    await world.buy(BUYER)
    await world.settle()
    before = told(world)
    await pass_time(world.rows, 28 * HOUR_S)
    await swept(world)

    assert told(world) == before


async def test_more_are_reminded_than_one_statement_could_tell(world: World) -> None:
    """As after a switch was off. A statement for 100,000 was cut off at its 5 s, each time anew."""
    await swept(world, 1)
    users = 2 * REMINDED_AT_ONCE + 1
    await world.rows.execute(
        f"""
        INSERT INTO users (tg_id, language, reachable)
        SELECT n, 'en', false FROM generate_series(10, {users + 9}) n;
        INSERT INTO subscriptions (user_id, plan_id, status, expires_at, version)
        SELECT n, 'month', 'active', now() + interval '71 h', 1
        FROM generate_series(10, {users + 9}) n
        """  # noqa: S608 - numbers of ours
    )
    await world.rows.execute("UPDATE watermarks SET upto = now() - interval '2 h'")
    phases, days = ExpiryPhases(world.database), REMINDERS[0]

    await phases.remind(days)
    assert await phases.remind(days) == 0, "one page after the other, also at one moment"
    news = "SELECT count(*) FROM outbox WHERE payload->>'text_id' = $1"
    assert await world.rows.fetchval(news, days.text_id) == users


async def test_many_whose_time_is_over_end_together_and_as_each_would(world: World) -> None:
    """Beside them one whose money waits, and one who has a minute left."""
    await world.buy(1)
    await world.settle()
    users = ExpiryLimits().bulk_from + 50
    await world.rows.execute(
        f"""
        INSERT INTO users (tg_id, language) SELECT n, 'en' FROM generate_series(10, {users + 11}) n;
        INSERT INTO subscriptions (user_id, plan_id, status, expires_at, version)
        SELECT n, 'month', 'active',
            now() + CASE WHEN n = 10 THEN interval '1 m' ELSE interval '-1 m' END, 1
        FROM generate_series(10, {users + 11}) n;
        INSERT INTO ledger (subscription_id, version, delta_s, pending_before, pending_after,
            expires_after, source_kind, source_id, reason, actor)
        SELECT id, 1, 0, 0, 0, expires_at, 'grant', id::text, '', '' FROM subscriptions
        WHERE user_id >= 10;
        INSERT INTO payments (provider, provider_payment_id, user_id, amount, currency, body_sha256)
        VALUES ('stars', 'waits', 11, 1, 'XTR', '');
        INSERT INTO credentials (uuid, subscription_id, node_id, desired, gen, applied_gen,
            first_applied_at, applied_at, link_enc)
        SELECT gen_random_uuid(), id, 'node-1', 'present', 1, 1, now(), now(),
            (SELECT link_enc FROM credentials LIMIT 1)
        FROM subscriptions WHERE user_id >= 10
        """  # noqa: S608 - numbers of ours
    )

    async def over() -> bool:
        world.directory.find(EXPIRY).wake()
        count = await world.rows.fetchval(
            "SELECT count(*) FROM subscriptions WHERE status = 'expired'"
        )
        return bool(count == users)

    await eventually(over)
    left = await world.rows.fetch(
        "SELECT user_id FROM subscriptions WHERE status = 'active' ORDER BY user_id"
    )
    assert [user_id for (user_id,) in left] == [1, 10, 11]
    wrong = await world.rows.fetchval(
        """
        SELECT count(*) FROM subscriptions s
        JOIN ledger l ON l.subscription_id = s.id AND l.version = s.version
        JOIN credentials c ON c.subscription_id = s.id
        WHERE s.status = 'expired' AND NOT (s.version = 2 AND l.source_kind = 'expiry'
            AND l.source_id = s.id || ':2' AND l.expires_after = s.expires_at
            AND c.desired = 'absent' AND c.gen = 2 AND (c.bulk OR c.applied_gen = 2))
        """
    )
    assert wrong == 0
    news = "SELECT count(*) FROM outbox WHERE payload->>'text_id' = 'news-expired'"
    assert await world.rows.fetchval(news) == users
    assert users < ExpiryLimits().bulk_users

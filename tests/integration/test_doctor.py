"""`tollgate doctor` over real parts: it says how they stand, and disturbs none of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from config.settings import NodeEntry, SecuritySection, Settings, TelegramSection
from storage.database import Database
from storage.embedded import FOLDER, HANDLES, POSTMASTER, EmbeddedPostgres
from storage.identity import claim_database
from storage.links import LinkCipher
from storage.looking import DatabaseStanding, looking, standing
from storage.migrate import apply_migrations
from storage.phases import announce_nodes
from supervisors.doctor.asking import ask_everything
from supervisors.doctor.deep import SETTLED_S, is_settled, look_deep, of_list
from supervisors.doctor.facts import Facts
from supervisors.doctor.findings import Finding, State
from supervisors.doctor.judging import judge
from tests.integration.actors.live import Stage, staged
from tests.integration.database_fixtures import Rows, connected
from tests.integration.node_fixtures import Files, fresh_files, running
from tests.integration.shop import NODE, Shop
from xray_api.client.client import NodeClient

#: A bot token of the right shape that nobody gave out.
ELSEWHERE = "2000002:ez2W4NaOKSCDXP67cXxXo1rA-_k9JdPuLFs"
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


@dataclass
class Clinic:
    """A shop whose parts are real, and what the doctor says of it."""

    settings: Settings
    shop: Shop
    node: NodeClient
    files: Files

    async def facts(self) -> Facts:
        """What the doctor learns."""
        return await ask_everything(self.settings, None)

    async def lines(self) -> dict[str, list[Finding]]:
        """What the doctor says, by what it is about."""
        return by_subject(judge(await self.facts(), self.settings))

    async def deep(self) -> dict[str, list[Finding]]:
        """The same, of a long look."""
        facts = await self.facts()
        return by_subject(await look_deep(self.settings, facts, lambda *_: None))

    async def serve(self) -> UUID:
        """Somebody has access, on the node too."""
        wish = await self.shop.bought()
        epoch = (await self.node.ready()).epoch
        reply = await self.node.put(wish.uuid, wish.gen, epoch)
        await self.shop.nodes.record_outcome(wish, reply.vless_link, 1)
        return wish.uuid


def by_subject(findings: list[Finding]) -> dict[str, list[Finding]]:
    """Findings by what they are about."""
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.about, []).append(one)
    return found


def entry(files: Files, api_key: str = "") -> NodeEntry:
    """A node of the settings."""
    key = SecretStr(api_key or files.api_key)
    return NodeEntry(id=NODE, title="A node", url=files.url, api_keys=(key,))


@pytest.fixture
async def stage(
    tmp_path: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
) -> AsyncIterator[Stage]:
    async with staged(tmp_path, database_url, rows, cipher) as made:
        yield made


@pytest.fixture
async def clinic(
    tmp_path: Path, database: Database, stage: Stage, cipher: LinkCipher
) -> AsyncIterator[Clinic]:
    """No back-end runs; all the rest does."""
    async with (
        fresh_files(tmp_path / "node") as files,
        running(files.settings()),
        files.client() as client,
    ):
        settings = stage.settings.model_copy(update={"nodes": (entry(files),)})
        await announce_nodes(database, [NODE])
        yield Clinic(settings, Shop(database, cipher), client, files)


@pytest.fixture
def embedded() -> Iterator[Settings]:
    """A shop with its own PostgreSQL, in a folder that PostgreSQL's own user can reach."""
    with TemporaryDirectory(prefix="tollgate-doctor-") as folder:
        yield Settings(
            data_dir=Path(folder),
            nodes=(
                NodeEntry(
                    id=NODE,
                    title="A node",
                    url="http://127.0.0.1:9",
                    api_keys=(SecretStr("no-secret-no-secret-no-secret-no-secret-no-"),),
                ),
            ),
            telegram=TelegramSection(token=SecretStr(ELSEWHERE), api_base="http://127.0.0.1:9"),
            security=SecuritySection(keys=(SecretStr("a master secret for tests, long enough"),)),
        )


def standing_of(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """What a start, or a user of the server, would change: owners, rights, notes."""
    files = [folder.parent, folder, *(folder / name for name in (HANDLES, POSTMASTER, "log"))]
    return {
        str(file): (
            file.stat().st_mode,
            file.stat().st_uid,
            b"" if file.is_dir() or file.name == "log" else file.read_bytes(),
        )
        for file in files
        if file.exists()
    }


def states(lines: dict[str, list[Finding]]) -> dict[str, set[State]]:
    """How bad each thing is."""
    return {about: {one.state for one in found} for about, found in lines.items()}


async def test_a_shop_that_does_not_run_yet_is_told_so_and_nothing_failed(clinic: Clinic) -> None:
    found = states(await clinic.lines())

    assert found.pop("node node-1") == {State.OK}
    assert found.pop("identity") == {State.NOTE}, "nobody's yet"
    assert found.pop("back-end") == {State.WARNING}, "the test owns the database"
    assert set().union(*found.values()) == {State.OK}


async def test_a_running_back_end_is_seen_and_not_disturbed(stage: Stage, rows: Rows) -> None:
    async with stage.life():
        epoch = await rows.fetchval("SELECT epoch FROM shards")

        facts = await ask_everything(stage.settings, None)
        found = by_subject(judge(facts, stage.settings))
        await look_deep(stage.settings, facts, lambda *_: None)
        await stage.buy(stage.anna)

        assert await rows.fetchval("SELECT epoch FROM shards") == epoch
        assert [one.text for one in found["back-end"]] == ["runs, and owns the database"]
        assert found["identity"][0].state is State.OK
        assert found["telegram"][0].state is State.OK
        (node,) = found["node node-1"]
        assert (node.state, "does not answer" in node.text) == (State.FAILED, True)


async def test_a_back_end_that_renewed_its_connections_is_asked_for_what_takes_seconds(
    stage: Stage, rows: Rows
) -> None:
    async with stage.life():
        asked = await ask_everything(stage.settings, None)
        assert isinstance(asked.database, DatabaseStanding)
        assert not is_settled(asked), "it has just begun"
        # As of one that began with PostgreSQL, whose pool has no connection of that time any more.
        await rows.execute("UPDATE shards SET backend_start = pg_postmaster_start_time()")

        standing = await look_at(stage.settings)

    assert standing.owner is not None
    owner = replace(standing.owner, since_s=(standing.owner.since_s or 0.0) + SETTLED_S)
    assert is_settled(replace(asked, database=replace(standing, owner=owner)))


async def look_at(settings: Settings) -> DatabaseStanding:
    """How the database of these settings stands."""
    assert settings.database.url is not None
    async with looking(settings.database.url.get_secret_value()) as connection:
        return await standing(connection)


async def test_the_doctor_cannot_write(database_url: str) -> None:
    async with looking(database_url) as connection:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await connection.execute("UPDATE shards SET epoch = epoch + 1")


async def test_migrations_that_are_missing_are_named_and_not_applied(
    clinic: Clinic, empty_url: str
) -> None:
    settings = clinic.settings
    elsewhere = settings.database.model_copy(update={"url": SecretStr(empty_url)})
    clinic.settings = settings.model_copy(update={"database": elsewhere})

    (found,) = (await clinic.lines())["migrations"]

    assert found.state is State.FAILED
    assert "20261123_01_initial" in found.text
    async with connected(empty_url) as connection:
        assert await connection.fetchval(TABLES) == 0


async def test_an_embedded_database_that_is_not_there_is_not_made(clinic: Clinic) -> None:
    settings = clinic.settings
    embedded = settings.database.model_copy(update={"url": None})
    clinic.settings = settings.model_copy(update={"database": embedded})
    before = set(settings.data_dir.iterdir())

    (found,) = (await clinic.lines())["database"]

    assert found.state is State.NOTE
    assert set(settings.data_dir.iterdir()) == before


async def test_an_embedded_database_that_runs_is_looked_at_and_left_alone(
    embedded: Settings,
) -> None:
    folder = embedded.data_dir / FOLDER
    server = await asyncio.to_thread(EmbeddedPostgres.start, folder)
    try:
        await apply_migrations(server.url)
        before = standing_of(folder)

        facts = await ask_everything(embedded, None)
        await look_deep(embedded, facts, lambda *_: None)

        assert by_subject(judge(facts, embedded))["database"][0].state is State.OK
        assert standing_of(folder) == before
        async with connected(server.url) as connection:
            assert await connection.fetchval("SELECT 1") == 1, "it goes on"
    finally:
        await asyncio.to_thread(server.stop)


async def test_an_embedded_database_that_does_not_run_is_told_and_not_started(
    embedded: Settings,
) -> None:
    folder = embedded.data_dir / FOLDER
    await asyncio.to_thread(lambda: EmbeddedPostgres.start(folder).stop())
    before = standing_of(folder)

    (stopped,) = by_subject(judge(await ask_everything(embedded, None), embedded))["database"]
    (folder / "postmaster.pid").write_text(f"1\n{folder}\n0\n5432\n{folder}\n\n0 0\nready\n")
    (killed,) = by_subject(judge(await ask_everything(embedded, None), embedded))["database"]
    (folder / "postmaster.pid").unlink()

    for found in (stopped, killed):
        assert found.state is State.WARNING
        assert "the embedded one does not run" in found.text
        assert "tollgate run" in found.mend
    assert standing_of(folder) == before


async def test_a_database_that_is_away_keeps_no_other_line_waiting(clinic: Clinic) -> None:
    settings = clinic.settings
    url = SecretStr("postgresql://nobody:a-password-of-somebody@127.0.0.1:9/none")
    away = settings.database.model_copy(update={"url": url})
    clinic.settings = settings.model_copy(update={"database": away})

    found = await clinic.lines()

    (line,) = found["database"]
    assert line.state is State.FAILED
    assert "a-password" not in line.text
    assert found["node node-1"][0].state is State.OK


async def test_the_database_of_another_bot_or_other_keys_is_told(
    clinic: Clinic, database: Database
) -> None:
    bot_id = clinic.settings.telegram.bot_id
    await claim_database(database, bot_id, ["somebody else's fingerprint"])
    (found,) = (await clinic.lines())["identity"]
    assert "master keys" in found.text

    telegram = clinic.settings.telegram.model_copy(update={"token": SecretStr(ELSEWHERE)})
    clinic.settings = clinic.settings.model_copy(update={"telegram": telegram})
    lines = await clinic.lines()
    assert f"the database is bot {bot_id}'s" in lines["identity"][0].text
    assert "does not know the token" in lines["telegram"][0].text


async def test_a_node_that_takes_no_key_is_told(clinic: Clinic) -> None:
    wrong = entry(clinic.files, "no-secret-no-secret-no-secret-no-secret-no-")
    clinic.settings = clinic.settings.model_copy(update={"nodes": (wrong,)})

    (found,) = (await clinic.lines())["node node-1"]

    assert (found.state, found.text[:24]) == (State.FAILED, "takes none of our keys (")
    assert "api_keys" in found.mend


async def test_a_node_that_is_another_one_or_frozen_is_told(clinic: Clinic, rows: Rows) -> None:
    await rows.execute(
        "UPDATE nodes SET epoch = gen_random_uuid(), state = 'frozen', reason = 'a sign'"
    )

    found = (await clinic.lines())["node node-1"]

    assert [one.state for one in found] == [State.OK, State.WARNING, State.WARNING]
    assert "another store" in found[1].text
    assert "is frozen, nobody is removed from it: a sign" in found[2].text


async def test_secrets_that_others_can_read_are_told(clinic: Clinic) -> None:
    file = clinic.settings.data_dir / "security.keys"
    file.write_text("a key that is long enough for a shop of somebody\n")
    file.chmod(0o644)

    (found,) = (await clinic.lines())["secrets"]

    assert found.mend == f"chmod 600 {file}"


async def test_no_keys_are_made(clinic: Clinic) -> None:
    clinic.settings = clinic.settings.model_copy(update={"security": SecuritySection()})

    await clinic.serve()

    await clinic.lines()
    found = (await clinic.deep())["rows"]

    assert not (clinic.settings.data_dir / "security.keys").exists()
    assert [one.state for one in found] == [State.OK, State.WARNING, State.NOTE]
    assert "no link was opened" in found[1].text


async def test_keys_that_cannot_be_used_are_told_and_the_rest_is_looked_at(
    clinic: Clinic, database: Database
) -> None:
    await clinic.serve()
    file = clinic.settings.data_dir / "security.keys"
    clinic.settings = clinic.settings.model_copy(update={"security": SecuritySection()})
    for content, fault in ((b"", "is empty"), (b"\xff", "is not text")):
        file.write_bytes(content)
        file.chmod(0o600)

        (told,) = (await clinic.lines())["secrets"]
        found = (await clinic.deep())["rows"]

        assert (told.state, fault in told.text) == (State.FAILED, True)
        assert "no link was opened" in found[1].text

    await claim_database(database, clinic.settings.telegram.bot_id, ["of another key"])
    file.write_text("a key that is long enough for a shop of somebody\n")
    found = (await clinic.deep())["rows"]
    assert [one.state for one in found] == [State.OK, State.WARNING, State.NOTE]


async def test_a_deep_look_at_what_is_well_finds_nothing(clinic: Clinic) -> None:
    await clinic.serve()

    found = await clinic.deep()

    assert states(found) == {
        "waiting": {State.OK},
        "rows": {State.OK, State.NOTE},
        "node node-1": {State.OK},
    }
    assert found["rows"][0].text == "1 users, no rule is broken"
    assert found["node node-1"][0].text == "its list of 1 is as the rows say"


async def test_a_deep_look_finds_rows_that_break_a_rule(clinic: Clinic, rows: Rows) -> None:
    uuid = await clinic.serve()
    await rows.execute("UPDATE subscriptions SET expires_at = expires_at + interval '1 s'")
    await rows.execute("UPDATE credentials SET link_enc = 'garbled'")

    found = (await clinic.deep())["rows"]

    told = [one.text for one in found if one.state is State.FAILED]
    assert told == [
        f"1 times it is not so that {rule}: user 77 ({details})"
        for rule, details in (
            (
                "I7 the ledger ends where the subscription stands",
                "version=2, last_version=2",
            ),
            (
                "I16 a link contains the uuid of its row",
                f"key={str(uuid)[:8]}, error=InvalidToken",
            ),
        )
    ]


async def test_a_deep_look_finds_who_is_missing_on_a_node_and_who_should_not_be_there(
    clinic: Clinic,
) -> None:
    missing, strangers = await clinic.serve(), [uuid4() for _ in range(5)]
    epoch = (await clinic.node.ready()).epoch
    for stranger in strangers:
        await clinic.node.put(stranger, 1, epoch)
    await clinic.node.remove(missing, 2, epoch)

    found = (await clinic.deep())["node node-1"]

    unknown, unequal = (one.text for one in found)
    assert unknown.startswith("5 times it is not so that I1b a node knows nobody")
    assert unequal.startswith("1 times it is not so that I3 a node lets in just those")
    assert f"key={str(missing)[:8]}" in unequal
    assert sum(f"key={str(stranger)[:8]}" in unknown for stranger in strangers) == 3
    assert not [u for u in (missing, *strangers) if str(u) in unknown + unequal]


async def test_a_node_that_is_filled_again_is_not_compared(clinic: Clinic, rows: Rows) -> None:
    await clinic.serve()
    await rows.execute("UPDATE nodes SET epoch = gen_random_uuid()")

    (found,) = (await clinic.deep())["node node-1"]

    assert (found.state, "was not compared" in found.text) == (State.NOTE, True)


async def test_a_list_that_is_wrong_as_a_whole_is_left_early(
    clinic: Clinic, database_url: str
) -> None:
    epoch = (await clinic.node.ready()).epoch
    for _ in range(5):
        await clinic.node.put(uuid4(), 1, epoch)

    async with looking(database_url) as connection:
        node = clinic.settings.nodes[0]
        strangers, left = await of_list(connection, node, lambda *_: None, most=3)

    assert strangers.text.startswith("3 times it is not so that I1b")
    assert (left.state, "left after 3 differences" in left.text) == (State.NOTE, True)


async def test_messages_that_the_notifier_leaves_do_not_wait(clinic: Clinic, rows: Rows) -> None:
    alert = """INSERT INTO outbox (kind, dedupe_key, payload, created_at, next_at)
    VALUES ('alert', $1, jsonb_build_object('owner', 1000, 'text_id', $1::text),
        now() - $2::interval, now() - interval '2 minutes')"""
    two_days, an_hour = timedelta(days=2), timedelta(hours=1)
    await rows.execute(alert, "alert-breaker-open", two_days)
    assert {one.state for one in (await clinic.deep())["waiting"]} == {State.OK}

    await rows.execute(alert, "alert-another", an_hour)
    await rows.execute(alert, "alert-key-set-aside", two_days)
    (found,) = (await clinic.deep())["waiting"]

    assert found.text.startswith("2 messages")


async def test_a_deep_look_counts_what_waits_for_somebody(clinic: Clinic, rows: Rows) -> None:
    await clinic.serve()
    for statement in (
        "UPDATE outbox SET next_at = now() - interval '2 minutes'",
        """INSERT INTO dead_letters (letter_id, actor, message_type, attempts, error, traceback)
        VALUES (gen_random_uuid(), '', '', 3, '', '')""",
        """INSERT INTO inbox (source, source_id, payload, received_at)
        VALUES ('telegram:1', '1', '{}', now() - interval '2 minutes')""",
        """INSERT INTO inbox (source, source_id, payload, quarantined_at)
        VALUES ('telegram:1', '2', '{}', now())""",
        "UPDATE credentials SET gen = gen + 1, quarantined_at = now()",
    ):
        await rows.execute(statement)

    found = (await clinic.deep())["waiting"]

    assert [one.text.partition(",")[0] for one in found] == [
        "1 updates and pushes",
        "1 updates set aside",
        "1 dead letters",
        "2 messages",
        "1 keys set aside",
    ]
    assert all(one.mend for one in found)

"""The standing checks of databases find what they look for."""

import asyncio
from uuid import uuid4

import pytest

from storage.database import Database
from storage.invariants.acts import broken_idle
from storage.invariants.rules import Broken
from tests.integration.database_fixtures import Rows, Server
from tests.integration.shop import link_of
from tests.standing.canaries import secrets_in

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
INBOX = "INSERT INTO inbox (source, source_id, payload) VALUES ('x', '1', $1)"
ALERT = """INSERT INTO outbox (kind, dedupe_key, payload)
VALUES ('alert', 'x', jsonb_build_object('notice', 'alert', 'arguments', $1::text))"""


@pytest.mark.parametrize(
    ("statement", "cell", "place"),
    [
        (INBOX, f"a call of bot{TOKEN}/getMe", "inbox"),
        (INBOX, "no-secret-no-secret-no-secret-no-secret-no-", "inbox"),
        (ALERT, "vless://deadbeef-0000-4000-8000-00000000c0de@node.example:443", "an alert"),
    ],
)
async def test_a_secret_in_a_cell_is_found(
    rows: Rows, statement: str, cell: str, place: str
) -> None:
    assert await secrets_in(rows) == []
    async with rows.transaction():
        await rows.execute(statement, cell)
        (found,) = await secrets_in(rows)
        await rows.execute("DELETE FROM inbox")
        await rows.execute("DELETE FROM outbox")

    assert found.startswith(f"{place}: ")


async def test_a_link_in_a_table_is_no_secret_of_ours(rows: Rows) -> None:
    """It is the user's; what is closed is none anyway."""
    await rows.execute(INBOX, link_of(uuid4()))

    assert await secrets_in(rows) == []


@pytest.mark.holds_transactions
async def test_a_transaction_that_waits_for_the_outside_is_found(
    postgres: Server, database: Database
) -> None:
    """Watched until it has been seen, however busy the machine is."""
    assert postgres.watch is not None
    found: list[Broken] = []

    async with database.transaction() as connection:
        await connection.execute("SELECT 'the last that was asked'")
        async with asyncio.timeout(60):
            while not found:
                await asyncio.sleep(2)  # noqa: TID251 - what is to be found
                found = broken_idle(postgres.watch.taken())

    assert found[0].rule.startswith("I11 ")
    assert "the last that was asked" in str(found[0])

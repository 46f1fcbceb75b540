"""What operators did: there for ever, and as it was written."""

import asyncpg
import pytest

from storage.operations import OperatorRecords
from tests.integration.database_fixtures import Rows


async def test_an_act_is_read_as_it_was_noted(records: OperatorRecords) -> None:
    await records.note_action("tg:5", "suspend", "node-1", "maintenance", {"for_s": 900})

    (row,) = await records.actions(10)
    assert (row.actor, row.action, row.target) == ("tg:5", "suspend", "node-1")
    assert (row.reason, row.details) == ("maintenance", {"for_s": 900})
    assert row.at.tzinfo is not None


async def test_the_newest_act_is_first(records: OperatorRecords) -> None:
    for target in ("a", "b", "c"):
        await records.note_action("tg:5", "suspend", target, "", {})

    assert [row.target for row in await records.actions(2)] == ["c", "b"]


async def test_an_act_is_noted_whatever_its_reason_holds(records: OperatorRecords) -> None:
    await records.note_action("tg:5", "suspend", "a", "why\ud800\0", {"x": "\0"})

    (row,) = await records.actions(10)
    assert (row.reason, row.details) == ("why\ufffd\ufffd", {"x": "\ufffd"})


@pytest.mark.parametrize(
    "statement",
    ["UPDATE admin_actions SET reason = ''", "DELETE FROM admin_actions", "TRUNCATE admin_actions"],
)
async def test_no_act_is_changed_or_taken_away(
    records: OperatorRecords, rows: Rows, statement: str
) -> None:
    await records.note_action("tg:5", "suspend", "a", "why", {})

    with pytest.raises(asyncpg.RaiseError, match="admin_actions is append-only"):
        await rows.execute(statement)

    assert len(await records.actions(10)) == 1

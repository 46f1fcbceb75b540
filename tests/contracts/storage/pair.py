"""PostgreSQL and the twin, side by side, at one moment of one clock."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cached_property
from typing import Any
from uuid import UUID

from storage.database import Database
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from storage.node_phases import NodePhases, PlacementPhases, ReconcilePhases
from storage.operations import OperatorRecords
from storage.phases import (
    ExpiryPhases,
    NoticePhases,
    PaymentPhases,
    PostgresQueries,
    UserPhases,
)
from storage.rows import OutboxRow, StoryRow
from tests.integration.database_fixtures import Rows, connected
from tests.simulation.twin.database import TwinDatabase, empty
from tests.simulation.twin.mirror import rows_of
from tests.simulation.twin.registry import TWINS, Twin
from tests.simulation.twin.schema import SCHEMAS
from tests.simulation.twin.tables import Row, Tables

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
OWNER = UUID(int=1)

#: now() and clock_timestamp() of a database are what we say, in statements and in defaults.
OUR_CLOCK = """
CREATE SCHEMA virtual;
CREATE TABLE virtual.clock (at timestamptz NOT NULL);
INSERT INTO virtual.clock VALUES ('2026-01-01 00:00:00+00');
CREATE SEQUENCE virtual.tick MINVALUE 0;
CREATE FUNCTION virtual.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT at FROM virtual.clock';
CREATE FUNCTION virtual.move(timestamptz) RETURNS bigint LANGUAGE sql
    AS $$UPDATE virtual.clock SET at = $1; SELECT setval('virtual.tick', 0, false)$$;
CREATE FUNCTION virtual.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$SELECT at + nextval('virtual.tick') * interval '1 microsecond' FROM virtual.clock$$;
DO $$
DECLARE made record;
BEGIN
    FOR made IN SELECT table_name, column_name, column_default FROM information_schema.columns
        WHERE table_schema = 'public' AND column_default IN ('now()', 'clock_timestamp()')
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT virtual.%s',
            made.table_name, made.column_name, made.column_default);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I SET search_path = virtual, pg_catalog, public',
        current_database());
END
$$
"""
MOVE_CLOCK = "SELECT virtual.move($1)"

#: What differs by nature: who serves, when the template was made, ids that a database makes up,
#: and the numbers of rows that one statement writes in any order.
APART: Mapping[str, frozenset[str]] = {
    "system": frozenset({"created_at"}),
    "shards": frozenset({"backend_pid", "backend_start"}),
    "outbox": frozenset({"id"}),
    "ledger": frozenset({"id"}),
    "history": frozenset({"id"}),
}


class Difference(AssertionError):  # noqa: N818 - names what was found
    """The twin does not do what PostgreSQL does."""


@dataclass(frozen=True)
class Side:
    """One of the two, as production code sees it."""

    name: str
    database: Database
    cipher: LinkCipher

    @cached_property
    def users(self) -> UserPhases:
        """As users' actors have them."""
        return UserPhases(self.database, self.cipher)

    @cached_property
    def money(self) -> PaymentPhases:
        """As the payment actors have them."""
        return PaymentPhases(self.database)

    @cached_property
    def lapses(self) -> ExpiryPhases:
        """As the expiry actor has them."""
        return ExpiryPhases(self.database)

    @cached_property
    def notices(self) -> NoticePhases:
        """As the notifier has them."""
        return NoticePhases(self.database, self.cipher)

    @cached_property
    def nodes(self) -> NodePhases:
        """As nodes' actors have them."""
        return NodePhases(self.database, self.cipher)

    @cached_property
    def compared(self) -> ReconcilePhases:
        """As the reconciler has them."""
        return ReconcilePhases(self.database)

    @cached_property
    def placement(self) -> PlacementPhases:
        """As the placement actor has them."""
        return PlacementPhases(self.database)

    @cached_property
    def queries(self) -> PostgresQueries:
        """As the bot reads past the actors."""
        return PostgresQueries(self.database)

    @cached_property
    def inbox(self) -> PostgresInbox:
        """As the door has it."""
        return PostgresInbox(self.database)

    @cached_property
    def records(self) -> OperatorRecords:
        """As supervision and operators have them."""
        return OperatorRecords(self.database)


class Pair:
    """Both sides; what is asked of one is asked of the other, and must come to the same."""

    def __init__(self, postgres: Side, twin: Side, rows: Rows, tables: Tables) -> None:
        self.postgres, self.twin = postgres, twin
        self.tables = tables
        self.at = BEGINNING
        #: What happened, for whoever has to understand a difference.
        self.told: list[str] = []
        #: What code that makes up an id of its own makes up, the same on both sides.
        self.made_up = UUID(int=0)
        self._rows = rows

    async def both(
        self, what: str, act: Callable[[Side], Awaitable[Any]], *, in_order: bool = True
    ) -> tuple[Any, Any]:
        """Do the same on both sides, a moment after what was done before.

        Returns:
            What it came to on each side, PostgreSQL's first; None where it raised.

        Raises:
            Difference: it did not come to the same.
        """
        await self.wait(0.001)
        self.made_up = UUID(int=self.made_up.int + 1)
        one, shown = await self._outcome(self.postgres, act)
        other, seen = await self._outcome(self.twin, act)
        if not in_order and isinstance(shown, list):
            shown, seen = sorted(shown, key=repr), sorted(seen, key=repr)
        self.told.append(f"{self.at:%d %H:%M:%S.%f} {what}: {str(seen)[:200]}")
        if shown != seen:
            raise Difference(f"{what}\n  PostgreSQL: {shown}\n  twin: {seen}")
        return one, other

    async def wait(self, seconds: float) -> None:
        """Time passes on both sides."""
        self.at += timedelta(seconds=seconds)
        await self._rows.execute(MOVE_CLOCK, self.at)

    async def compare(self) -> None:
        """Every row of every table.

        Raises:
            Difference: they differ.
        """
        theirs = {schema.name: await rows_of(self._rows, schema) for schema in SCHEMAS}
        ours = {schema.name: self.tables.rows(schema.name) for schema in SCHEMAS}
        for name in theirs:
            there, here = self._table(name, theirs), self._table(name, ours)
            if there != here:
                only = [row for row in there if row not in here]
                wrong = [row for row in here if row not in there]
                raise Difference(f"{name}\n  PostgreSQL: {only}\n  twin: {wrong}")

    async def _outcome(self, side: Side, act: Callable[[Side], Awaitable[Any]]) -> tuple[Any, Any]:
        try:
            found = await act(side)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other must raise it too
            return None, (type(error).__name__, getattr(error, "constraint_name", None))
        return found, self.plain(found)

    def _table(self, name: str, of: Mapping[str, list[Row]]) -> list[str]:
        apart = APART.get(name, frozenset())
        notices = {str(row["id"]): row["dedupe_key"] for row in of["outbox"]}
        return sorted(
            repr(
                {
                    key: self._cell(key, notices.get(value, value) if key == "subject" else value)
                    for key, value in row.items()
                    if key not in apart
                }
            )
            for row in of[name]
        )

    def _cell(self, name: str, value: Any) -> Any:
        if name == "link_enc" and value is not None:
            return self.twin.cipher.open(value)
        return self.plain(value)

    def plain(self, value: Any) -> Any:  # noqa: PLR0911 - one for each kind of value
        """A value without what differs by nature: made-up ids, parts of a millisecond."""
        match value:
            case Enum():
                return value.value
            case datetime():
                return value.isoformat(timespec="milliseconds")
            case UUID():
                return str(value)
            case list() | tuple():
                return [self.plain(item) for item in value]
            case set() | frozenset():
                return sorted(self.plain(item) for item in value)
            case Mapping():
                return {str(key): self.plain(value[key]) for key in sorted(value, key=str)}
            case _ if is_dataclass(value):
                hidden = made_up(value)
                return [
                    type(value).__name__,
                    {
                        field.name: self._cell(field.name, getattr(value, field.name))
                        for field in fields(value)
                        if field.name not in hidden
                    },
                ]
            case float():
                return round(value, 3)
            case _:
                return value


def made_up(value: Any) -> frozenset[str]:
    """Which fields of a row hold the id of a message, which each database makes up."""
    match value:
        case OutboxRow():
            return frozenset({"id"})
        case StoryRow(kind="notice"):
            return frozenset({"subject"})
        case _:
            return frozenset()


@asynccontextmanager
async def paired(
    url: str, cipher: LinkCipher, twins: Mapping[str, Twin] = TWINS, *, without: str | None = None
) -> AsyncIterator[Pair]:
    """Both sides over an empty database.

    Args:
        url: of a database of PostgreSQL that is nobody else's.
        cipher: closes links.
        twins: what stands for the statements.
        without: a constraint that the twin shall not have.
    """
    async with connected(url) as rows:
        await rows.execute(OUR_CLOCK)
    async with connected(url) as rows:
        tables = empty(random.Random(1))  # noqa: S311 - the twin's own ids are not compared
        tables.system.replace(dict(row) for row in await rows.fetch("SELECT * FROM system"))
        if without is not None:
            tables.drop(without)
        postgres = await Database.connect(url, connections=2)
        try:
            pair = Pair(
                Side("postgres", postgres, cipher),
                Side("twin", TwinDatabase(tables, lambda: pair.at, twins=twins), cipher),
                rows,
                tables,
            )
            await pair.both("take over", lambda side: side.database.take_over(OWNER))
            yield pair
        finally:
            await postgres.close()

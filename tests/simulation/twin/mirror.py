"""Any SQL over the twin: its rows are put into a real database before it, and taken out after it.

So tests that look and prepare by SQL do with the twin what they do with PostgreSQL.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from tests.simulation.twin.schema import SCHEMAS
from tests.simulation.twin.tables import Row, Schema, Tables

#: Columns of JSON, which a plain connection gives and takes as text.
JSON = {
    "outbox": {"payload"},
    "supervision_events": {"details"},
    "settings_history": {"old", "new"},
    "admin_actions": {"details"},
    "dead_letters": {"payload"},
    "history": {"details"},
    "reconcile_runs": {"details"},
}
IDENTITY = """
SELECT setval(pg_get_serial_sequence($1, $2), greatest($3::bigint, 1), $3::bigint > 0)
"""
NUMBER = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {}"


class Mirror:
    """The part of a connection that tests look and prepare with; its database is nobody else's."""

    def __init__(self, tables: Tables, connection: "asyncpg.Connection[Any]") -> None:
        self._tables = tables
        #: Whoever has it holds up the twin's transactions.
        self.turn = tables.turn
        self._connection = connection
        self._within = False
        #: Whether the connection gives and takes JSON as values, and not as text.
        self._decodes = False
        #: What the real database has of each table: only what differs is written.
        self._known: dict[str, list[Row]] = {}

    async def execute(self, query: str, *arguments: Any) -> Any:
        """As of a connection."""
        async with self._mirrored(query):
            return await self._connection.execute(query, *arguments)

    async def fetch(self, query: str, *arguments: Any) -> Any:
        """As of a connection."""
        async with self._mirrored(query):
            return await self._connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        """As of a connection."""
        async with self._mirrored(query):
            return await self._connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """As of a connection."""
        async with self._mirrored(query):
            return await self._connection.fetchval(query, *arguments)

    async def set_type_codec(self, name: str, **given: Any) -> None:
        """As of a connection; of JSON."""
        await self._connection.set_type_codec(name, **given)
        self._decodes = True

    async def reset_type_codec(self, name: str, **given: Any) -> None:
        """As of a connection; of JSON."""
        await self._connection.reset_type_codec(name, **given)
        self._decodes = False

    @asynccontextmanager
    async def transaction(self, *, readonly: bool = False, **given: Any) -> AsyncIterator[None]:
        """A transaction of the real database; the twin has its outcome."""
        await self._push()
        self._within = True
        try:
            async with self._connection.transaction(readonly=readonly, **given):
                yield
        finally:
            self._within = False
            if not readonly:
                await self._pull()

    @asynccontextmanager
    async def _mirrored(self, query: str) -> AsyncIterator[None]:
        if self._within:
            yield
            return
        await self._push()
        yield
        if not query.lstrip().startswith("SELECT"):
            await self._pull()

    async def _push(self) -> None:
        async with self._connection.transaction():
            await self._connection.execute("SET LOCAL session_replication_role = replica")
            for schema in SCHEMAS:
                await self._write(schema)
            await self._connection.execute(
                "SELECT setval('writer_seq', greatest($1::bigint, 1), $1::bigint > 0)",
                self._tables.writer_seq,
            )

    async def _write(self, schema: Schema) -> None:
        table, columns = self._tables.of[schema.name], list(schema.columns)
        rows = list(table.rows.values())
        if schema.identity is not None:
            await self._connection.execute(
                IDENTITY, schema.name, schema.identity, table.last_number
            )
        if rows == self._known.get(schema.name):
            return
        await self._connection.execute(f"DELETE FROM {schema.name}")  # noqa: S608 - ours
        places = ", ".join(f"${place + 1}" for place in range(len(columns)))
        json_columns = JSON.get(schema.name, set())
        await self._connection.executemany(
            f"INSERT INTO {schema.name} ({', '.join(columns)})"  # noqa: S608 - ours
            f" OVERRIDING SYSTEM VALUE VALUES ({places})",
            [
                [
                    json.dumps(row[name])
                    if name in json_columns and row[name] is not None and not self._decodes
                    else row[name]
                    for name in columns
                ]
                for row in rows
            ],
        )
        self._known[schema.name] = rows

    async def _pull(self) -> None:
        for schema in SCHEMAS:
            table = self._tables.of[schema.name]
            rows = await rows_of(self._connection, schema, decoded=self._decodes)
            if rows != list(table.rows.values()):
                table.replace(rows)
            self._known[schema.name] = rows
            if schema.identity is not None:
                sequence = f"{schema.name}_{schema.identity}_seq"
                table.last_number = await self._connection.fetchval(NUMBER.format(sequence))
        self._tables.writer_seq = await self._connection.fetchval(NUMBER.format("writer_seq"))


async def rows_of(
    connection: "asyncpg.Connection[Any]", schema: Schema, *, decoded: bool = False
) -> list[Row]:
    """All rows of a table of PostgreSQL, as the twin keeps them.

    With `decoded` the connection gives JSON as values.
    """
    json_columns = set[str]() if decoded else JSON.get(schema.name, set())
    order = schema.identity or "ctid"
    found = await connection.fetch(f"SELECT * FROM {schema.name} ORDER BY {order}")  # noqa: S608
    return [
        {
            name: json.loads(value) if name in json_columns and value is not None else value
            for name, value in row.items()
        }
        for row in found
    ]

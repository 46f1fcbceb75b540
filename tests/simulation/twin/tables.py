"""Tables in memory that refuse what PostgreSQL refuses, and take back what is rolled back.

A row is a dict that is never changed in place: an update puts a new one in its place, so what was
read stays as it was, and the log of a transaction is the rows that stood before.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, TypeAlias
from uuid import UUID

import asyncpg

Row: TypeAlias = dict[str, Any]
#: What of a row an index finds it by; None keeps the row out of the index.
Key: TypeAlias = Callable[[Row], Any]


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Unique:
    """A primary key, a unique key, or a unique index over the rows `where` holds."""

    name: str
    columns: tuple[str, ...]
    where: Callable[[Row], bool] | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A rule of each row by itself."""

    name: str
    holds: Callable[[Row], bool]


@dataclass(frozen=True, slots=True)
class Foreign:
    """A column that names a row of another table by its primary key."""

    name: str
    column: str
    table: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What a table is; defaults that are functions are made from the database at its moment."""

    name: str
    #: Every column in PostgreSQL's order, with what stands in it when nothing is said.
    columns: Mapping[str, Any]
    key: tuple[str, ...]
    required: tuple[str, ...]
    uniques: tuple[Unique, ...] = ()
    checks: tuple[Check, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    #: Columns that are counted by the database; numbers are not given back by a rollback.
    identity: str | None = None
    indexes: Mapping[str, Key] = field(default_factory=dict)
    #: What a refused change of an append-only table says.
    append_only: str | None = None
    #: Called with the row before and the row after.
    trigger: Callable[["Tables", Row | None, Row], None] | None = None


class Table:
    """The rows of one table, by primary key, in the order in which they were written."""

    def __init__(self, schema: Schema, tables: "Tables") -> None:
        self.schema = schema
        self.rows: dict[Any, Row] = {}
        #: The last number that was given out.
        self.last_number = 0
        self._tables = tables
        self._template = {
            name: None if callable(value) else value for name, value in schema.columns.items()
        }
        self._made = [(name, value) for name, value in schema.columns.items() if callable(value)]
        self._uniques = {unique.name: (unique, dict[Any, Any]()) for unique in schema.uniques}
        self._checks = list(schema.checks)
        self._foreign = list(schema.foreign)
        self._indexes = {
            name: (key, dict[Any, dict[Any, None]]()) for name, key in schema.indexes.items()
        }

    def get(self, key: Any) -> Row | None:
        """The row of a primary key."""
        return self.rows.get(key)

    def by(self, index: str, value: Any) -> list[Row]:
        """The rows that an index has under a value."""
        found = self._indexes[index][1].get(value)
        if not found:
            return []
        rows = self.rows
        return [rows[key] for key in found]

    def first(self, index: str, value: Any) -> Row | None:
        """The first row that an index has under a value."""
        found = self._indexes[index][1].get(value)
        return self.rows[next(iter(found))] if found else None

    def holder(self, unique: str, value: Any) -> Row | None:
        """The row that has a unique value; None also when the constraint was dropped."""
        if unique not in self._uniques:
            return None
        key = self._uniques[unique][1].get(value)
        return None if key is None else self.rows[key]

    def _draft(self, values: Row) -> Row:
        """A row as INSERT makes it, with its defaults; its number is given out."""
        row = {**self._template, **values}
        if self.schema.identity is not None:
            self.last_number += 1
            row[self.schema.identity] = self.last_number
        for name, make in self._made:
            if name not in values:
                row[name] = make(self._tables)
        return row

    def insert(self, **values: Any) -> Row:
        """Add a row.

        Raises:
            asyncpg.IntegrityConstraintViolationError: a rule of the table forbids it.
        """
        row = self._draft(values)
        self._refuse_wrong(row)
        return self._add(row)

    def insert_unless(self, unique: str, **values: Any) -> tuple[Row, bool]:
        """Add a row unless a unique key stands in its way: the row that stands, and if it is new.

        As with ON CONFLICT, a number is given out either way.
        """
        row = self._draft(values)
        self._refuse_wrong(row)
        if unique in self._uniques:
            holder = self.holder(unique, self._value(self._uniques[unique][0], row))
            if holder is not None:
                return holder, False
        return self._add(row), True

    def _add(self, row: Row) -> Row:
        key = self._key(row)
        for unique, taken in self._uniques.values():
            value = self._value(unique, row)
            if value is not None and value in taken:
                self._refuse_double(unique)
        for foreign in self._foreign:
            self._refuse_orphan(foreign, row)
        self._tables.log.append((self, key, None))
        self._put(key, row)
        if self.schema.trigger is not None:
            self.schema.trigger(self._tables, None, row)
        return row

    def update(self, row: Row, **changes: Any) -> Row:
        """Put a changed row in the place of one that stands."""
        if self.schema.append_only is not None:
            raise asyncpg.RaiseError(self.schema.append_only)
        after = {**row, **changes}
        self._refuse_wrong(after)
        key = self._key(row)
        for unique, taken in self._uniques.values():
            value = self._value(unique, after)
            if value is not None and taken.get(value, key) != key:
                self._refuse_double(unique)
        for foreign in self._foreign:
            if foreign.column in changes:
                self._refuse_orphan(foreign, after)
        self._tables.log.append((self, key, row))
        self._take(key, row)
        self._put(key, after)
        if self.schema.trigger is not None:
            self.schema.trigger(self._tables, row, after)
        return after

    def delete(self, row: Row) -> None:
        """Remove a row."""
        if self.schema.append_only is not None:
            raise asyncpg.RaiseError(self.schema.append_only)
        key = self._key(row)
        self._tables.log.append((self, key, row))
        self._take(key, row)
        del self.rows[key]

    def restore(self, key: Any, before: Row | None) -> None:
        """Undo a change: what stood before stands again."""
        now = self.rows.get(key)
        if now is not None:
            self._take(key, now)
        if before is None:
            del self.rows[key]
        else:
            self._put(key, before)

    def replace(self, rows: Iterable[Row]) -> None:
        """Have these rows, whatever was there; nothing is checked."""
        self.rows.clear()
        for _, taken in self._uniques.values():
            taken.clear()
        for _, index in self._indexes.values():
            index.clear()
        for row in rows:
            self._put(self._key(row), row)

    def drop(self, name: str) -> bool:
        """Refuse nothing any more by the constraint of this name; whether there was one."""
        before = len(self._uniques) + len(self._checks) + len(self._foreign)
        self._uniques.pop(name, None)
        self._checks = [check for check in self._checks if check.name != name]
        self._foreign = [foreign for foreign in self._foreign if foreign.name != name]
        return len(self._uniques) + len(self._checks) + len(self._foreign) < before

    def _key(self, row: Row) -> Any:
        key = self.schema.key
        return row[key[0]] if len(key) == 1 else tuple(row[name] for name in key)

    def _value(self, unique: Unique, row: Row) -> Any:
        if unique.where is not None and not unique.where(row):
            return None
        if len(unique.columns) == 1:
            return row[unique.columns[0]]
        value = tuple(row[name] for name in unique.columns)
        return None if None in value else value

    def _put(self, key: Any, row: Row) -> None:
        self.rows[key] = row
        for unique, taken in self._uniques.values():
            value = self._value(unique, row)
            if value is not None:
                taken[value] = key
        for found_by, index in self._indexes.values():
            value = found_by(row)
            if value is not None:
                index.setdefault(value, {})[key] = None

    def _take(self, key: Any, row: Row) -> None:
        for unique, taken in self._uniques.values():
            value = self._value(unique, row)
            if value is not None:
                taken.pop(value, None)
        for found_by, index in self._indexes.values():
            value = found_by(row)
            if value is not None:
                keys = index[value]
                del keys[key]
                if not keys:
                    del index[value]

    def _refuse_wrong(self, row: Row) -> None:
        for name in self.schema.required:
            if row[name] is None:
                refuse(
                    asyncpg.NotNullViolationError,
                    f'null value in column "{name}" of relation "{self.schema.name}"',
                    column=name,
                )
        for check in self._checks:
            if not check.holds(row):
                refuse(
                    asyncpg.CheckViolationError,
                    f'new row for relation "{self.schema.name}" violates "{check.name}"',
                    constraint=check.name,
                )

    def _refuse_orphan(self, foreign: Foreign, row: Row) -> None:
        named = row[foreign.column]
        if named is not None and named not in self._tables.of[foreign.table].rows:
            refuse(
                asyncpg.ForeignKeyViolationError,
                f'"{self.schema.name}" violates "{foreign.name}"',
                constraint=foreign.name,
            )

    def _refuse_double(self, unique: Unique) -> NoReturn:
        refuse(
            asyncpg.UniqueViolationError,
            f'duplicate key value violates unique constraint "{unique.name}"',
            constraint=unique.name,
        )


class Tables:
    """A database: its tables, its one sequence, and what the running transaction has changed.

    `now` and `log` are of the transaction that runs; there is one at a time.
    """

    system: Table
    shards: Table
    users: Table
    nodes: Table
    subscriptions: Table
    purchases: Table
    inbox: Table
    payments: Table
    ledger: Table
    credentials: Table
    outbox: Table
    supervision_events: Table
    settings_history: Table
    admin_actions: Table
    dead_letters: Table
    pollers: Table
    history: Table
    adopted_users: Table
    reconcile_runs: Table
    watermarks: Table

    def __init__(self, schemas: Iterable[Schema], source: random.Random) -> None:
        self._source = source
        #: Whose transaction it is.
        self.turn = asyncio.Lock()
        #: The moment of the running transaction, as now() gives it.
        self.now: datetime = EPOCH
        self._wall: Callable[[], datetime] = lambda: EPOCH
        self._told, self._ticks = EPOCH, 0
        self.log: list[tuple[Table, Any, Row | None]] = []
        self.writer_seq = 0
        self.of = {schema.name: Table(schema, self) for schema in schemas}
        for name, table in self.of.items():
            setattr(self, name, table)

    def rows(self, table: str) -> list[Row]:
        """Copies of all rows of a table, oldest first."""
        return [dict(row) for row in self.of[table].rows.values()]

    def drop(self, constraint: str) -> None:
        """Take away one protection: a unique key, a CHECK or a foreign key, by its name.

        Raises:
            LookupError: there is none of this name.
        """
        if not any(table.drop(constraint) for table in self.of.values()):
            raise LookupError(constraint)

    def begin(self, wall: Callable[[], datetime]) -> None:
        """A transaction, or a statement outside of one, begins at this clock's moment."""
        self._wall = wall
        self.now = wall()

    def clock(self) -> datetime:
        """clock_timestamp(): as the clock stands, and later than what it said just before."""
        stands = self._wall()
        self._ticks = self._ticks + 1 if stands == self._told else 0
        self._told = stands
        return stands + timedelta(microseconds=self._ticks)

    def next_seq(self) -> int:
        """nextval('writer_seq')."""
        self.writer_seq += 1
        return self.writer_seq

    def uuid(self) -> UUID:
        """gen_random_uuid()."""
        return UUID(int=self._source.getrandbits(128), version=4)

    def keep(self) -> None:
        """What was changed is not taken back any more."""
        self.log.clear()

    def undo(self, mark: int = 0) -> None:
        """Take back every change since the log had this length."""
        log = self.log
        while len(log) > mark:
            table, key, before = log.pop()
            table.restore(key, before)


def refuse(kind: type[asyncpg.PostgresError], text: str, **names: str) -> NoReturn:
    """Raise what asyncpg raises, with the name of what was broken."""
    error = kind(text)
    for name, value in names.items():
        setattr(error, f"{name}_name", value)
    raise error

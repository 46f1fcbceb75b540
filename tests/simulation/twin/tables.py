"""Tables in memory that refuse what PostgreSQL refuses, and take back what is rolled back.

A row is a dict that is never changed in place: an update puts a new one in its place, so what was
read stays as it was, and the log of a transaction is the rows that stood before.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
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
    #: What no two rows may have in common; None of a row that may have it.
    value: Key = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self._value())

    def _value(self) -> Key:
        where, values = self.where, itemgetter(*self.columns) if self.columns else tuple
        if where is not None:
            return lambda row: values(row) if where(row) else None
        if len(self.columns) < 2:
            return values
        return lambda row: None if None in (value := values(row)) else value


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
    required: frozenset[str]
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
    #: A row of defaults, and the defaults that are made for each row.
    template: Row = field(init=False)
    made: tuple[tuple[str, Callable[["Tables"], Any]], ...] = field(init=False)
    key_of: Key = field(init=False)

    def __post_init__(self) -> None:
        made = {name: value for name, value in self.columns.items() if callable(value)}
        object.__setattr__(self, "template", {**self.columns, **dict.fromkeys(made)})
        object.__setattr__(self, "made", tuple(made.items()))
        object.__setattr__(self, "key_of", itemgetter(*self.key))


class Table:
    """The rows of one table, by primary key, in the order in which they were written."""

    def __init__(self, schema: Schema, tables: "Tables") -> None:
        self.schema = schema
        self.rows: dict[Any, Row] = {}
        #: The last number that was given out.
        self.last_number = 0
        self._tables = tables
        self._uniques: dict[str, tuple[Unique, dict[Any, Any]]] = {
            unique.name: (unique, {}) for unique in schema.uniques
        }
        self._checks = schema.checks
        self._foreign = schema.foreign
        self._indexes: dict[str, tuple[Key, dict[Any, dict[Any, None]]]] = {
            name: (key, {}) for name, key in schema.indexes.items()
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
        schema = self.schema
        row = {**schema.template, **values}
        if schema.identity is not None:
            self.last_number += 1
            row[schema.identity] = self.last_number
        for name, make in schema.made:
            if name not in values:
                row[name] = make(self._tables)
        return row

    def insert(self, **values: Any) -> Row:
        """Add a row.

        Raises:
            asyncpg.IntegrityConstraintViolationError: a rule of the table forbids it.
        """
        row = self._draft(values)
        self._refuse_wrong(row, self.schema.required)
        return self._add(row)

    def insert_unless(self, unique: str, **values: Any) -> tuple[Row, bool]:
        """Add a row unless a unique key stands in its way: the row that stands, and if it is new.

        As with ON CONFLICT, a number is given out either way.
        """
        row = self._draft(values)
        self._refuse_wrong(row, self.schema.required)
        if unique in self._uniques:
            holder = self.holder(unique, self._uniques[unique][0].value(row))
            if holder is not None:
                return holder, False
        return self._add(row), True

    def _add(self, row: Row) -> Row:
        key = self.schema.key_of(row)
        for unique, taken in self._uniques.values():
            value = unique.value(row)
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
        schema = self.schema
        after = {**row, **changes}
        self._refuse_wrong(after, changes)
        key = schema.key_of(row)
        moves = self._moves(row, after)
        for foreign in self._foreign:
            if foreign.column in changes:
                self._refuse_orphan(foreign, after)
        self._tables.log.append((self, key, row))
        for taken, old, new in moves:
            taken.pop(old, None)
            if new is not None:
                taken[new] = key
        for found_by, index in self._indexes.values():
            old, new = found_by(row), found_by(after)
            if old != new:
                _take_out(index, old, key)
                _put_in(index, new, key)
        self.rows[key] = after
        if schema.trigger is not None:
            schema.trigger(self._tables, row, after)
        return after

    def _moves(self, row: Row, after: Row) -> list[tuple[dict[Any, Any], Any, Any]]:
        """The unique keys that a change gives up and takes."""
        moves = []
        for unique, taken in self._uniques.values():
            old, new = unique.value(row), unique.value(after)
            if old != new:
                if new is not None and new in taken:
                    self._refuse_double(unique)
                moves.append((taken, old, new))
        return moves

    def delete(self, row: Row) -> None:
        """Remove a row."""
        if self.schema.append_only is not None:
            raise asyncpg.RaiseError(self.schema.append_only)
        key = self.schema.key_of(row)
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
            self._put(self.schema.key_of(row), row)

    def drop(self, name: str) -> bool:
        """Refuse nothing any more by the constraint of this name; whether there was one."""
        before = len(self._uniques) + len(self._checks) + len(self._foreign)
        self._uniques.pop(name, None)
        self._checks = tuple(check for check in self._checks if check.name != name)
        self._foreign = tuple(foreign for foreign in self._foreign if foreign.name != name)
        return len(self._uniques) + len(self._checks) + len(self._foreign) < before

    def _put(self, key: Any, row: Row) -> None:
        self.rows[key] = row
        for unique, taken in self._uniques.values():
            value = unique.value(row)
            if value is not None:
                taken[value] = key
        for found_by, index in self._indexes.values():
            _put_in(index, found_by(row), key)

    def _take(self, key: Any, row: Row) -> None:
        for unique, taken in self._uniques.values():
            value = unique.value(row)
            if value is not None:
                taken.pop(value, None)
        for found_by, index in self._indexes.values():
            _take_out(index, found_by(row), key)

    def _refuse_wrong(self, row: Row, names: Iterable[str]) -> None:
        for name in names:
            if row[name] is None and name in self.schema.required:
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
            LookupError: there is none of this name, or it is a primary key, which rows are kept by.
        """
        if constraint.endswith("_pkey") or not any(
            table.drop(constraint) for table in self.of.values()
        ):
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


def _put_in(index: dict[Any, dict[Any, None]], value: Any, key: Any) -> None:
    if value is not None:
        index.setdefault(value, {})[key] = None


def _take_out(index: dict[Any, dict[Any, None]], value: Any, key: Any) -> None:
    if value is None:
        return
    keys = index[value]
    del keys[key]
    if not keys:
        del index[value]


def refuse(kind: type[asyncpg.PostgresError], text: str, **names: str) -> NoReturn:
    """Raise what asyncpg raises, with the name of what was broken."""
    error = kind(text)
    for name, value in names.items():
        setattr(error, f"{name}_name", value)
    raise error

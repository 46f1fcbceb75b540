"""The twin's tables are those that the migrations make: columns, defaults, rules, keys."""

from typing import Any

from tests.integration.database_fixtures import Rows
from tests.simulation.twin.schema import CLOCK, NOW, RANDOM, SCHEMAS
from tests.simulation.twin.tables import Schema

COLUMNS = """
SELECT column_name, is_nullable, column_default, is_identity FROM information_schema.columns
WHERE table_schema = 'public' AND table_name = $1 ORDER BY ordinal_position
"""
TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'public' AND NOT table_name LIKE '\\_pogo%'
"""
#: Unique keys and unique indexes with their columns; rules and references by their names.
KEYS = """
SELECT i.relname AS name,
    array(SELECT a.attname::text FROM unnest(x.indkey) WITH ORDINALITY AS k (n, place)
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.n
        ORDER BY k.place) AS columns,
    x.indpred IS NOT NULL AS partial
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = $1::text::regclass AND x.indisunique
"""
RULES = """
SELECT conname AS name, contype::text AS kind, confrelid::regclass::text AS other
FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype IN ('c', 'f')
"""
TRIGGERS = """
SELECT count(*) FILTER (WHERE tgname LIKE '%append_only') AS append_only,
    count(*) FILTER (WHERE NOT tgname LIKE '%append_only') AS noted
FROM pg_trigger WHERE tgrelid = $1::text::regclass AND NOT tgisinternal
"""

#: How PostgreSQL writes what we call by a name.
DEFAULTS = {"now()": NOW, "clock_timestamp()": CLOCK, "gen_random_uuid()": RANDOM}


async def test_there_are_the_same_tables(rows: Rows) -> None:
    found = {row["table_name"] for row in await rows.fetch(TABLES)}

    assert found == {schema.name for schema in SCHEMAS}


async def test_tables_have_the_same_columns_and_defaults(rows: Rows) -> None:
    for schema in SCHEMAS:
        found = await rows.fetch(COLUMNS, schema.name)

        assert [row["column_name"] for row in found] == list(schema.columns), schema.name
        required = {row["column_name"] for row in found if row["is_nullable"] == "NO"}
        assert required == schema.required, schema.name
        assert [row["column_name"] for row in found if row["is_identity"] == "YES"] == (
            [] if schema.identity is None else [schema.identity]
        )
        for row in found:
            name, default = row["column_name"], row["column_default"]
            ours = schema.columns[name]
            assert ours == DEFAULTS.get(default, _value(default, ours)), (schema.name, name)


async def test_tables_are_held_to_the_same_rules(rows: Rows) -> None:
    for schema in SCHEMAS:
        keys = {
            row["name"]: (tuple(row["columns"]), row["partial"])
            for row in await rows.fetch(KEYS, schema.name)
        }
        rules = {(row["name"], row["other"]) for row in await rows.fetch(RULES, schema.name)}
        triggers = await rows.fetchrow(TRIGGERS, schema.name)

        assert keys == {
            unique.name: (unique.columns, unique.where is not None) for unique in schema.uniques
        }
        assert rules == _rules(schema)
        assert bool(triggers["append_only"]) == (schema.append_only is not None), schema.name
        assert bool(triggers["noted"]) == (schema.trigger is not None), schema.name


def _rules(schema: Schema) -> set[tuple[str, str]]:
    return {(check.name, "-") for check in schema.checks} | {
        (foreign.name, foreign.table) for foreign in schema.foreign
    }


def _value(default: str | None, like: Any) -> Any:
    """A default that PostgreSQL writes as `'text'::type`, `0` or `true`."""
    if default is None:
        return None
    if isinstance(like, bool):
        return default == "true"
    if isinstance(like, int):
        return int(default)
    text = default.split("::")[0].strip("'")
    return {} if text == "{}" else text

"""The closing check of tests: the invariants, over the database of a test."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from storage.invariants import waiting
from storage.invariants.judging import Judge
from storage.invariants.nodes import NodeCase, broken_on
from storage.invariants.reading import everything_broken
from storage.invariants.rules import Broken
from storage.links import LinkCipher

Rows: TypeAlias = "asyncpg.Connection[Any]"

KEYS = "SELECT * FROM credentials"
NODES = "SELECT * FROM nodes"
#: What waits for ever where nobody works it off.
WORKED_OFF = {str(rule) for rule in waiting.RULES if rule.eventual and rule.number == "I12"}
#: Of whom a wish is seen is not always said.
ANY_NODE = {"id": "any", "state": "removed"}


async def assert_invariants(
    connection: Rows,
    cipher: LinkCipher,
    *,
    healed: bool = True,
    working: bool = False,
    owners: bool = False,
    away: Collection[str] = (),
    seen: Iterable[tuple[UUID, int]] = (),
    lists: Mapping[str, Iterable[tuple[UUID, int]]] | None = None,
) -> None:
    """Fail with every rule that the database breaks.

    Args:
        connection: to look with.
        cipher: opens links.
        healed: whether what holds eventually must hold now.
        working: whether everybody works here who works off what waits.
        owners: whether there are any who should have been told.
        away: nodes that are not called now.
        seen: each wish that nodes received: uuid and generation.
        lists: whom nodes let in now, and by which generation.
    """
    judge = Judge(open_link=cipher.open, healed=healed, owners=owners, away=frozenset(away))
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )
    try:
        broken = [
            one
            for one in await everything_broken(connection, judge)
            if working or one.rule not in WORKED_OFF
        ]
        rows = await connection.fetch(KEYS)
        nodes = await connection.fetch(NODES)
    finally:
        await connection.reset_type_codec("jsonb", schema="pg_catalog")
    keys = {row["uuid"]: row for row in rows}
    cases = [
        NodeCase(node=node, listed=tuple(lists[node["id"]]), rows=keys)
        for node in nodes
        if lists and node["id"] in lists
    ]
    cases.append(NodeCase(node=ANY_NODE, listed=(), rows=keys, received=seen))
    broken += [one for case in cases for one in broken_on(case, healed=healed)]
    assert not broken, "\n".join(told(broken))


def told(broken: Iterable[Broken]) -> list[str]:
    """Each rule with the first cases that break it."""
    cases: dict[str, list[str]] = defaultdict(list)
    for one in broken:
        cases[one.rule].append(str(one))
    return [line for found in cases.values() for line in found[:5]]

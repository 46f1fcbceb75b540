"""Which function is the twin of which statement of `storage/`, and for which text it was written.

A statement is found by its exact text. Each twin carries a mark of the text that it was written
for, so a changed statement fails until somebody has looked at its twin.
"""

import hashlib
import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias, TypeVar

import storage
from tests.simulation.twin.tables import Row, Tables

STATEMENT = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|LOCK)\b")


class Record(dict[Any, Any]):
    """A row of an answer, as asyncpg gives it: by name, or by place."""

    def __missing__(self, key: Any) -> Any:
        if isinstance(key, int):
            return list(self.values())[key]
        raise KeyError(key)


#: The rows of an answer, or how many rows a statement without an answer changed.
Answer: TypeAlias = "list[Record] | int"
Twin: TypeAlias = Callable[..., Answer]
Function = TypeVar("Function", bound=Twin)

#: Every twin by the text of its statement.
TWINS: dict[str, Twin] = {}


class WithoutTwin(Exception):  # noqa: N818 - names what is missing
    """A statement has no twin, or was changed since its twin was written."""


def statement(text: str, mark: str) -> Callable[[Function], Function]:
    """Make a function the twin of a statement; it gets the tables, and the statement's arguments.

    Args:
        text: the constant of `storage/`.
        mark: `mark_of` the text that the function was written for.

    Raises:
        WithoutTwin: the statement is another one now.
    """
    if mark_of(text) != mark:
        raise WithoutTwin(
            f"{name_of(text)} was changed since its twin was written: let the twin do what the"
            f' statement does now, and then mark it "{mark_of(text)}"'
        )

    def register(function: Function) -> Function:
        TWINS[text] = function
        return function

    return register


def twin_of(text: str, twins: Mapping[str, Twin]) -> Twin:
    """The function behind a statement.

    Raises:
        WithoutTwin: there is none.
    """
    found = twins.get(text)
    if found is None:
        raise WithoutTwin(
            f"{name_of(text)} has no twin: write one in tests/simulation/twin/statements, beside"
            f' those of its module, as @statement(..., "{mark_of(text)}")'
        )
    return found


def mark_of(text: str) -> str:
    """Eight characters that change with a statement, and not with how its lines are broken."""
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:8]


def name_of(text: str) -> str:
    """Where a statement stands: module and constant."""
    return constants().get(text, f"no constant of storage: {text!r}")


@cache
def constants() -> dict[str, str]:
    """The name of every SQL constant of `storage/`, by its text."""
    found: dict[str, str] = {}
    for entry in pkgutil.walk_packages(storage.__path__, "storage."):
        for name, value in vars(importlib.import_module(entry.name)).items():
            if name.isupper() and isinstance(value, str) and STATEMENT.match(value):
                found.setdefault(value, f"{entry.name}.{name}")
    return found


def picker(columns: str, **computed: Callable[[Row], Any]) -> Callable[[Row], Record]:
    """Makes records of these columns, as a statement lists them; `computed` by their names."""
    names = tuple(part.split()[-1].split(".")[-1] for part in columns.split(","))
    if computed:
        makers = tuple(computed.get(name, itemgetter(name)) for name in names)
        return lambda row: Record(
            {name: make(row) for name, make in zip(names, makers, strict=True)}
        )
    values = itemgetter(*names)
    return lambda row: Record(zip(names, values(row), strict=True))


def tally(count: int) -> list[Record]:
    """So many rows of RETURNING 1."""
    return [Record({"?column?": 1})] * count


def value(name: str, of: Any) -> list[Record]:
    """An answer of one value."""
    return [Record({name: of})]


def newest_first(rows: list[Row], column: str) -> list[Row]:
    """ORDER BY column DESC; of one moment, what was written later comes first."""
    rows.sort(key=itemgetter(column))
    rows.reverse()
    return rows


__all__ = ["TWINS", "Answer", "Record", "Tables", "Twin", "WithoutTwin", "statement", "twin_of"]

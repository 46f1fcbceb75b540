"""The documents name tests as proof: each of them is there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: `unit/x/test_y.py::test_z`, with or without the folder of all tests in front.
REFERENCE = re.compile(
    r"`(?:tests/)?((?:unit|integration|e2e|contracts|failures|faults|model)/[\w/]+\.py)"
    r"(?:::(\w+))?`"
)
#: A line of a table whose last cell names its proof.
LINE = re.compile(r"^\|(?! *-)(.+)\|$", re.MULTILINE)


def references(text: str) -> list[tuple[str, str]]:
    """Files below `tests/` and the tests in them that a text names."""
    return REFERENCE.findall(text)


@cache
def names_in(file: Path) -> frozenset[str]:
    """The names of a file's tests, as Python reads them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize(
    ("document", "at_least"),
    [
        ("ARCHITECTURE.md", 15),
        ("supervisors/README.md", 30),
        ("tests/failures/GUARANTEES.md", 60),
    ],
)
def test_the_tests_that_a_document_names_are_there(document: str, at_least: int) -> None:
    named = references((ROOT / document).read_text(encoding="utf-8"))

    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / "tests" / file).is_file()
        or (test and test not in names_in(ROOT / "tests" / file))
    ]

    assert missing == []
    assert len(named) >= at_least


def test_each_guarantee_names_its_proof() -> None:
    text = (ROOT / "tests/failures/GUARANTEES.md").read_text(encoding="utf-8")
    lines = [line for line in LINE.findall(text) if not line.endswith(" proven by ")]

    assert [line for line in lines if not references(line.rpartition("|")[2])] == []
    # Guarantees, gates, what was required, findings, defects, lessons.
    assert len(lines) == 9 + 5 + 3 + 10 + 11 + 15

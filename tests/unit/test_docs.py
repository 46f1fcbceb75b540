"""The documents name tests as proof: each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: `unit/x/test_y.py::test_z`, with or without the folder of all tests in front.
REFERENCE = re.compile(r"`(?:tests/)?((?:unit|integration|e2e|contracts)/[\w/]+\.py)(?:::(\w+))?`")


def references(document: str) -> list[tuple[str, str]]:
    """Files below `tests/` and the tests in them that a document names."""
    return REFERENCE.findall((ROOT / document).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("document", "at_least"), [("ARCHITECTURE.md", 15), ("supervisors/README.md", 30)]
)
def test_the_tests_that_a_document_names_are_there(document: str, at_least: int) -> None:
    named = references(document)

    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / "tests" / file).is_file()
        or (test and f"def {test}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8"))
    ]

    assert missing == []
    assert len(named) >= at_least

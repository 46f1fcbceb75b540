"""The examples on the kit's page work as they stand there."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "kit" / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
Test = Callable[[], Awaitable[None]]


def examples_on(page: Path) -> dict[str, Test]:
    """The test functions in the page's Python blocks, by name; tracebacks name the page's lines."""
    text = page.read_text()
    found: dict[str, Test] = {}
    for block in BLOCK.finditer(text):
        lines_before = text.count("\n", 0, block.start(1))
        code = compile("\n" * lines_before + block[1], str(page), "exec")
        names: dict[str, Test] = {}
        exec(code, names)  # noqa: S102 - ours
        found |= {name: thing for name, thing in names.items() if name.startswith("test_")}
    return found


EXAMPLES = examples_on(PAGE)


@pytest.mark.parametrize("name", EXAMPLES)
async def test_an_example_works(name: str) -> None:
    await EXAMPLES[name]()


def test_no_example_is_overlooked() -> None:
    assert len(EXAMPLES) == PAGE.read_text().count("```python") == 2


async def test_an_example_that_fails_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n```python\nasync def test_wrong():\n    assert 1 == 2\n```\n")

    with pytest.raises(AssertionError) as failed:
        await examples_on(page)["test_wrong"]()

    assert failed.traceback[-1].lineno == 4  # counted from 0

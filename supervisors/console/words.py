"""How values become words on a terminal: spans, moments, tables, and text that can be trusted."""

import json
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

#: A unit of time in seconds, and the next smaller one.
UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))
#: Seconds; above, a tenth of one says nothing.
TENTHS_UP_TO = 10
CUT = "…"
GAP = "  "
#: The last column of a table is never cut below this; then the line is.
LEAST_COLUMN = 8


class Colour(StrEnum):
    """How a line stands out."""

    RED = "\x1b[31m"
    YELLOW = "\x1b[33m"
    FAINT = "\x1b[2m"
    BOLD = "\x1b[1m"


RESET = "\x1b[0m"


def clean(text: str) -> str:
    """One line without what a terminal would obey: control, formatting and broken characters."""
    return "".join(
        " " if character in "\t\n\r\u2028\u2029" else character
        for character in text
        if character in "\t\n\r\u2028\u2029" or not unicodedata.category(character).startswith("C")
    )


def painted(line: str, colour: Colour | None) -> str:
    """A line in a colour."""
    return f"{colour.value}{line}{RESET}" if colour else line


def cut(line: str, width: int) -> str:
    """A line that fits."""
    return line if len(line) <= width else line[: max(0, width - len(CUT))].rstrip() + CUT


def span(seconds: float) -> str:
    """How long, in one or two units: 12ms, 1.2s, 45s, 4m 10s, 3h 5m, 2d 1h."""
    if round(seconds, 3) < 1:
        return f"{seconds * 1_000:.0f}ms"
    if seconds < TENTHS_UP_TO:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    for size, unit, smaller, name in UNITS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size}{unit}" + (f" {rest}{name}" if rest else "")
    return f"{whole}s"


def moment(at: datetime, *, beside: datetime | None = None) -> str:
    """A point in time in UTC; without its date where that of `beside` is the same."""
    at = at.astimezone(UTC)
    same_day = beside is not None and beside.astimezone(UTC).date() == at.date()
    return f"{at:%H:%M:%S} UTC" if same_day else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def shown(value: Any) -> str:
    """A value as people read it: numbers plain, the rest as JSON."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, float):
        return f"{value:g}"
    return clean(json.dumps(value, ensure_ascii=False, default=str))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    right: Sequence[str] = (),
) -> list[str]:
    """Aligned columns under a head; the last one gives way. `right` names columns of numbers."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    taken = sum(widths[:-1]) + len(GAP) * (len(widths) - 1)
    widths[-1] = min(widths[-1], max(LEAST_COLUMN, width - taken))
    return [
        cut(
            GAP.join(
                cell.rjust(size) if name in right else cut(cell, size).ljust(size)
                for name, cell, size in zip(head, line, widths, strict=True)
            ).rstrip(),
            width,
        )
        for line in lines
    ]

"""The table: for a terminal, for a machine, for the docs."""

import html
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.failures.cells import COLUMNS, misses
from tests.failures.run import Row

HEAD = ("#", "scenario", *COLUMNS.values(), "bound", "healed")


def line(row: Row) -> tuple[str, ...]:
    """A row's words, column by column."""
    shown = asdict(row.cells)
    if row.different:
        shown["ra"] = f"{row.sent / row.different:.2f}x"
    healed = "never" if row.healed_s is None else f"{row.healed_s:.1f} s"
    words = [str(row.id), row.title, *(shown[c] for c in COLUMNS), f"{row.bound_s:g} s", healed]
    return tuple(words)


def table(rows: Sequence[Row]) -> str:
    """All rows, and what was off target, as text."""
    lines = [HEAD, *(line(row) for row in rows)]
    widths = [max(len(words[i]) for words in lines) for i in range(len(HEAD))]
    drawn = [
        "  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip()
        for words in lines
    ]
    good = sum(row.ok for row in rows)
    drawn.append("")
    drawn.append(f"{good} of {len(rows)} rows at target")
    drawn += [
        f"row {row.id}: {row.why} (replay: tollgate matrix --row {row.id} --seed {row.seed})"
        for row in rows
        if not row.ok
    ]
    return "\n".join(drawn)


def as_json(rows: Sequence[Row], time_factor: float) -> dict[str, Any]:
    """All rows for a machine."""
    return {
        "rows": [asdict(row) | {"ok": row.ok} for row in rows],
        "time_factor": time_factor,
    }


def as_html(rows: Sequence[Row]) -> str:
    """All rows as a page of its own."""
    cells = []
    for row in rows:
        wrong = misses(row.cells, row.target)
        marks = ["", "", *("off" if column in wrong else "" for column in COLUMNS), "", ""]
        words = zip(line(row), marks, strict=True)
        drawn = "".join(f'<td class="{mark}">{html.escape(word)}</td>' for word, mark in words)
        cells.append(
            f'<tr class="{"ok" if row.ok else "off"}" title="{html.escape(row.why)}">{drawn}</tr>'
        )
    head = "".join(f"<th>{html.escape(word)}</th>" for word in HEAD)
    good = sum(row.ok for row in rows)
    return PAGE.format(head=head, rows="\n".join(cells), good=good, all=len(rows))


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tollgate: the failure matrix</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; }}
td:nth-last-child(-n+2) {{ text-align: right; white-space: nowrap; }}
tr.off {{ background: #fdecea; }} td.off {{ color: #b3261e; font-weight: 600; }}
</style>
<h1>The failure matrix</h1>
<p>{good} of {all} rows at target.</p>
<table><thead><tr>{head}</tr></thead><tbody>
{rows}
</tbody></table></html>
"""

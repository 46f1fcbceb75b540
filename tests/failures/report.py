"""The table: for a terminal, for a machine, as a page."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from tests.failures.cells import COLUMNS, misses
from tests.failures.run import Row

HEAD = ("#", "scenario", *COLUMNS.values(), "bound", "healed")

#: What each column asks, and from what it is computed.
LEGEND = {
    "UL": ("uuid leak?", "who is on a node without a row that wants it, once all has healed"),
    "UA": ("access without a right?", "real connections of people who have none"),
    "DX": ("database active, Xray not?", "real connections of people who have a right"),
    "RA": ("do retries amplify?", "wishes that nodes got, for each different one"),
    "SH": ("heals itself?", "all is as it should be within the bound, and no operator helped"),
    "CB": ("circuit breaker?", "its changes, of the node that suffers alone"),
    "BO": ("back-off?", "distances between attempts at one thing, against the policy's"),
    "bound": ("", "how long healing may take, from the end of the fault"),
    "healed": ("", "how long it took until the closing check held"),
}
MARKS = {
    "No†": "may be so within the bound, never at the end",
    "frozen": "nobody is removed from the node, and an operator was asked",
    "–": "does not apply",  # noqa: RUF001 - a dash
    "jitter": "attempts are as far apart as the policy says, and not evenly",
    "none": "nothing was tried twice",
}


def line(row: Row) -> tuple[str, ...]:
    """A row's words, column by column."""
    shown = asdict(row.cells)
    if row.different:
        shown["ra"] = f"{row.sent / row.different:.2f}x"
    healed = "never" if row.healed_s is None else f"{row.healed_s:.1f} s"
    return (
        str(row.id),
        row.title,
        *(shown[column] for column in COLUMNS),
        f"{row.bound_s:g} s",
        healed,
    )


def table(rows: Sequence[Row], time_factor: float) -> str:
    """All rows, and what was off target, as text."""
    lines = [(*HEAD, ""), *((*line(row), mark(row)) for row in rows)]
    widths = [max(len(words[i]) for words in lines) for i in range(len(lines[0]))]
    drawn = [
        "  ".join(word.ljust(width) for word, width in zip(words, widths, strict=True)).rstrip()
        for words in lines
    ]
    off = [row for row in rows if row.why]
    told = [f"row {row.id}: {row.why} (replay: {replay(row, time_factor)})" for row in off]
    told += [f"row {row.id} cannot be shown here: {row.unable}" for row in rows if row.unable]
    return "\n".join([*drawn, "", times(time_factor), *told, count(rows)])


def count(rows: Sequence[Row]) -> str:
    """How many are as they should be, and how many could not be shown."""
    unable = sum(bool(row.unable) for row in rows)
    said = f"{sum(row.ok for row in rows)} of {len(rows)} rows at target"
    return f"{said}, {unable} cannot be shown here" if unable else said


def mark(row: Row) -> str:
    """What became of a row, in a word; what could not be shown is neither good nor bad."""
    if row.why:
        return "OFF"
    return "unable" if row.unable else "ok"


def times(factor: float) -> str:
    """How the times are to be read."""
    if factor == 1:
        return "policies' times and their bounds are those of a real shop"
    return f"policies' times and their bounds are divided by {factor:g}, but where starts are slow"


def replay(row: Row, time_factor: float) -> str:
    """The command that makes the same choices by chance; it is not the very same run."""
    full = " --full-times" if time_factor == 1 else ""
    return f"tollgate matrix --row {row.id} --seed {row.seed}{full}"


def progress(row: Row, took_s: float) -> str:
    """A row that is done, in a line."""
    healed = "" if row.healed_s is None else f"healed in {row.healed_s:.1f} s  "
    said = {"OFF": f"OFF TARGET: {row.why}", "unable": f"unable: {row.unable}"}
    word = said.get(mark(row), "ok")
    return f"{row.id:>2}  {row.title}  {healed}({took_s:.0f} s in all)  {word}"


def ranges(numbers: Iterable[int]) -> str:
    """Numbers as people say them: `1 to 17, 19, 21 to 42`."""
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0])
    ]
    return ", ".join(f"{run[0]} to {run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def as_json(rows: Sequence[Row], time_factor: float) -> dict[str, Any]:
    """All rows for a machine (design/failures.md, section 4)."""
    return {
        "rows": [
            {
                "id": row.id,
                "title": row.title,
                "cells": asdict(row.cells),
                "target": asdict(row.target),
                "bound_s": row.bound_s,
                "healed_s": row.healed_s,
                "seed": row.seed,
                "fault_hits": row.fault_hits,
                "ok": row.ok,
                "why": row.why,
                "unable": row.unable,
            }
            for row in rows
        ],
        "time_factor": time_factor,
    }


def as_html(rows: Sequence[Row], time_factor: float) -> str:
    """All rows as a page of its own, which loads nothing."""
    head = "".join(f'<th scope="col">{_head(word)}</th>' for word in HEAD)
    legend = "".join(
        f"<dt>{name}</dt><dd>{html.escape(f'{asks} ({how})' if asks else how)}</dd>"
        for name, (asks, how) in LEGEND.items()
    )
    marks = "".join(f"<dt>{m}</dt><dd>{html.escape(says)}</dd>" for m, says in MARKS.items())
    off = [
        f"<li>Row {row.id}, {html.escape(row.title)}: {html.escape(row.why)}<br>"
        f"<code>{html.escape(replay(row, time_factor))}</code></li>"
        for row in rows
        if row.why
    ]
    unable = [
        f"<li>Row {row.id}, {html.escape(row.title)}: {html.escape(row.unable)}</li>"
        for row in rows
        if row.unable
    ]
    return PAGE.format(
        head=head,
        rows="\n".join(_html_row(row) for row in rows),
        count=count(rows),
        state="" if all(row.ok for row in rows) else "off",
        off="".join(
            f"<h2>{head}</h2><ul>{''.join(those)}</ul>"
            for head, those in (("Off target", off), ("Cannot be shown here", unable))
            if those
        ),
        times=html.escape(times(time_factor)),
        legend=legend,
        marks=marks,
    )


def _head(word: str) -> str:
    """A column's name, which says what it asks to whoever points at it."""
    asks = LEGEND.get(word, ("", ""))[0]
    return f'<abbr title="{html.escape(asks)}">{word}</abbr>' if asks else html.escape(word)


def _html_row(row: Row) -> str:
    wrong = misses(row.cells, row.target)
    number, title, *cells, bound, healed = line(row)
    drawn = []
    for column, word in zip(COLUMNS, cells, strict=True):
        if column in wrong:
            expected = html.escape(wrong[column][0])
            told = f"✗ {html.escape(word)} <small>expected {expected}</small>"
            drawn.append(f'<td class="off">{told}</td>')
        else:
            drawn.append(f"<td>{html.escape(word)}</td>")
    sign = {"ok": "✓", "OFF": "✗"}.get(mark(row), mark(row))
    return (
        f'<tr class="{mark(row).lower()}"><td class="number">{number}</td>'
        f'<th scope="row">{html.escape(title)}</th>{"".join(drawn)}'
        f'<td class="number">{bound}</td><td class="number">{healed} {sign}</td></tr>'
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Tollgate: the failure matrix</title>
<style>
:root {{ --ink: #1c1c1c; --soft: #5c5c5c; --paper: #fff; --line: #d9d9d9; --bad: #a3180f;
  --badpaper: #fdeceb; --good: #1a6b36; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #ececec; --soft: #a8a8a8; --paper: #161616;
  --line: #3a3a3a; --bad: #ff9d94; --badpaper: #3a1a18; --good: #83d69d; }} }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem;
  max-width: 76rem; color: var(--ink); background: var(--paper); }}
.count {{ font-size: 1.25rem; font-weight: 600; color: var(--good); }}
.count.off, td.off {{ color: var(--bad); font-weight: 600; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; }}
caption {{ text-align: left; color: var(--soft); padding-bottom: .5rem; }}
th, td {{ text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }}
thead th {{ border-bottom: 2px solid var(--soft); }}
tbody th {{ font-weight: 400; }}
.number {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }}
thead th:first-child, thead th:nth-last-child(-n+2) {{ text-align: right; }}
tr.off {{ background: var(--badpaper); }}
tr.ok .number:last-child {{ color: var(--good); }}
tr.off .number:last-child {{ color: var(--bad); }}
abbr {{ text-decoration: none; border-bottom: 1px dotted var(--soft); cursor: help; }}
small {{ font-weight: 400; white-space: nowrap; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; }}
dt {{ font-weight: 600; }} dd {{ margin: 0; }}
</style></head>
<body>
<h1>The failure matrix</h1>
<p class="count {state}">{count}</p>
{off}
<div class="wide" role="region" aria-label="The table" tabindex="0">
<table>
<caption>Each row breaks something and shows what came of it; {times}.</caption>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody></table></div>
<h2>Columns</h2>
<dl>{legend}</dl>
<h2>Marks</h2>
<dl>{marks}</dl>
</body></html>
"""

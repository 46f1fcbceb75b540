"""What comparing nodes with the database found, and the way to mend it."""

from collections.abc import Collection, Sequence

from bot.callbacks import NodesCompared
from bot.keyboards import Button, Keyboard
from bot.replies import Reply
from bot.reports.fitting import fitting, one_line
from bot.reports.nodes import ALL, BUTTONS, look_button, outcome_of
from bot.texts import Texts
from storage.rows import ReconcileRun

#: Of a uuid, which is a key: enough to find it in a list.
SHOWN_OF_UUID = 8
#: Outcomes of nodes that were not reached.
UNSEEN = frozenset({"away", "key refused", "gone"})


def compared(
    runs: Sequence[ReconcileRun],
    frozen: Collection[str],
    node_id: str | None,
    texts: Texts,
    language: str,
) -> Reply:
    """What was found and done; after a look only, the button that mends it.

    `frozen` are the nodes from which nobody is removed; `node_id` is the one that was asked about.
    """
    if not runs:
        return Reply(text_id="breakers-none")
    block, more = fitting([line for run in runs for line in _lines(run, frozen, texts, language)])
    dry = runs[0].dry_run
    return Reply(
        text_id="compared",
        values={
            "dry": "yes" if dry else "no",
            "list": block + ("\n…" if more else ""),
            "advice": _advice(runs, frozen),
            "node": next((run.node_id for run in runs if run.node_id in frozen), ""),
        },
        keyboard=(*_mend_button(runs, frozen, node_id), *_look_buttons(runs, frozen, node_id)),
    )


def _lines(run: ReconcileRun, frozen: Collection[str], texts: Texts, language: str) -> list[str]:
    outcome = "differs" if run.dry_run and run.node_id in frozen and run.why else run.outcome
    lines = [
        texts.get(
            "compared-line",
            language,
            node=run.node_id,
            outcome=outcome_of(outcome),
            there=run.on_node,
            wanted=run.wanted,
            missing=run.missing,
            found=run.orphans,
        )
    ]
    if run.raised or run.removed:
        done = texts.get("compared-done", language, raised=run.raised, removed=run.removed)
        lines.append(done)
    if run.why:
        lines.append(one_line(run.why, 300))
    if run.sample:
        sample = ", ".join(one_line(uuid, 36)[:SHOWN_OF_UUID] + "…" for uuid in run.sample)
        lines.append(texts.get("compared-who", language, sample=sample))
    return lines


def _advice(runs: Sequence[ReconcileRun], frozen: Collection[str]) -> str:
    outcomes = {run.outcome for run in runs}
    if any(run.node_id in frozen for run in runs):
        return "frozen"
    if outcomes & UNSEEN:
        return "away"
    if outcomes <= {"equal"}:
        return "equal"
    return "mend" if runs[0].dry_run else "done"


def _mend_button(
    runs: Sequence[ReconcileRun], frozen: Collection[str], node_id: str | None
) -> Keyboard:
    """Names whom it is about: nobody is removed where too many have no right."""
    missing = sum(run.missing for run in runs)
    found = sum(
        run.orphans for run in runs if run.node_id not in frozen and run.outcome != "would freeze"
    )
    if not runs[0].dry_run or not missing + found:
        return ()
    mend = Button(
        text_id="button-mend",
        callback=NodesCompared(node=node_id or ALL, really=True),
        values={"missing": missing, "found": found},
    )
    return ((mend,),)


def _look_buttons(
    runs: Sequence[ReconcileRun], frozen: Collection[str], node_id: str | None
) -> Keyboard:
    asked = [node_id] if node_id else [run.node_id for run in runs if run.node_id in frozen]
    return tuple(look_button(one) for one in asked[:BUTTONS])

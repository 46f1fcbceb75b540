"""Policies, what became of a change, and what a change would have done."""

from collections.abc import Sequence
from datetime import timedelta

from bot.callbacks import PolicyUndo
from bot.keyboards import Button
from bot.replies import Reply
from bot.reports.fitting import fitting, one_line, plain, span
from bot.texts import Value
from config.tuning import Forecast, Tunable
from storage.rows import SettingChangeRow

LONGEST_REASON = 80


def policies(found: Sequence[Tunable], group: str | None) -> Reply:
    """All values, or one group's with what they may be."""
    groups = list(dict.fromkeys(_group(one) for one in found))
    if group is not None and group not in groups:
        values: dict[str, Value] = {"group": one_line(group, 100), "groups": ", ".join(groups)}
        return Reply(text_id="policy-no-group", values=values)
    lines: list[str] = []
    for name in groups if group is None else [group]:
        of_group = [one for one in found if _group(one) == name]
        lines += [name, *(_tunable(one, bounds=group is not None) for one in of_group)]
    block, more = fitting(lines)
    return Reply(
        text_id="policy-list", values={"list": block, "more": more, "group": group or groups[-1]}
    )


def changed(change: SettingChangeRow) -> Reply:
    """A value was changed; a tap takes it back."""
    undo = Button(text_id="button-undo", callback=PolicyUndo(change_id=change.id))
    return Reply(
        text_id="policy-changed" if change.revert_at is None else "policy-changed-until",
        values=_values(change),
        keyboard=((undo,),),
    )


def undone(change: SettingChangeRow) -> Reply:
    """A change was taken back."""
    return Reply(
        text_id="policy-undone" if change.revert_at is None else "policy-undone-until",
        values=_values(change),
    )


def forecast(seen: Forecast) -> Reply:
    """What a change would have done."""
    return Reply(
        text_id="policy-forecast",
        values={
            "key": seen.key,
            "old": plain(seen.old),
            "new": plain(seen.new),
            "within": timedelta(seconds=seen.within_s),
            "restarts": seen.restarts,
            "actors": seen.actors,
            "before": seen.too_many_before,
            "after": seen.too_many_after,
        },
    )


def history(changes: Sequence[SettingChangeRow]) -> Reply:
    """The last changes."""
    if not changes:
        return Reply(text_id="policy-no-history")
    block, more = fitting([_change(change) for change in changes])
    newest = str(changes[0].id)
    return Reply(text_id="policy-history", values={"list": block, "more": more, "newest": newest})


def _group(one: Tunable) -> str:
    return one.key.partition(".")[0]


def _tunable(one: Tunable, *, bounds: bool) -> str:
    mark, name = "*" if one.changed else " ", one.key.partition(".")[2]
    of_file = f" (file {plain(one.default)})" if one.changed else ""
    return f"{mark} {name:<15}{plain(one.value)}{of_file}" + (f" [{one.bounds}]" if bounds else "")


def _values(change: SettingChangeRow) -> dict[str, Value]:
    values: dict[str, Value] = {
        "key": change.key,
        "old": plain(change.old),
        "new": plain(change.new),
    }
    if change.revert_at is not None:
        today = change.revert_at - change.at < timedelta(days=1)
        values["until"] = f"{change.revert_at:%H:%M:%S} UTC" if today else change.revert_at
    return values


def _change(change: SettingChangeRow) -> str:
    parts = [
        f"#{change.id} {change.at:%Y-%m-%d %H:%M}",
        f"{change.key} {plain(change.old)} → {plain(change.new)}",
        change.actor,
    ]
    if change.revert_at is not None:
        parts.insert(2, f"for {span((change.revert_at - change.at).total_seconds())}")
    if change.undoes is not None:
        parts.append(f"undoes #{change.undoes}")
    return " ".join((*parts, one_line(change.reason, LONGEST_REASON))).strip()

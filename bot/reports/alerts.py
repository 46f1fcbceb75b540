"""What owners are told at once."""

from actors.notifier.ports import OwnerAlert
from bot.replies import Reply
from bot.reports.fitting import one_line

#: Every alert and what its text has places for. More arguments are no harm.
ALERTS: dict[str, frozenset[str]] = {
    "alert-parked": frozenset({"actor", "for_s"}),
    "alert-storm": frozenset({"actor", "children"}),
    "alert-keeps-failing": frozenset({"actor", "restarts"}),
    "alert-gave-up": frozenset({"actor", "reason"}),
    "alert-set-aside": frozenset({"actor", "message", "attempts"}),
    "alert-loop-blocked": frozenset({"actor", "for_s"}),
    "alert-policy-reverted": frozenset({"key", "old", "new"}),
}
LONGEST_ARGUMENT = 300


def alert(notice: OwnerAlert) -> Reply:
    """An alert's text; one of another release is told as it came rather than not at all."""
    values = {
        name: value if type(value) is int else one_line(str(value), LONGEST_ARGUMENT)
        for name, value in notice.arguments.items()
    }
    places = ALERTS.get(notice.text_id)
    if places is not None and places <= values.keys():
        return Reply(text_id=notice.text_id, values=values)
    listed = ", ".join(f"{name} = {value}" for name, value in values.items())
    what = one_line(notice.text_id, LONGEST_ARGUMENT)
    return Reply(text_id="alert-other", values={"what": what, "arguments": one_line(listed, 2_000)})

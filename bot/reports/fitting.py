"""Pure: makes texts from outside fit into a message, and says what was left out."""

from collections.abc import Sequence
from typing import Any

MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
#: Of the 4,096 UTF-16 units of a message, markup not counted; the rest is for the words around.
ROOM = 3_400


def units(text: str) -> int:
    """Length as Telegram measures it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, room: int) -> str:
    """The beginning of a text."""
    if units(text) <= room:
        return text
    return _decoded(_encoded(text)[: 2 * (room - 1)]) + "…"


def cut_head(text: str, room: int) -> str:
    """The end of a text: where a traceback says what happened."""
    if units(text) <= room:
        return text
    return "…" + _decoded(_encoded(text)[2 * (units(text) - room + 1) :])


def one_line(text: str, room: int) -> str:
    """A text without line breaks and characters that cannot be seen, cut."""
    return cut(" ".join("".join(c if c.isprintable() else " " for c in text).split()), room)


def fitting(lines: Sequence[str], room: int = ROOM) -> tuple[str, int]:
    """As many of the first lines as there is room for, and how many were left out."""
    shown: list[str] = []
    for line in lines:
        room -= units(line) + 1
        if room < 0:
            break
        shown.append(line)
    return "\n".join(shown), len(lines) - len(shown)


def span(seconds: float) -> str:
    """A length of time in the units that operators type."""
    if seconds < 1:
        return f"{seconds * 1_000:.0f}ms"
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.3g}s"
    for unit_s, unit, next_s in ((MINUTE_S, "m", HOUR_S), (HOUR_S, "h", DAY_S)):
        if seconds < 2 * next_s:
            return f"{seconds / unit_s:.0f}{unit}"
    return f"{seconds / DAY_S:.0f}d"


def plain(value: Any) -> str:
    """A setting's value; without one it is the file's."""
    if value is None:
        return "file"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _encoded(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _decoded(piece: bytes) -> str:
    """Half of a surrogate pair at the cut is left out."""
    return piece.decode("utf-16-le", "ignore")

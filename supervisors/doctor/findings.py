"""What was found, a line each: how bad it is, what it is about, and the way to mend it.

No finding holds what a terminal would obey, or the shape of a secret: it is made without them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from config.logging import redacted
from supervisors.console.words import clean


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    #: Good to know.
    NOTE = "note"
    #: It works, and somebody should look.
    WARNING = "warning"
    #: It does not work, or will not.
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line, for people and programs alike."""

    state: State
    about: str
    text: str
    mend: str = ""

    def __post_init__(self) -> None:
        """Whoever made it need not think of secrets."""
        for name in ("about", "text", "mend"):
            object.__setattr__(self, name, clean(redacted(getattr(self, name))))


def ok(about: str, text: str) -> Finding:
    """All is well."""
    return Finding(state=State.OK, about=about, text=text)


def note(about: str, text: str, mend: str = "") -> Finding:
    """Good to know."""
    return Finding(state=State.NOTE, about=about, text=text, mend=mend)


def warning(about: str, text: str, mend: str) -> Finding:
    """Somebody should look."""
    return Finding(state=State.WARNING, about=about, text=text, mend=mend)


def failed(about: str, text: str, mend: str) -> Finding:
    """Somebody has to do something."""
    return Finding(state=State.FAILED, about=about, text=text, mend=mend)


def line(finding: Finding) -> str:
    """A finding for people."""
    mend = f"; mend: {finding.mend}" if finding.mend else ""
    return f"{finding.state:<8} {finding.about}: {finding.text}{mend}"


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether nothing failed."""
    return all(finding.state is not State.FAILED for finding in findings)

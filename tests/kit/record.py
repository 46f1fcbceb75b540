"""What happened to whom, in order and in words."""

from dataclasses import dataclass, field
from typing import Any

from actors.runtime.events import Event, EventKind
from tests.puppets import Stage

#: How an event is told: its fields and its details by name.
TOLD = {
    EventKind.CRASHED: "crashed {reason} during {during}",
    EventKind.RESTARTING: "restarting in {delay_s:.1f} s",
    EventKind.STARTED: "started {incarnation}",
    EventKind.PARKED: "parked for {for_s:.0f} s",
    EventKind.QUARANTINED: "set aside {message} after {attempts} attempts",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """An actor took a message in hand."""

    at: float
    actor: str
    message: str


@dataclass
class Record(Stage):
    """A `Stage` that remembers messages too, so that a story can be told in order."""

    entries: list[Event | Taken] = field(default_factory=list)

    def event(self, event: Event) -> None:
        """See `Observer`."""
        super().event(event)
        self.entries.append(event)

    def taken(self, name: str, message: Any) -> None:
        """An actor is going to handle a message."""
        self.entries.append(Taken(self.clock.now(), name, type(message).__name__))

    def history(self, name: str) -> list[str]:
        """What supervision did to an actor, one line for each event."""
        return [told(event, name) for event in self.events if concerns(event, name)]

    def restarts(self, name: str) -> int:
        """How often an actor was started again."""
        return [event.kind for event in self.events if event.actor == name].count(EventKind.STARTED)

    def story(self, name: str, since: float) -> str:
        """All of an actor's life, messages included, with the seconds since a moment."""
        lines = [
            f"  {entry.at - since:8.3f} s  {told(entry, name)}"
            for entry in self.entries
            if concerns(entry, name)
        ]
        return "\n".join([f"the story of {name}:", *(lines or ["  nothing happened to it"])])


def concerns(entry: Event | Taken, name: str) -> bool:
    """Whether this happened to an actor, be it because of a sibling."""
    along = entry.details.get("together_with", ()) if isinstance(entry, Event) else ()
    return entry.actor == name or name in along


def told(entry: Event | Taken, name: str) -> str:
    """One line about what happened to this actor."""
    if isinstance(entry, Taken):
        return f"took {entry.message}"
    if entry.actor != name:
        return f"stopped along with {entry.actor}"
    words = TOLD.get(entry.kind, entry.kind.replace("_", " ") + " {reason}")
    fields = {**entry.details, "reason": entry.reason, "incarnation": entry.incarnation}
    line = words.format_map(fields)
    return line.replace("crashed CancelledError", "killed").strip()

"""What a reconciler is asked for, and what it answers."""

from dataclasses import dataclass

from actors.runtime.messages import Request
from storage.rows import ReconcileRun


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile(Request[ReconcileRun]):
    """Compare now. A dry run changes nothing.

    `allow_removals`: an operator has seen that so many users of the node have no right to be there.
    """

    dry_run: bool = False
    allow_removals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptNode(Request["NodeAccepted | NodeNotSeen"]):
    """An operator has looked: what the node has seen is no sign of a restored backup any more.

    With `adopt` its users that no row knows stay.
    """

    who: str
    adopt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAccepted:
    """So it is recorded; so many users were adopted."""

    adopted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNotSeen:
    """The node does not answer just now, so nothing was accepted."""

    why: str

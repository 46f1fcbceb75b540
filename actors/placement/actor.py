"""PlacementActor: keeps the board of nodes true, and moves people off nodes that go.

Whoever depends on a node that is drained or lost gets a key elsewhere by their own actor; the old
one goes when the new one works.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from actors.placement.board import PlaceBoard
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.events import EventKind
from actors.runtime.messages import Tick
from actors.runtime.replies import ActorFailed, Unavailable
from actors.runtime.rounds import Rounds
from actors.user.actor import USER
from actors.user.messages import AccessMoves, MoveAccess, MoveOutcome, NothingToMove
from storage.node_phases import PlacementPhases
from storage.rows import LeavingRow

log = structlog.get_logger(__name__)

#: The kind of this actor's address.
PLACEMENT = "placement"

SCAN_INTERVAL_S = 5.0
#: Counting a million users takes a tenth of a second: at most a hundredth of the time goes there.
COUNT_SHARE = 0.01
#: Whom no other node can take is asked about again after so long, seconds.
NOWHERE_S = 60.0
#: Who moves already, or whose actor is not free, is looked at again after so long, seconds.
NOT_NOW_S = 30.0


class PlacementActor(AsyncioActor):
    """Looks after where people are."""

    mailbox_bound = 100

    def __init__(self, board: PlaceBoard, phases: PlacementPhases, directory: Directory) -> None:
        super().__init__()
        self.board = board
        self.phases = phases
        self.directory = directory
        self.moved = 0
        self._count_at = 0.0
        #: Nodes that are being emptied, and those of which owners heard that it does not go on.
        self._emptying: set[str] = set()
        self._stuck: set[str] = set()
        self.rounds = Rounds(self, "move", phases.leaving, lambda row: row.user_id, self._move)

    async def prepare(self) -> None:
        """Look at once, then at every interval."""
        self.spawn(self._scan(), "scan")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        return {
            "moved": self.moved,
            "emptying": sorted(self._emptying),
            "nowhere_to_go": sorted(self._stuck),
        }

    async def on_tick(self, message: Tick) -> None:
        """Look how the nodes stand, and begin to move whoever has to go."""
        del message
        self.board.note_states(await self.phases.places())
        if self.clock.now() >= self._count_at:
            await self._count()
        places = self.board.places()
        leaving = {node_id for node_id, place in places.items() if place.leaving}
        for node_id in self._emptying - {node for node in leaving if places[node].users}:
            self._emptied(node_id, still_leaving=node_id in leaving)
        self._emptying |= {node_id for node_id in leaving if places[node_id].users}
        if any(place.takes and place.answers for place in places.values()):
            if self._emptying:
                self.rounds.begin()
            return
        for node_id in self._emptying:  # nobody is asked by name what cannot be
            self._nowhere(node_id)

    async def _scan(self) -> None:
        while True:
            self.wake_self()
            await self.clock.sleep(SCAN_INTERVAL_S)

    async def _count(self) -> None:
        began = self.clock.now()
        self.board.count_begins()
        self.board.note_users(await self.phases.users())
        self._count_at = self.clock.now() + (self.clock.now() - began) / COUNT_SHARE

    def _emptied(self, node_id: str, *, still_leaving: bool) -> None:
        self._emptying.discard(node_id)
        self._stuck.discard(node_id)
        if still_leaving:
            self._tell(EventKind.NODE_EMPTY, node_id)

    async def _move(self, row: LeavingRow, failures: int) -> float:
        del failures
        match await self._asked(row.user_id):
            case AccessMoves():
                self.moved += 1
                return NOT_NOW_S
            case NothingToMove() | None:
                return NOT_NOW_S
            case _:
                self._nowhere(row.node_id)
                return NOWHERE_S

    def _nowhere(self, node_id: str) -> None:
        if node_id not in self._stuck:
            self._stuck.add(node_id)
            self._tell(EventKind.NODE_NOWHERE, node_id)

    async def _asked(self, user_id: int) -> MoveOutcome | None:
        message = MoveAccess(operation_id=f"move:{user_id}")
        try:
            return await self.directory.find(USER, str(user_id)).ask(message)
        except (Unavailable, ActorFailed) as refusal:
            log.warning("move_postponed", user_id=user_id, reason=str(refusal))
            return None

    def _tell(self, kind: EventKind, node_id: str) -> None:
        log.warning(kind.value, node=node_id)
        self.tell_observer(kind, details={"node": node_id})

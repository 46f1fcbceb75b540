"""ExpiryActor: sees whose time is over by PostgreSQL's clock, and has their actors end it.

It changes nothing itself, so a renewal of the same moment comes before the end or after it.
"""

from collections.abc import Mapping
from typing import Any

import structlog

from actors.expiry.decisions import decide_rest
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.messages import Tick
from actors.runtime.replies import ActorFailed, Unavailable
from actors.runtime.rounds import Rounds
from actors.user.actor import USER
from actors.user.messages import AccessExpired, ExpireAccess, NotExpired
from storage.phases import ExpiryPhases

log = structlog.get_logger(__name__)

#: The kind of this actor's address.
EXPIRY = "expiry"
SCAN_INTERVAL_S = 5.0


class ExpiryActor(AsyncioActor):
    """Ends access whose time is over."""

    mailbox_bound = 100

    def __init__(self, phases: ExpiryPhases, directory: Directory) -> None:
        super().__init__()
        self.phases = phases
        self.directory = directory
        self.ended = 0
        self.rounds = Rounds(self, "expire", phases.due, lambda user_id: user_id, self._expire)

    async def prepare(self) -> None:
        """Look at once, then at every interval."""
        self.spawn(self._scan(), "scan")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        return {"ended": self.ended, "left_alone": len(self.rounds.resting)}

    async def on_tick(self, message: Tick) -> None:
        """Go through all whose time is over."""
        del message
        self.rounds.begin()

    async def _scan(self) -> None:
        while True:
            self.wake_self()
            await self.clock.sleep(SCAN_INTERVAL_S)

    async def _expire(self, user_id: int, failures: int) -> float:
        del failures
        outcome = await self._asked(user_id)
        self.ended += isinstance(outcome, AccessExpired)
        return decide_rest(outcome)

    async def _asked(self, user_id: int) -> AccessExpired | NotExpired | None:
        message = ExpireAccess(operation_id=f"expire:{user_id}")
        try:
            return await self.directory.find(USER, str(user_id)).ask(message)
        except (Unavailable, ActorFailed) as refusal:
            log.warning("expiry_postponed", user_id=user_id, reason=str(refusal))
            return None

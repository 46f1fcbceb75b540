"""Patrol: walks the tree, cuts off what hangs, and lets idle children leave."""

from collections.abc import Callable, Iterator

from actors.runtime.actor import AsyncioActor
from actors.runtime.replies import Hung
from supervisors.engine.child import Child
from supervisors.engine.nursery import START_DEADLINE_S, NotReady, Nursery

#: How often the tree is walked, seconds. At 100,000 actors a walk takes some 20 ms.
PATROL_INTERVAL_S = 5.0


class Patrol(AsyncioActor):
    """Looks after a tree that it is a part of."""

    def __init__(self, root: Callable[[], Nursery | None]) -> None:
        super().__init__()
        self._root = root

    async def prepare(self) -> None:
        """Walk from now on."""
        self.spawn(self._walk(), "walk")

    async def _walk(self) -> None:
        while True:
            await self.clock.sleep(PATROL_INTERVAL_S)
            root = self._root()
            if root is not None:
                for supervisor in supervisors(root):
                    look_after(supervisor, self.clock.now())
                    await self.clock.sleep(0)  # a walk over many users holds up nobody


def supervisors(top: Nursery) -> Iterator[Nursery]:
    """All supervisors of a tree that are alive, the top one first."""
    yield top
    for child in list(top.children.values()) if not top.passivates else ():
        if isinstance(child.actor, Nursery):
            yield from supervisors(child.actor)


def look_after(supervisor: Nursery, now: float) -> None:
    """Cut off children that hang, and let idle ones leave if they may."""
    idle_after_s = supervisor.policy.idle_after_s
    for child in list(supervisor.children.values()):
        actor = child.actor
        if actor is None:
            continue
        reason = _hangs(child, actor, now)
        if reason is not None:
            actor.kill(reason)
        elif supervisor.passivates and now - child.mailbox.used_at >= idle_after_s:
            actor.leave()


def _hangs(child: Child, actor: AsyncioActor, now: float) -> Exception | None:
    """Why an actor is cut off; None for one that does not hang, or lets go already."""
    if actor.hung_after_s is None or actor.leaving:
        return None
    if not actor.started.done():
        return NotReady() if now - child.begun_at >= START_DEADLINE_S else None
    since = actor.ending_since
    if since is None and child.mailbox.in_hand is not None:
        since = child.mailbox.in_hand_since
    if since is None or now - since < actor.hung_after_s:
        return None
    return Hung(f"for {now - since:.0f} s")

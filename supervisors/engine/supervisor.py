"""Supervisor: a fixed list of children, restarted alone or together as its strategy says.

Children start in list order and stop in reverse, each with a deadline and then cancelled.
"""

import random
from collections.abc import Sequence

from actors.runtime.actor import Post, Surroundings
from actors.runtime.mailbox import Mailbox
from supervisors.engine.child import Child, Hosted
from supervisors.engine.nursery import Nursery
from supervisors.engine.policy import AutoShutdown, SupervisorSpec
from supervisors.engine.report import top_ended
from supervisors.engine.strategies import taken_along


class Supervisor(Nursery):
    """Keeps a list of children alive."""

    def __init__(
        self,
        children: Sequence[Hosted],
        spec: SupervisorSpec,
        surroundings: Surroundings,
        source: random.Random,
    ) -> None:
        super().__init__(spec, surroundings, source)
        self.children = {hosted.spec.name: hosted.child() for hosted in children}
        if len(self.children) != len(children):
            raise ValueError("two children have the same name")
        if spec.auto_shutdown is AutoShutdown.NEVER:
            for child in self.children.values():
                if child.spec.significant:
                    raise ValueError(
                        f"{child.spec.name} is significant, and auto_shutdown is never"
                    )

    def begin_life(self, name: str) -> None:
        """Start as the top of a tree: nobody supervises this one, its end is awaited outside."""
        self.take_post(
            Post(
                name=name,
                mailbox=Mailbox(name, self.mailbox_bound),
                surroundings=self.surroundings,
                ended=top_ended,
            )
        )

    async def prepare(self) -> None:
        """Start the children in order, each after the one before it is ready."""
        await self.begin_all(self.children.values())

    def siblings_of(self, child: Child) -> list[Child]:
        """As the strategy says."""
        keys = taken_along(self.policy.strategy, list(self.children), child.key)
        return [self.children[key] for key in keys]

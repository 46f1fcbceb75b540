"""What all parts of a simulated world share: its time, its chance, its story, and what is wrong."""

import contextvars
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.simulation.loop import SimLoop

#: When the story begins, by the database's clock.
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
#: The context of callbacks that are of no process.
OUTSIDE = contextvars.Context()


class RuleBroken(AssertionError):  # noqa: N818 - what happened
    """The simulated world is in a state that must never be."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a story."""

    at_s: float
    who: str
    text: str


@dataclass(slots=True)
class Air:
    """How calls travel: each probability is of one call. A call that is not lost takes its time."""

    lost: float = 0.0
    reply_lost: float = 0.0
    doubled: float = 0.0
    held: float = 0.0
    garbled: float = 0.0
    slowest_s: float = 0.1


CALM = Air()


@dataclass(slots=True)
class Times:
    """How far wrong the clocks go, seconds."""

    database_s: float = 0.0
    host_s: float = 0.0
    #: How far the database's clock was ahead at most: what was put off meanwhile waits so long.
    furthest_s: float = 0.0


@dataclass
class Simulated:
    """The frame of one run."""

    seed: int
    loop: SimLoop
    chance: random.Random
    #: Whether the story is written down in full.
    telling: bool = False
    story: list[Line] = field(default_factory=list)
    #: How often each thing really happened.
    counts: Counter[str] = field(default_factory=Counter)
    times: Times = field(default_factory=Times)
    air: Air = field(default_factory=lambda: CALM)

    def tell(self, who: str, text: str) -> None:
        """Add a line to the story."""
        self.story.append(Line(self.loop.time(), who, text))

    def count(self, what: str) -> None:
        """Note that something happened."""
        self.counts[what] += 1

    def require(self, fine: bool, rule: str, details: object = "") -> None:
        """Fail the run unless a rule holds.

        Raises:
            RuleBroken: it does not.
        """
        if not fine:
            self.tell("rule", f"BROKEN: {rule}: {details}")
            broken = RuleBroken(f"{rule}: {details}")
            self.loop.errors.append(broken)  # whoever is under way may not make up for it
            raise broken

    def database_now(self) -> datetime:
        """What PostgreSQL's clock shows."""
        return BEGINNING + timedelta(seconds=self.loop.time() + self.times.database_s)

    def host_epoch(self) -> float:
        """What the back-end's machine shows, seconds since 1970."""
        return BEGINNING.timestamp() + self.loop.time() + self.times.host_s

    def later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call back from outside of any process."""
        self.loop.call_later(delay_s, callback, context=OUTSIDE)

    def happens(self, probability: float) -> bool:
        """Whether something of this probability happens now."""
        return probability > 0 and self.chance.random() < probability

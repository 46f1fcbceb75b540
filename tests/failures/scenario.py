"""What a row of the table is made of: a title, a fault, what is expected, and within which bound.

A row is added by a function: `@row(44, bound_s=90, cb="open")` above `async def what_happens(run)`.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.failures.cells import Cells, Envelope
from tests.faults.convergence import FACTOR, OWNER

if TYPE_CHECKING:
    from tests.failures.run import Run

#: Ids and titles: the audit's own, in its order and words, then ours.
TITLES_FILE = Path(__file__).with_name("titles.json")

Play = Callable[["Run"], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The world that a scenario needs.

    Attributes:
        tls: nodes are called by TLS.
        toml: tables of the back-end's settings file besides the usual ones.
        node: what nodes' programs do first.
        trade: people buy, renew, are stopped and run out of time on both nodes meanwhile.
        factor: so many times as fast pass the policies' times. 1 where process starts or short
            bounds are measured, which do not shrink.
        database_proxy: a fault proxy stands between the back-end and PostgreSQL.
        owners: who run the shop; the first is `OWNER`.
        called: Telegram calls the back-end, and is not polled.
        more_ways: people can pay by Crypto Pay and by hand too.
        talking: people act through Telegram.
        own_process: they do, and the back-end is a process of its own.
        own_postgres: the database is on a server that may be stopped.
        connections: to PostgreSQL, at most; the product's when None.
    """

    tls: bool = False
    toml: str = ""
    node: str = ""
    trade: bool = True
    factor: float = FACTOR
    database_proxy: bool = False
    talking: bool = False
    own_process: bool = False
    owners: tuple[int, ...] = (OWNER,)
    called: bool = False
    more_ways: bool = False
    own_postgres: bool = False
    connections: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A row: what is done, and what has to come out."""

    id: int
    play: Play
    target: Cells
    #: The design's bound on healing, in the policies' time, seconds.
    bound_s: float
    setting: Setting
    #: Needs under five seconds besides the world's start.
    quick: bool
    #: Takes too long, or too much of the machine, for what CI runs: only the command runs it.
    full: bool
    #: Between which distances attempts may be.
    envelope: Envelope

    @property
    def title(self) -> str:
        """As the audit has it, or we."""
        return titles()[self.id]


#: The longest that any policy lets a wish or a probe wait: the cap of 60 s, twice, and an attempt.
#: On average they wait far longer than this, which is what many at once without a wait do not.
USUAL = Envelope(mean_s=0.1, longest_s=150.0)

SCENARIOS: dict[int, Scenario] = {}


def row(
    number: int,
    *,
    bound_s: float,
    setting: Setting | None = None,
    quick: bool = False,
    full: bool = False,
    envelope: Envelope = USUAL,
    **target: str,
) -> Callable[[Play], Play]:
    """Enter a scenario under its number.

    Args:
        number: of a title in `titles.json`.
        bound_s: on healing, in the policies' time, seconds.
        setting: the world, unless the usual one.
        quick: whether it is part of every test run.
        full: whether only the whole table has it, and no test run.
        envelope: of its back-off, unless that is the one of node calls.
        target: expected cells, where they are not a healthy row's.
    """

    def enter(play: Play) -> Play:
        if number in SCENARIOS:
            raise ValueError(f"row {number} is there twice")
        SCENARIOS[number] = Scenario(
            id=number,
            play=play,
            target=Cells(**target),
            bound_s=bound_s,
            setting=setting or Setting(),
            quick=quick,
            full=full,
            envelope=envelope,
        )
        return play

    return enter


def titles() -> dict[int, str]:
    """Of all rows, by id, in the order of the table."""
    return {found["id"]: found["title"] for found in json.loads(TITLES_FILE.read_text("utf-8"))}


def scenarios() -> dict[int, Scenario]:
    """All rows, by id, in the order of the table."""
    from tests.failures import rows  # noqa: PLC0415 - rows import this module

    rows.load()
    return {number: SCENARIOS[number] for number in titles() if number in SCENARIOS}

"""The twin does with any acts of the program what PostgreSQL does with them."""

import os
import random
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from storage import credentials, expiry, node_phases, outbox
from storage.links import LinkCipher
from tests.contracts.storage.acts import ACTS, Act, Story, begin
from tests.contracts.storage.pair import Difference, Pair, paired
from tests.simulation.twin.database import twins
from tests.simulation.twin.registry import TWINS, Answer, Twin, constants
from tests.simulation.twin.tables import Tables

QUICK, DEEP, LONGEST = 40, 400, 1_200
#: More than it takes for every statement to matter.
TOUR = 3_000
SEEDS = range(100, 103)
#: By hand: TOLLGATE_TWIN_ACTS=5000 TOLLGATE_TWIN_SEED=7 pytest tests/contracts/storage -k by_hand
BY_HAND = int(os.environ.get("TOLLGATE_TWIN_ACTS", "0"))
SEED = int(os.environ.get("TOLLGATE_TWIN_SEED", "7"))
#: Locks: one transaction runs at a time.
NOTHING_TO_SHOW = {
    "storage.database.QUEUE_UP",
    "storage.dead_letters.QUEUE_UP",
    "storage.settings_history.QUEUE_UP",
}


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few users are many."""
    monkeypatch.setattr(expiry, "REMINDED_AT_ONCE", 2)
    monkeypatch.setattr(node_phases, "RAISED_AT_ONCE", 2)
    monkeypatch.setattr(node_phases, "CONFIRMED_AT_ONCE", 2)


@dataclass
class Watched:
    """Twins that remember which of them ran, and which ever answered something or changed a row."""

    ran: set[str] = field(default_factory=set)
    mattered: set[str] = field(default_factory=set)

    @property
    def twins(self) -> dict[str, Twin]:
        """All of them."""
        return {text: self._watched(text, twin) for text, twin in TWINS.items()}

    @property
    def idle(self) -> set[str]:
        """Statements that have not mattered yet, by their names."""
        names = {constants()[text] for text in TWINS if text not in self.mattered}
        return names - NOTHING_TO_SHOW

    def _watched(self, text: str, twin: Twin) -> Twin:
        def run(tables: Tables, *arguments: Any) -> Answer:
            before = len(tables.log)
            answer = twin(tables, *arguments)
            self.ran.add(constants()[text])
            if answer or len(tables.log) > before:
                self.mattered.add(text)
            return answer

        return run


async def play(pair: Pair, monkeypatch: pytest.MonkeyPatch, seed: int, acts: int) -> None:
    """Acts on both sides, and a look at all rows now and then."""
    monkeypatch.setattr(node_phases, "uuid4", lambda: pair.made_up)
    story = Story(pair, random.Random(seed))  # noqa: S311 - a story is its seed
    try:
        await begin(story)
        for number in range(acts):
            await story.any_act()(story)
            if number % 20 == 19:
                await pair.compare()
    except Exception as error:
        error.add_note("\n".join((f"seed {seed}", *pair.told[-30:])))
        raise


@pytest.mark.parametrize("seed", range(2))
async def test_a_few_acts_come_to_the_same(
    database_url: str, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async with paired(database_url, cipher) as pair:
        await play(pair, monkeypatch, seed, QUICK)


@dataclass(frozen=True)
class Plant:
    """Something wrong in the twin."""

    twins: dict[str, Twin] = field(default_factory=dict)
    without: str | None = None


def nothing(tables: Tables, *arguments: Any) -> Answer:
    """A statement that does nothing."""
    del tables, arguments
    return []


def confirmed_in_any_case(tables: Tables, uuid: UUID, gen: int, link_enc: bytes | None) -> Answer:
    """CONFIRM without the comparison of generations."""
    row = tables.credentials.get(uuid)
    return TWINS[credentials.CONFIRM](tables, uuid, row["gen"] if row else gen, link_enc)


PLANTS = {
    "no compare-and-set": Plant({credentials.CONFIRM: confirmed_in_any_case}),
    "removes nobody": Plant({credentials.REMOVE: nothing}),
    "postpones nothing": Plant({outbox.POSTPONE: nothing}),
    "takes an invoice twice": Plant(without="purchases_invoice_once"),
    "takes a source of time twice": Plant(without="ledger_source_once"),
    "sells to strangers": Plant(without="purchases_user_id_fkey"),
    "sells no time": Plant(without="purchases_period_s_check"),
}


@pytest.mark.deep
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
async def test_a_twin_that_differs_is_found(
    database_url: str, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    async with paired(database_url, cipher, twins(plant.twins), without=plant.without) as pair:
        with pytest.raises(Difference):
            await play(pair, monkeypatch, SEED, LONGEST)


@pytest.mark.deep
async def test_every_statement_matters_in_some_act(
    database_url: str, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the acts are chosen since they run what has not mattered yet."""
    watched, runs = Watched(), dict[Act, set[str]]()
    async with paired(database_url, cipher, watched.twins) as pair:
        monkeypatch.setattr(node_phases, "uuid4", lambda: pair.made_up)
        story = Story(pair, random.Random(11))  # noqa: S311 - a short one; any seed comes to it
        await begin(story)
        for number in range(TOUR):
            if not watched.idle:
                break
            likely = [act for act in ACTS if not runs.get(act) or runs[act] & watched.idle]
            act = story.source.choice(likely) if number % 2 else story.any_act()
            watched.ran.clear()
            await act(story)
            runs[act] = runs.get(act, set()) | watched.ran
        await pair.compare()

    assert not watched.idle


@pytest.mark.deep
@pytest.mark.parametrize("seed", SEEDS)
async def test_many_acts_come_to_the_same(
    database_url: str, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async with paired(database_url, cipher) as pair:
        await play(pair, monkeypatch, seed, DEEP)


@pytest.mark.skipif(not BY_HAND, reason="only by hand")
async def test_as_many_acts_as_wanted_by_hand_come_to_the_same(
    database_url: str, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with paired(database_url, cipher) as pair:
        await play(pair, monkeypatch, SEED, BY_HAND)

"""Random stories of money and access end with database, nodes and providers in agreement.

Steps are orders, payments in every order and shape, refunds, bans, new links, time, faults of nodes
and providers, and deaths of the back-end at both sides of any transaction. `make test` plays a few,
`make test-deep` 500, and by hand any number:

    TOLLGATE_STATEFUL_RUNS=5000 TOLLGATE_STATEFUL_SEED=7 pytest tests/stateful -k by_hand

A story that fails is told by its steps, made as short as it still fails, and its seed.
"""

import os

import pytest

from storage.links import LinkCipher
from tests.integration.database_fixtures import Server
from tests.stateful.theatre import opened

QUICK = 25
#: In parts, so that none takes longer than a test that hangs may.
DEEP, PARTS = 500, 5
SEED = int(os.environ.get("TOLLGATE_STATEFUL_SEED", "4"))
#: What the actors must have said in any hundred stories, and silence: else they tell of little.
HEARD = {
    "PaymentCredited",
    "PaymentHeld",
    "PaymentAlreadyRecorded",
    "RefundStarted",
    "RefundedBefore",
    "ReissueStarted",
    "StandingChanged",
    "AccessGranted",
    "TrialStarted",
    "NoneType",
}
BY_HAND = int(os.environ.get("TOLLGATE_STATEFUL_RUNS", "0"))


def play(postgres: Server, cipher: LinkCipher, number: int, seed: int) -> None:
    """Play so many stories, and say so."""
    with opened(postgres, cipher) as theatre:
        try:
            theatre.play_many(number, seed)
        finally:
            print(f"seed {seed}: {theatre.played} stories, {theatre.lives} lives, {theatre.heard}")  # noqa: T201
        assert theatre.played >= number
        assert number < DEEP // PARTS or set(theatre.heard) >= HEARD


def test_a_few_stories_end_well(postgres: Server, cipher: LinkCipher) -> None:
    play(postgres, cipher, QUICK, SEED)


@pytest.mark.deep
@pytest.mark.parametrize("part", range(PARTS))
def test_five_hundred_stories_end_well(postgres: Server, cipher: LinkCipher, part: int) -> None:
    play(postgres, cipher, DEEP // PARTS, SEED + 1 + part)


@pytest.mark.skipif(not BY_HAND, reason="TOLLGATE_STATEFUL_RUNS says how many")
def test_as_many_stories_as_asked_by_hand_end_well(postgres: Server, cipher: LinkCipher) -> None:
    play(postgres, cipher, BY_HAND, SEED)

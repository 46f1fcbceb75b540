"""Stories that cannot fail prove nothing: without each ingredient, one of a few goes wrong."""

import re
from collections.abc import Iterator

import pytest

from storage import credentials, payments, subscriptions
from storage.links import LinkCipher
from tests.integration.database_fixtures import Server
from tests.stateful.theatre import Theatre, opened

#: As many as CI plays; most of these need fewer than a hundred.
BUDGET = 500
SEED = 4

NO_PAYMENT_KEY = "ALTER TABLE payments DROP CONSTRAINT payments_pkey"


@pytest.fixture
def theatre(postgres: Server, cipher: LinkCipher) -> Iterator[Theatre]:
    """A theatre for stories that go wrong."""
    with opened(postgres, cipher) as made:
        yield made


def goes_wrong(theatre: Theatre, *words: str) -> None:
    """One of the stories fails, in these words."""
    with pytest.raises(BaseException, match="|".join(map(re.escape, words))) as failure:
        theatre.play_many(BUDGET, SEED, shrink=False)
    print(f"after {theatre.played} stories: {failure.value!s:.200}")  # noqa: T201


def test_without_the_check_of_the_generation(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old confirmation counts for a newer wish: a removal is never sent."""
    monkeypatch.setattr(credentials, "CONFIRM", without(credentials.CONFIRM, "c.gen = $2::bigint"))

    goes_wrong(theatre, "runs others than the rows say")


def test_without_the_unique_key_of_payments(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A push that comes twice is two payments."""
    on_conflict = "ON CONFLICT (provider, provider_payment_id) DO NOTHING"
    monkeypatch.setattr(payments, "RECEIVE", without(payments.RECEIVE, on_conflict, ""))
    theatre.alter(NO_PAYMENT_KEY)

    goes_wrong(theatre, "one charge has two rows", "an actor crashed", "the ledger")


@pytest.mark.deep
def test_without_the_fence_of_the_node(postgres: Server, cipher: LinkCipher) -> None:
    """An old wish that arrives late lets somebody in."""
    with opened(postgres, cipher, fenced=False) as theatre:
        goes_wrong(theatre, "runs others than the rows say")


@pytest.mark.deep
def test_without_the_check_of_the_version(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A confirmation in the middle of a command is written over."""
    version = " AND version = $6 - 1"
    monkeypatch.setattr(subscriptions, "UPDATE", without(subscriptions.UPDATE, version, ""))

    goes_wrong(theatre, "an actor crashed")


def without(statement: str, part: str, instead: str = "true") -> str:
    """A statement that lacks one of its parts, which it has."""
    assert statement.count(part) == 1
    return statement.replace(part, instead)

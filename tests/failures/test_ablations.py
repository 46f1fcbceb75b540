"""Rows can fail: with one protection switched off, its rows are off target."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage import credentials, inbox, phase
from storage.links import LinkCipher
from storage.phases import UserPhases
from storage.rows import PaymentDraft
from tests.failures.run import Row, play
from tests.failures.scenario import scenarios
from tests.faults.own_process import Program
from tests.faults.scene import first_seed

pytestmark = pytest.mark.prove

#: What each process of the back-end does first.
NO_OWNER = """
from storage import database
database.PROVE_OWNER = database.PROVE_OWNER.replace("epoch = $2", "epoch >= $2")
database.SEEN = database.SEEN.replace("epoch = $2", "epoch >= $2")
"""


class Matrix:
    """Runs a row as the command does."""

    def __init__(self, folder: Path, url: str, cipher: LinkCipher) -> None:
        self._world = folder, url, cipher

    async def row(self, number: int) -> Row:
        """The row's line in the table."""
        return await play(scenarios()[number], *self._world, first_seed())


@pytest.fixture
def matrix(tmp_path: Path, database_url: str, cipher: LinkCipher) -> Matrix:
    return Matrix(tmp_path, database_url, cipher)


async def test_14_without_comparing_generations_when_an_answer_is_recorded(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer about an older wish confirms the newer one."""
    whole = credentials.CONFIRM
    blind = whole.replace("c.gen = $2::bigint AND c.applied_gen < c.gen", "c.applied_gen < c.gen")
    assert blind != whole
    monkeypatch.setattr(credentials, "CONFIRM", blind)

    row = await matrix.row(14)

    assert not row.ok
    assert row.cells.sh == "No", row.why


async def test_12_without_one_row_for_each_push(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each copy of a push is another one."""
    whole = inbox.ACCEPT
    each = whole.replace("VALUES ($1, $2,", "VALUES ($1, $2 || '#' || gen_random_uuid(),")
    assert each != whole
    monkeypatch.setattr(inbox, "ACCEPT", each)

    with pytest.raises(AssertionError, match="one of them was to be kept"):
        await matrix.row(12)


@pytest.fixture
def each_charge_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """A charge that is told again, or whose COMMIT nobody heard of, is another one."""
    receive, told = UserPhases.receive_payment, Counter[str]()

    async def anew(self: UserPhases, draft: PaymentDraft) -> Any:
        number = draft.provider_payment_id
        told[number] += 1
        if told[number] > 1:
            draft = replace(draft, provider_payment_id=f"{number}-{told[number]}")
        return await receive(self, draft)

    monkeypatch.setattr(UserPhases, "receive_payment", anew)


@pytest.mark.usefixtures("each_charge_is_new")
async def test_13_without_one_row_for_each_charge(matrix: Matrix) -> None:
    with pytest.raises(AssertionError, match="it was paid once"):
        await matrix.row(13)


@pytest.mark.usefixtures("each_charge_is_new")
async def test_23_without_one_row_for_each_charge(matrix: Matrix) -> None:
    row = await matrix.row(23)

    assert not row.ok
    assert "which nobody paid" in row.why


@pytest.mark.usefixtures("forkserver")
async def test_41_without_the_epoch_of_the_owner_nobody_is_shut_out(
    matrix: Matrix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever owned the database once owns it for ever."""
    bug, start = tmp_path / "bug.py", Program.start
    bug.write_text(NO_OWNER)

    async def start_with_it(self: Program) -> None:
        self.bug = bug
        await start(self)

    monkeypatch.setattr(Program, "start", start_with_it)

    with pytest.raises(AssertionError, match="it was to be shut out"):
        await matrix.row(41)


async def test_5_without_repeats_somebody_hears_of_a_deadlock(
    matrix: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phase, "TRIES", 1)

    with pytest.raises(AssertionError, match=r"nobody was to hear|taken up again"):
        await matrix.row(5)

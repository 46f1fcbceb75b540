"""`tollgate matrix` hands over to the tests of a checkout, or says how to get there."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from supervisors import cli, matrix
from supervisors.matrix import MatrixError, become_matrix


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    runner = tmp_path / "tests" / "failures" / "__main__.py"
    runner.parent.mkdir(parents=True)
    runner.touch()
    return tmp_path


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the process would have become."""
    became: list[str] = []
    monkeypatch.setattr(os, "execv", lambda _, words: became.extend(words))
    monkeypatch.setattr(os, "chdir", lambda folder: became.append(str(folder)))
    return became


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, list[str]]:
    """The exit status of a command, and what the matrix would be started with."""
    handed: list[str] = []
    monkeypatch.setattr(cli, "become_matrix", handed.extend)
    return CliRunner().invoke(cli.app, ["matrix", *words]).exit_code, handed


def test_the_process_becomes_the_failure_tests_of_the_checkout(
    checkout: Path, became: list[str]
) -> None:
    become_matrix(["--row", "2"], checkout)

    assert became == [str(checkout), sys.executable, "-m", "tests.failures", "--row", "2"]


def test_the_checkout_is_the_one_that_the_program_runs_from() -> None:
    assert (matrix.CHECKOUT / "tests" / "unit" / Path(__file__).name).samefile(__file__)


def test_without_a_checkout_the_way_to_one_is_told(tmp_path: Path, became: list[str]) -> None:
    with pytest.raises(MatrixError, match="make install-dev"):
        become_matrix([], tmp_path)
    assert not became


def test_without_what_the_tests_need_the_way_to_it_is_told(
    checkout: Path, became: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(MatrixError, match="pytest: `make install-dev`"):
        become_matrix([], checkout)
    assert not became


def test_a_wrong_place_is_one_line_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "become_matrix", lambda words: become_matrix(words, tmp_path))
    monkeypatch.setattr(sys, "argv", ["tollgate", "matrix"])

    with pytest.raises(SystemExit) as end:
        cli.main()

    assert end.value.code == 1
    said = capsys.readouterr().err
    assert "make install-dev" in said
    assert said.count("\n") == 1


def test_all_options_are_handed_on_with_whole_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    options = ("--row", "2", "--row", "7", "--json", "--html", "a.html", "--seed", "8")

    status, handed = typed(monkeypatch, *options, "--jobs", "2", "--full-times")

    whole = str(Path("a.html").absolute())
    assert status == 0
    assert handed == [
        *("--row", "2", "--row", "7", "--json", "--full-times"),
        *("--jobs", "2", "--html", whole, "--seed", "8"),
    ]


@pytest.mark.parametrize("words", [("--row", "two"), ("--jobs", "0"), ("--seed", "-1"), ("2",)])
def test_what_makes_no_sense_is_status_2(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    assert typed(monkeypatch, *words) == (2, [])

"""What a person meets at the command line: a working demo, and errors that say what to do."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

#: A cold start makes a database; a loaded machine takes its time.
DEADLINE_S = 180


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def tollgate(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own, with no terminal."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TOLLGATE_")}
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "supervisors.cli", *arguments],
        cwd=folder,
        env={**clean, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def checked(
    tmp_path_factory: pytest.TempPathFactory, free_listen: str
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which a demo has checked itself."""
    folder = tmp_path_factory.mktemp("checked")
    return folder, tollgate(folder, "demo", "--check", TOLLGATE_DEMO__LISTEN=free_listen)


def test_the_demo_checks_itself(
    checked: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = checked

    assert done.returncode == 0, done.stdout + done.stderr
    held = [line for line in done.stdout.splitlines() if line.startswith("ok")]
    for step in ("real traffic flows", "unknown uuid is refused", "refused after removal"):
        assert any(step in line for line in held), done.stdout


def test_the_demo_fails_plainly_when_xray_does_not_start(tmp_path: Path, free_listen: str) -> None:
    done = tollgate(
        tmp_path,
        "demo",
        "--check",
        TOLLGATE_DEMO__LISTEN=free_listen,
        TOLLGATE_NODE__XRAY="binary:/bin/false",
    )

    assert done.returncode == 1
    (failure,) = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "node.xray: binary:/bin/false" in failure


def test_a_demo_whose_port_is_in_use_says_so(tmp_path: Path, busy_port: int) -> None:
    done = tollgate(tmp_path, "demo", TOLLGATE_DEMO__LISTEN=f"127.0.0.1:{busy_port}")

    assert done.returncode == 1
    assert "in use" in done.stderr
    assert "TOLLGATE_DEMO__LISTEN" in done.stderr


def test_a_demo_never_opens_the_database_of_a_shop(tmp_path: Path, free_listen: str) -> None:
    (tmp_path / "data" / "postgres").mkdir(parents=True)

    done = tollgate(tmp_path, "demo", TOLLGATE_DEMO__LISTEN=free_listen)

    assert done.returncode == 1
    assert "real back-end" in done.stderr


def test_a_shop_never_opens_the_database_of_a_demo(
    checked: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, _ = checked
    (folder / "shop.toml").write_text(SETTINGS)

    done = tollgate(folder, "--config", "shop.toml", "run")

    assert done.returncode == 1
    assert "belongs to bot 1000001" in done.stderr


def test_the_doctor_looks_at_a_shop_that_does_not_run(
    checked: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Nobody answers, and nothing is started to be looked at."""
    folder, _ = checked

    done = tollgate(folder, "--config", "data/demo/tollgate.toml", "doctor", "--deep", "--json")

    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    found = {(one["about"], one["state"]) for one in answer["findings"]}
    assert answer["ok"] is False
    for about, state in (("settings", "ok"), ("data folder", "ok"), ("database", "warning")):
        assert (about, state) in found, answer
    assert {about for about, state in found if state == "FAILED"} == {
        "telegram",
        "cryptopay",
        "node demo",
    }
    assert ("back-end", "note") in found
    assert not (folder / "data" / "postgres" / "postmaster.pid").exists()


def test_the_doctor_tells_of_wrong_settings(tmp_path: Path) -> None:
    (tmp_path / "tollgate.toml").write_text('[telegram]\ntoken = "x"\nmood = "good"\n')

    done = tollgate(tmp_path, "doctor")

    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED   settings: ")]
    for name in ("telegram.token", "telegram.mood", "nodes"):
        assert any(name in line for line in lines), done.stdout


def test_wrong_settings_stop_the_program_with_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "tollgate.toml").write_text('[telegram]\ntoken = "x"\nmood = "good"\n')

    done = tollgate(tmp_path, "run")

    assert done.returncode == 1
    for name in ("telegram.token", "telegram.mood", "nodes"):
        assert any(name in line for line in done.stderr.splitlines()), done.stderr
    assert "Traceback" not in done.stderr


def test_a_node_is_not_made_up_where_nobody_can_be_asked(tmp_path: Path) -> None:
    done = tollgate(tmp_path, "node", "init", "--dir", "node")

    assert done.returncode == 2
    assert "--dest" in done.stderr
    assert not (tmp_path / "node").exists()


def test_a_new_node_prints_the_lines_for_the_backend(tmp_path: Path) -> None:
    options = ("--public-host", "vpn.example.org", "--dest", "www.example.org:443")

    done = tollgate(tmp_path, "node", "init", "--dir", "node", *options)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[[nodes]]")
    key = done.stdout.split('api_keys = ["')[1].split('"')[0]
    for name in ("node.toml", "xray.json"):
        file = tmp_path / "node" / name
        assert key not in file.read_text()
        assert file.stat().st_mode & 0o777 == 0o600


SETTINGS = """
[telegram]
token = "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
api_base = "http://127.0.0.1:1"

[[nodes]]
id = "one"
title = "One"
url = "http://127.0.0.1:1"
api_keys = ["0123456789abcdef"]
"""

"""Stands in for systemctl and systemd: one unit, kept in a file; no machine of ours boots them.

Run as `fake_systemctl.py FOLDER ARGUMENT...`. Answers and refusals are worded as by systemd 252.
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

UNIT_FILE = "unit.json"
CALLS_FILE = "calls"


@contextmanager
def unit(folder: Path) -> Iterator[dict[str, Any]]:
    """The unit's state, for one process at a time; what is changed is kept."""
    with (folder / UNIT_FILE).open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        state = json.load(file)
        yield state
        file.seek(0)
        file.truncate()
        json.dump(state, file)


def install(folder: Path, exec_start: list[str], **properties: str) -> Path:
    """Make a unit, and a folder for PATH with a `systemctl` that knows it."""
    state = {
        "LoadState": "loaded",
        "ActiveState": "inactive",
        "MainPID": 0,
        "InvocationID": "",
        "ExecMainCode": 0,
        "ExecMainStatus": 0,
        "Restart": "no",
        "exec": exec_start,
        "refuse": "",
        "sleep_s": 0,
        **properties,
    }
    (folder / UNIT_FILE).write_text(json.dumps(state))
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "systemctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {__file__} {folder} "$@"\n')
    program.chmod(0o755)
    return programs


def end(folder: Path) -> None:
    """End what the unit runs."""
    with unit(folder) as state:
        pid = state["MainPID"]
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _until_ended(folder)


def _until_ended(folder: Path) -> None:
    while True:
        with unit(folder) as state:
            if not state["MainPID"]:
                return
        time.sleep(0.01)  # noqa: TID251 - a process of its own


def _stop(folder: Path) -> None:
    with unit(folder) as state:
        pid = state["MainPID"]
    if pid:
        with suppress(ProcessLookupError):  # it may end of the first
            os.kill(pid, signal.SIGTERM)
            os.kill(pid, signal.SIGCONT)
    _until_ended(folder)


def _start(folder: Path) -> None:
    ready, told = os.pipe()
    if os.fork() == 0:
        os.setsid()
        for standard in (0, 1, 2):
            os.dup2(os.open(os.devnull, os.O_RDWR), standard)
        _supervise(folder, told)
        os._exit(0)
    os.close(told)
    os.read(ready, 1)  # until the process is in the state


def _supervise(folder: Path, told: int) -> None:
    with unit(folder) as state:
        process = subprocess.Popen(state["exec"], stdin=subprocess.DEVNULL, close_fds=True)  # noqa: S603
        state.update(ActiveState="active", MainPID=process.pid, InvocationID=uuid4().hex)
        state.update(ExecMainCode=0, ExecMainStatus=0)
    os.close(told)
    status = process.wait()
    with unit(folder) as state:
        state.update(ActiveState="failed" if status else "inactive", MainPID=0)
        state.update(ExecMainCode=2 if status < 0 else 1, ExecMainStatus=abs(status))


def _show(folder: Path) -> None:
    with unit(folder) as state:
        shown = {name: value for name, value in state.items() if name[0].isupper()}
        program, argv = state["exec"][0], " ".join(state["exec"])
    shown["ExecStart"] = f"{{ path={program} ; argv[]={argv} ; ignore_errors=no ; }}"
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in shown.items()))


def main(folder: Path, arguments: list[str]) -> str | None:
    """Returns what to complain of."""
    *_, name = arguments
    verb = next(argument for argument in arguments if not argument.startswith("-"))
    with (folder / CALLS_FILE).open("a") as calls:
        calls.write(f"{verb}\n")
    assert name == "xray.service", arguments
    with unit(folder) as state:
        refuse, sleep_s = state["refuse"], state["sleep_s"]
    time.sleep(sleep_s)  # noqa: TID251 - a process of its own
    if refuse and verb != "show":
        return str(refuse)
    match verb:
        case "show":
            _show(folder)
        case "stop":
            _stop(folder)
        case "restart":
            _stop(folder)
            _start(folder)
        case "reset-failed":
            pass
        case _:
            return f"Unknown command verb {verb}."
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

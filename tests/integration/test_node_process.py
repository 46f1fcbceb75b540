"""Xray as a process: it starts, says why it does not, ends when asked, and is never orphaned."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.node_fixtures import PATIENCE_S, eventually, is_alive, xray_children
from xray_api.node.process import (
    RC_CONFIG_ERROR,
    RC_START_ERROR,
    ChildEngine,
    XrayProcess,
    XrayStartError,
)

IDLE: dict[str, Any] = {"outbounds": [{"protocol": "freedom"}]}


async def test_the_wheel_starts_and_names_its_version() -> None:
    xray = await XrayProcess.start(ChildEngine(), IDLE)

    assert xray.version == "26.10.10"
    assert is_alive(xray.pid)

    await xray.stop()
    assert not is_alive(xray.pid)


async def test_a_crash_is_seen_with_its_signal() -> None:
    xray = await XrayProcess.start(ChildEngine(), IDLE)

    os.kill(xray.pid, signal.SIGKILL)

    async with asyncio.timeout(PATIENCE_S):
        assert await xray.wait() == -signal.SIGKILL
    await xray.stop()


async def test_a_refused_configuration_is_named() -> None:
    with pytest.raises(XrayStartError, match="refuses its configuration") as refused:
        await XrayProcess.start(ChildEngine(), {"inbounds": [{"protocol": "nope"}]})

    assert refused.value.status == RC_CONFIG_ERROR


async def test_a_busy_port_is_guessed() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    socks = {"protocol": "socks", "listen": "127.0.0.1", "port": port}

    async with server:
        with pytest.raises(XrayStartError, match="is a port in use, or is it too old") as refused:
            await XrayProcess.start(ChildEngine(), {"inbounds": [socks], **IDLE})

    assert refused.value.status == RC_START_ERROR


def script(folder: Path, text: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return f"binary:{path}"


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("binary:/bin/false", "exited at once with status 1; is it Xray?"),
        ("binary:/bin/true", "exited at once with status 0; is it Xray?"),
        ("binary:/does/not/exist", "there is no such file"),
        ("binary:/tmp", "there is no such file"),
    ],
)
async def test_a_program_that_is_no_xray_is_named(setting: str, reason: str) -> None:
    with pytest.raises(XrayStartError) as refused:
        await XrayProcess.start(ChildEngine.of(setting), IDLE)

    assert reason in str(refused.value)
    assert refused.value.status not in {RC_CONFIG_ERROR, RC_START_ERROR}


async def test_a_file_that_cannot_be_executed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "xray"
    path.touch(mode=0o600)
    with pytest.raises(XrayStartError, match="not an executable file"):
        await XrayProcess.start(ChildEngine(path), IDLE)

    path.chmod(0o700)
    path.write_bytes(b"\x7fnot a program")
    with pytest.raises(XrayStartError, match=r"it said: .*: Exec format error$"):
        await XrayProcess.start(ChildEngine(path), IDLE)


async def test_what_a_program_says_before_it_ends_is_told(tmp_path: Path) -> None:
    engine = ChildEngine.of(script(tmp_path, "echo first; echo out of memory >&2; exit 3"))

    with pytest.raises(XrayStartError) as refused:
        await XrayProcess.start(engine, IDLE)

    assert "status 3" in str(refused.value)
    assert "out of memory" in str(refused.value)


async def test_a_program_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    engine = ChildEngine.of(script(tmp_path, "exec sleep 600"))
    before = xray_children()

    with pytest.raises(XrayStartError, match="did not say that it started within"):
        await XrayProcess.start(engine, IDLE, timeout_s=0.2)

    assert xray_children() == before


async def test_a_binary_gets_its_configuration_from_standard_input(tmp_path: Path) -> None:
    says = 'cat >&2; echo "[Warning] core: Xray 1.2.3 started"; echo "$@"; exec sleep 600'
    engine = ChildEngine.of(script(tmp_path, says))

    xray = await XrayProcess.start(engine, IDLE)

    assert xray.version == "1.2.3"
    assert str(engine) == f"binary:{tmp_path}/program"
    await xray.stop()
    assert await xray.wait() == -signal.SIGTERM


async def test_an_xray_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    deaf = 'trap "" TERM; echo "Xray 1.0 started"; exec sleep 600'
    xray = await XrayProcess.start(ChildEngine.of(script(tmp_path, deaf)), IDLE)

    await xray.stop()

    assert await xray.wait() == -signal.SIGKILL


async def test_a_wrapper_takes_its_xray_with_it(tmp_path: Path) -> None:
    wrapper = 'sleep 600 & echo "child $!"; echo "Xray 1.0 started"; wait'
    xray = await XrayProcess.start(ChildEngine.of(script(tmp_path, wrapper)), IDLE)
    inner = int(xray._last_lines[0].removeprefix("child "))
    assert is_alive(inner)

    await xray.stop()

    async def gone() -> bool:
        return not is_alive(inner)

    await eventually(gone)


async def test_settings_do_not_reach_xray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOLLGATE_TELEGRAM__TOKEN", "canary")

    says = 'echo "token=$TOLLGATE_TELEGRAM__TOKEN."; exit 1'

    with pytest.raises(XrayStartError) as refused:
        await XrayProcess.start(ChildEngine.of(script(tmp_path, says)), IDLE)

    assert str(refused.value).endswith("it said: token=.")


async def test_users_are_cut_short_in_what_xray_says(tmp_path: Path) -> None:
    user = "3f1c9a52-6d2e-4b7a-9c41-0d5e8f7a6b12"

    with pytest.raises(XrayStartError, match="3f1c9a52 exists") as refused:
        await XrayProcess.start(
            ChildEngine.of(script(tmp_path, f"echo {user} exists; exit 1")), IDLE
        )

    assert user not in str(refused.value)


async def test_a_cancelled_start_leaves_nothing(tmp_path: Path) -> None:
    before = xray_children()
    engine = ChildEngine.of(script(tmp_path, "exec sleep 600"))
    starting = asyncio.create_task(XrayProcess.start(engine, IDLE))

    async def a_child_runs() -> bool:
        return xray_children() != before or starting.done()

    await eventually(a_child_runs)
    starting.cancel()
    await asyncio.wait({starting})

    assert xray_children() == before


async def test_xray_dies_with_its_parent() -> None:
    program = """
import asyncio, sys
from xray_api.node.process import ChildEngine, XrayProcess
async def main():
    xray = await XrayProcess.start(ChildEngine(), {"outbounds": [{"protocol": "freedom"}]})
    print("pid", xray.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        while not (line := await parent.stdout.readline()).startswith(b"pid "):
            assert line
    pid = int(line.split()[1])
    assert is_alive(pid)

    parent.kill()
    await parent.wait()

    async def gone() -> bool:
        return not is_alive(pid)

    await eventually(gone)

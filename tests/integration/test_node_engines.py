"""Embedded, binary or systemd unit: the same life of Xray, but for who outlives whom."""

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from configparser import ConfigParser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.integration import fake_systemctl
from tests.integration.node_fixtures import (
    Files,
    Page,
    eventually,
    fresh_files,
    is_alive,
    node_process,
    running,
    xray_children,
)
from xray_api.client.client import NodeClient
from xray_api.node import api_socket, unit
from xray_api.node.check import check_node
from xray_api.node.errors import NodeStartError
from xray_api.node.process import RC_CONFIG_ERROR, XrayStartError
from xray_api.node.unit import UnitEngine
from xray_api.probe import probe_link

#: The wheel's Xray with the face of the binary.
XRAY = f"""#!{sys.executable} -P
import sys
if sys.argv[1:] == ["version"]:
    print("Xray 26.10.10 (the wheel)")
else:
    config = sys.stdin if sys.argv[-1] == "stdin:" else open(sys.argv[-1])
    from xray import startFromJSON
    startFromJSON(config.read())
"""
UNIT = "xray.service"
#: The state of a listening socket in /proc/net/tcp.
LISTENS = "0A"
SHIPPED = Path(__file__).parents[2] / "config" / "systemd"


@dataclass
class Machine:
    """A node's files, and the folder of the unit that its Xray may be."""

    files: Files
    systemd: Path
    state_dir: Path

    def use(self, kind: str) -> None:
        """Have the settings name an engine."""
        values = {
            "embedded": "embedded",
            "binary": f"binary:{self.program}",
            "systemd": f"systemd:{UNIT}",
        }
        text = self.files.settings_file.read_text()
        lines = [line for line in text.splitlines() if not line.startswith("xray = ")]
        at = lines.index("[node]") + 1
        lines[at:at] = [f'xray = "{values[kind]}"']
        text = "\n".join(lines).replace("allow_private_targets = false", "")
        if "allow_private_targets = true" not in text:
            text = text.replace("[node]\n", "[node]\nallow_private_targets = true\n")
        self.files.settings_file.write_text(text)

    @property
    def program(self) -> Path:
        """The binary, which the unit runs as well."""
        return self.systemd / "xray"

    @property
    def unit_pid(self) -> int:
        """The id of what the unit runs; 0 if nothing does."""
        with fake_systemctl.unit(self.systemd) as state:
            return int(state["MainPID"])

    def change_unit(self, **properties: Any) -> None:
        """Have systemd say, or do, something else."""
        with fake_systemctl.unit(self.systemd) as state:
            state.update(properties)

    @property
    def socket(self) -> Path:
        """One for the API of an Xray that shall not serve."""
        return self.state_dir / "none"

    @property
    def calls(self) -> list[str]:
        """What systemctl was asked, questions left out."""
        asked = (self.systemd / fake_systemctl.CALLS_FILE).read_text().split()
        return [verb for verb in asked if verb != "show"]

    def xray_of(self, service: int) -> int:
        """The id of the running Xray."""
        if pid := self.unit_pid:
            return pid
        (pid,) = xray_children(service, self.program)
        return pid


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    async with fresh_files(tmp_path / "node") as made:
        yield made


@pytest.fixture
def machine(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    folder = tmp_path / "systemd"
    folder.mkdir()
    state_dir = files.settings().node.state_dir
    state_dir.mkdir(mode=0o700, exist_ok=True)
    made = Machine(files, folder, state_dir)
    made.program.write_text(XRAY)
    made.program.chmod(0o755)
    config = str(UnitEngine(UNIT, state_dir).config_file)
    programs = fake_systemctl.install(folder, [str(made.program), "run", "-config", config])
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    yield made
    fake_systemctl.end(folder)


@pytest.fixture(params=["embedded", "binary", "systemd"])
def kind(machine: Machine, request: pytest.FixtureRequest) -> str:
    machine.use(request.param)
    return str(request.param)


def listening_ports(pid: int) -> set[int]:
    """The TCP ports on which a process listens."""
    process = Path("/proc") / str(pid)
    sockets = set()
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):
            sockets.add(str(descriptor.readlink()))
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in (process / "net" / table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in sockets:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports


async def until_ready(node: NodeClient, restarts: int) -> None:
    async def ready() -> bool:
        readiness = await node.ready()
        return readiness.ready and readiness.xray.restarts == restarts

    await eventually(ready)


@pytest.mark.usefixtures("kind")
async def test_a_crash_is_healed_with_the_same_users(machine: Machine, page: Page) -> None:
    async with running(machine.files.settings()), machine.files.client() as node:
        first = await node.ready()
        link = (await node.put(uuid4(), 1, first.epoch)).vless_link
        removed = uuid4()
        gone = (await node.put(removed, 1, first.epoch)).vless_link
        await node.remove(removed, 2, first.epoch)
        assert first.xray.version == "26.10.10"
        xray = machine.xray_of(os.getpid())

        os.kill(xray, signal.SIGKILL)

        await until_ready(node, restarts=1)
        assert machine.xray_of(os.getpid()) != xray
        assert (await probe_link(link, page.url)).ok
        assert not (await probe_link(gone, page.url)).ok


@pytest.mark.usefixtures("kind")
async def test_xray_listens_for_its_users_alone(machine: Machine) -> None:
    """Its API knows no authentication: no account of the machine shall reach it."""
    async with running(machine.files.settings()), machine.files.client() as node:
        xray = machine.xray_of(os.getpid())
        assert listening_ports(xray) == {(await node.ready()).inbound.port}
        assert machine.files.api_socket.parent.stat().st_mode & 0o077 == 0


async def test_a_stopped_service_leaves_no_xray_but_a_unit(machine: Machine, kind: str) -> None:
    async with node_process(machine.files) as service:
        xray = machine.xray_of(service.pid)
        service.terminate()
        assert await service.wait() == 0

    assert is_alive(xray) == (kind == "systemd")


async def test_a_killed_service_leaves_no_xray_but_a_unit(machine: Machine, kind: str) -> None:
    async with node_process(machine.files) as service:
        xray = machine.xray_of(service.pid)
        service.kill()
        await service.wait()

    async def gone() -> bool:
        return not is_alive(xray)

    if kind == "systemd":
        assert is_alive(xray)
    else:
        await eventually(gone)


@pytest.mark.usefixtures("kind")
async def test_a_hung_xray_is_started_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xray_api.node.keeper.RETRY_HUNG_S", 0.01)
    monkeypatch.setattr("xray_api.node.keeper.MEND_EVERY_S", 0.05)
    async with running(machine.files.settings()), machine.files.client() as node:
        xray = machine.xray_of(os.getpid())

        os.kill(xray, signal.SIGSTOP)

        await until_ready(node, restarts=1)
        assert not is_alive(xray)


@pytest.mark.usefixtures("kind")
async def test_a_dry_run_starts_no_unit_and_leaves_nothing(machine: Machine) -> None:
    assert (await check_node(machine.files.settings().node)).startswith("Xray 26.10.10")

    assert not xray_children()
    assert not machine.unit_pid


@pytest.fixture
def unit_machine(machine: Machine) -> Machine:
    machine.use("systemd")
    return machine


async def test_the_next_service_takes_over_what_runs(unit_machine: Machine, page: Page) -> None:
    """Given connected users; when the service is killed and started; then Xray never ended."""
    machine = unit_machine
    async with running(machine.files.settings()), machine.files.client() as node:
        epoch = (await node.ready()).epoch
        user, removed = uuid4(), uuid4()
        link = (await node.put(user, 1, epoch)).vless_link
        gone = (await node.put(removed, 1, epoch)).vless_link
    xray = machine.unit_pid
    assert (await probe_link(link, page.url)).ok, "paying users stay in without the service"

    async with running(machine.files.settings()), machine.files.client() as node:
        readiness = await node.ready()
        assert readiness.ready
        assert readiness.xray.restarts == 0
        assert machine.unit_pid == xray
        assert machine.calls.count("restart") == 1
        await node.remove(removed, 2, epoch)
        assert (await probe_link(link, page.url)).ok
        assert not (await probe_link(gone, page.url)).ok


async def test_a_taken_over_xray_is_watched(unit_machine: Machine) -> None:
    async with running(unit_machine.files.settings()):
        pass
    async with running(unit_machine.files.settings()), unit_machine.files.client() as node:
        os.kill(unit_machine.unit_pid, signal.SIGKILL)

        await until_ready(node, restarts=1)


async def test_a_taken_over_xray_keeps_its_own_version(unit_machine: Machine) -> None:
    """Given a newer binary since its start; then `/readyz` names the one that runs."""
    machine = unit_machine
    async with running(machine.files.settings()):
        pass
    newer = XRAY.replace("Xray 26.10.10", "Xray 27.1.1")
    machine.program.unlink()
    machine.program.write_text(newer)
    machine.program.chmod(0o755)

    async with running(machine.files.settings()), machine.files.client() as node:
        assert (await node.ready()).xray.version == "26.10.10"
        assert machine.calls.count("restart") == 1


async def test_what_a_killed_start_left_is_removed(unit_machine: Machine) -> None:
    """Given a service that was killed with the configuration written; then it stays no file."""
    async with running(unit_machine.files.settings()):
        pass
    left = UnitEngine(UNIT, unit_machine.state_dir).config_file
    left.write_text("users of yesterday")

    async with running(unit_machine.files.settings()):
        assert unit_machine.calls.count("restart") == 1
        assert not left.exists()


async def test_a_service_with_many_open_files_can_watch_xray(unit_machine: Machine) -> None:
    """`select` knows no file above 1023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    held = [os.open(os.devnull, os.O_RDONLY)]
    try:
        held += [os.dup(held[0]) for _ in range(1100)]
        async with running(unit_machine.files.settings()), unit_machine.files.client() as node:
            assert (await node.ready()).ready
    finally:
        for file in held:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_another_configuration_is_not_taken_over(unit_machine: Machine) -> None:
    machine = unit_machine
    async with running(machine.files.settings()):
        xray = machine.unit_pid
    template = json.loads(machine.files.template_file.read_text())
    template["log"]["loglevel"] = "info"
    machine.files.template_file.write_text(json.dumps(template))

    async with running(machine.files.settings()):
        assert machine.unit_pid != xray
        assert not is_alive(xray)


async def test_a_unit_that_may_not_write_is_told_of_the_folder(unit_machine: Machine) -> None:
    engine = UnitEngine(UNIT, unit_machine.state_dir)
    nowhere = unit_machine.state_dir / "nowhere" / "socket"

    with pytest.raises(XrayStartError, match=f"may it not write in {nowhere.parent}"):
        await engine.start(lambda _: {"api": {"tag": "api", "listen": str(nowhere)}}, nowhere)


async def test_what_somebody_else_started_is_not_taken_over(unit_machine: Machine) -> None:
    machine = unit_machine
    async with running(machine.files.settings()):
        xray = machine.unit_pid
    machine.change_unit(InvocationID="0" * 32)

    async with running(machine.files.settings()):
        assert machine.unit_pid != xray


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"api_port": 1, "invocation": 1}'])
async def test_a_spoilt_record_costs_a_restart(unit_machine: Machine, record: str) -> None:
    machine = unit_machine
    async with running(machine.files.settings()):
        pass
    (machine.state_dir / unit.RECORD_FILE).write_text(record)

    async with running(machine.files.settings()):
        assert machine.calls.count("restart") == 2


async def test_the_configuration_is_no_file_while_xray_runs(unit_machine: Machine) -> None:
    """It holds users: nobody shall start Xray with those of yesterday."""
    async with running(unit_machine.files.settings()), unit_machine.files.client() as node:
        user = uuid4()
        await node.put(user, 1, (await node.ready()).epoch)
        kept = unit_machine.state_dir / unit.RECORD_FILE
        assert kept.stat().st_mode & 0o077 == 0
        assert not UnitEngine(UNIT, unit_machine.state_dir).config_file.exists()
        key = json.loads(unit_machine.files.template_file.read_text())
        reality = key["inbounds"][0]["streamSettings"]["realitySettings"]
        assert reality["privateKey"] not in kept.read_text()


async def test_a_refused_configuration_is_told_and_not_tried_again(unit_machine: Machine) -> None:
    engine = UnitEngine(UNIT, unit_machine.state_dir)
    config = {"inbounds": [{"protocol": "nope"}]}

    with pytest.raises(XrayStartError, match=r"journalctl -u xray\.service") as refused:
        await engine.start(lambda _: config, unit_machine.socket)

    assert refused.value.status == RC_CONFIG_ERROR
    assert unit_machine.calls.count("restart") == 1
    assert not engine.config_file.exists()


async def test_a_unit_that_opens_no_api_is_ended(unit_machine: Machine) -> None:
    engine = UnitEngine(UNIT, unit_machine.state_dir)
    config = {"outbounds": [{"protocol": "freedom"}]}

    with pytest.raises(XrayStartError, match="did not open its API within"):
        await engine.start(lambda _: config, unit_machine.socket, timeout_s=5)

    assert not unit_machine.unit_pid


@pytest.mark.parametrize(
    ("properties", "says"),
    [
        ({"LoadState": "not-found"}, "no usable unit of this name (not-found)"),
        ({"LoadState": "masked"}, "no usable unit of this name (masked)"),
        ({"Restart": "on-failure"}, "Restart=on-failure; set Restart=no"),
        ({"exec": ["/usr/bin/xray", "run"]}, "its ExecStart must run Xray with -config /"),
        (
            {"refuse": "Failed to restart xray.service: Interactive authentication required."},
            "allow it to the service's user by a polkit rule",
        ),
        ({"refuse": "Failed to restart xray.service: Access denied"}, "polkit rule"),
        ({"refuse": "Failed to connect to bus: Host is down"}, "Host is down"),
    ],
)
async def test_a_unit_that_cannot_be_used_stops_the_start(
    unit_machine: Machine, properties: dict[str, Any], says: str
) -> None:
    unit_machine.change_unit(**properties)

    with pytest.raises(NodeStartError) as refused:
        async with running(unit_machine.files.settings()):
            pass

    assert str(refused.value).startswith("node.xray: systemd:xray.service: ")
    assert says in str(refused.value)
    assert not unit_machine.unit_pid


def test_the_units_that_we_ship_fit_the_service() -> None:
    xray, node = (_unit_file(f"tollgate-{name}.service") for name in ("xray", "node"))

    state_dir = Path("/var/lib") / node["Service"]["StateDirectory"]
    config = UnitEngine("tollgate-xray.service", state_dir).config_file
    assert xray["Service"]["ExecStart"].endswith(f" -config {config}")
    assert xray["Service"]["Restart"] == "no"
    assert xray["Service"]["ReadWritePaths"] == str(state_dir / api_socket.FOLDER)
    assert xray["Service"]["User"] == node["Service"]["User"]
    # What keeps the service from starting, as a full disk, may last longer than five tries.
    assert node["Service"]["Restart"] == "always"
    assert node["Unit"]["StartLimitIntervalSec"] == "0"


def _unit_file(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None)
    parser.read_string((SHIPPED / name).read_text())
    return parser


async def test_a_machine_without_systemd_is_told(
    unit_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/does/not/exist")

    with pytest.raises(NodeStartError, match="no systemctl here; use embedded or binary"):
        async with running(unit_machine.files.settings()):
            pass


async def test_a_systemd_that_does_not_answer_is_told(
    unit_machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "ASK_TIMEOUT_S", 0.5)
    unit_machine.change_unit(sleep_s=60)
    engine = UnitEngine(UNIT, unit_machine.state_dir)

    with pytest.raises(XrayStartError, match="no answer within"):
        await engine.start(lambda _: {}, unit_machine.socket)
    unit_machine.change_unit(sleep_s=0)


async def test_a_unit_that_systemd_does_not_stop_is_killed(unit_machine: Machine) -> None:
    """Given a hung Xray, and nobody who may stop the unit; then its process is killed."""
    async with running(unit_machine.files.settings()):
        xray = unit_machine.unit_pid
        async with asyncio.timeout(60):
            engine = UnitEngine(UNIT, unit_machine.state_dir)
            state = await engine.state()
            taken = await engine._running(state, unit_machine.socket, "")
            assert taken is not None
            unit_machine.change_unit(refuse="Access denied")
            await taken.stop()
        assert not is_alive(xray)
        unit_machine.change_unit(refuse="")

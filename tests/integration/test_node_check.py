"""`node check` finds what would stop a start, and leaves the machine as it was."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.node_fixtures import Files, fresh_files, running, xray_children
from xray_api.node.check import check_node
from xray_api.node.errors import NodeStartError


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    async with fresh_files(tmp_path / "node") as made:
        yield made


async def test_a_good_node_is_told_so_also_while_it_runs(files: Files) -> None:
    settings = files.settings()
    before = sorted(files.folder.rglob("*"))

    told = await check_node(settings.node)

    assert told.startswith("Xray 2")
    assert "tcp with reality" in told
    assert sorted(files.folder.rglob("*")) == before
    assert not xray_children()
    async with running(settings):
        assert await check_node(settings.node) == told


@pytest.mark.parametrize(
    ("status", "setting"), [(23, "node.xray_config: "), (1, "node.xray: binary:")]
)
async def test_what_only_xray_refuses_is_told(files: Files, status: int, setting: str) -> None:
    program = files.folder / "xray"
    program.write_text(f"#!/bin/sh\ncat > /dev/null\nexit {status}\n")
    program.chmod(0o755)

    with pytest.raises(NodeStartError) as told:
        await check_node(files.settings(xray=f"binary:{program}").node)

    assert str(told.value).startswith(setting)


async def test_a_folder_that_no_socket_fits_in_is_told(files: Files) -> None:
    deep = files.folder / ("d" * 90)

    with pytest.raises(NodeStartError, match=r"node\.state_dir: .* too long a path"):
        await check_node(files.settings(state_dir=deep).node)


async def test_a_wrong_key_of_the_template_is_named(files: Files) -> None:
    config = json.loads(files.template_file.read_text())
    config["inbounds"][0]["streamSettings"]["realitySettings"]["shortIds"] = ["abc"]
    files.template_file.write_text(json.dumps(config))

    with pytest.raises(NodeStartError, match="shortIds"):
        await check_node(files.settings().node)

"""No bytes make the body decoder do anything but accept them or name what is wrong."""

import asyncio
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.integration.node_fixtures import PATIENCE_S

pytestmark = pytest.mark.skipif(find_spec("atheris") is None, reason="no atheris for this Python")

#: The fuzzer takes a process over. Every request that is accepted must also survive a round trip.
PROGRAM = """
import sys
import atheris

with atheris.instrument_imports(include=["xray_api", "pydantic"]):
    from xray_api.contract import BatchRequest, PutRequest, SnapshotRequest
    from xray_api.node.http_edge import ProblemError, checked

KINDS = (PutRequest, BatchRequest, SnapshotRequest)


def decode(data):
    for kind in KINDS:
        try:
            request = checked(kind.model_validate_json, data)
        except ProblemError as error:
            problem = error.problem
            assert problem.status == 422 and problem.errors, problem
            problem.model_dump_json(exclude_none=True)
        else:
            assert kind.model_validate_json(request.model_dump_json()) == request


atheris.Setup(sys.argv, decode)
atheris.Fuzz()
"""

EPOCH, USER = "0b0e2f6c-6f8a-4c62-9a3d-3a8c4d3f2a11", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
SEEDS = (
    f'{{"gen":1,"epoch":"{EPOCH}"}}',
    f'{{"epoch":"{EPOCH}","operations":[{{"op":"put","uuid":"{USER}","gen":2}}]}}',
    f'{{"epoch":"{EPOCH}","base_digest":"00ff00ff00ff00ff","users":[{{"uuid":"{USER}","gen":3}}]}}',
    f'{{"epoch":"{EPOCH}","base_digest":null,"users":[]}}',
)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.deep)])
async def test_no_body_breaks_the_decoder(tmp_path: Path, seconds: int) -> None:
    for number, seed in enumerate(SEEDS):
        (tmp_path / f"seed-{number}").write_text(seed)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-print_final_stats=1"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(tmp_path), *options),
        f"-artifact_prefix={tmp_path}/found-",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(seconds + PATIENCE_S):
        said, _ = await process.communicate()

    text = said.decode(errors="replace")
    found = [file.read_bytes() for file in tmp_path.glob("found-*")]  # noqa: ASYNC240 - tiny
    assert process.returncode == 0, f"{found}\n{text[-3000:]}"
    print(*(line for line in text.splitlines() if "number_of_executed_units" in line))  # noqa: T201

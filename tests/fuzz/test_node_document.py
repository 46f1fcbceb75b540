"""Nothing that can be made from the node's own document, or against it, surprises the node."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.node_fixtures import PATIENCE_S, Files, fresh_files, running
from xray_api.contract import DEADLINE_HEADER
from xray_api.node import limits
from xray_api.node.openapi import document

#: Left out: `positive_data_acceptance`, as a valid wish may be stale, and a valid user unknown.
LEFT_OUT = "positive_data_acceptance"


DEADLINES = [
    parameter
    for calls in document("1")["paths"].values()
    for call in calls.values()
    for parameter in call["parameters"]
    if parameter["name"] == DEADLINE_HEADER
]


def of_few(schema: Any, epoch: UUID, users: list[str]) -> Any:
    """The document with few users and the true epoch or another: random ones would never meet.

    Without the deadline: a short one is rightly answered with 503, which counts as a find here.
    """
    if isinstance(schema, list):
        kept = (part for part in schema if part not in DEADLINES)
        return [of_few(part, epoch, users) for part in kept]
    if not isinstance(schema, dict):
        return schema
    made = {key: of_few(value, epoch, users) for key, value in schema.items()}
    if made.get("format") == "uuid" and "const" not in made:
        known = [str(epoch), str(uuid4())] if made.get("title") == "Epoch" else users
        return {"type": "string", "enum": known}
    return made


async def schemathesis(files: Files, schema: Path, examples: int) -> tuple[int, str]:
    """Its exit status and what it said, after all of its phases."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "run", str(schema), "--url", files.url),
        *("--header", f"X-API-Key: {files.api_key}", "--max-examples", str(examples)),
        *("--phases", "examples,coverage,fuzzing,stateful", "--exclude-checks", LEFT_OUT),
        *("--generation-database", "none", "--no-color", "--max-failures", "30"),
        cwd=schema.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(10 * PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace")


@pytest.mark.deep
async def test_schemathesis_finds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It guesses at the key more often than anybody may, and expects 401 each time.
    monkeypatch.setattr(limits, "GUESSES_AT_ONCE", 1_000_000)
    async with fresh_files(tmp_path / "node") as files, running(files.settings()):
        async with files.client() as client:
            epoch = (await client.ready()).epoch
        schema = tmp_path / "document.json"
        users = [str(uuid4()) for _ in range(4)]
        schema.write_text(json.dumps(of_few(document("1"), epoch, users)))

        status, said = await schemathesis(files, schema, examples=100)

    print(said[-1500:])  # noqa: T201
    assert status == 0, said[-20_000:]

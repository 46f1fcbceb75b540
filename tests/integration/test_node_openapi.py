"""The node publishes what it does: every call is in the document, and nothing else."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from tests.integration.node_fixtures import Files, fresh_files, running
from xray_api.node.openapi import document
from xray_api.node.service import Service


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    async with fresh_files(tmp_path / "node") as made, running(made.settings()):
        yield made


def routes() -> set[tuple[str, str]]:
    """What the service answers; nothing of it is needed to know."""
    nothing = cast("Any", None)
    app = Service(nothing, nothing, nothing, nothing, nothing, nothing, nothing).app()
    return {
        (route.method, re.sub(r"\{uuid:[^}]*\}", "{uuid}", _path(route.resource)))
        for route in app.router.routes()
    }


def _path(resource: Any) -> str:
    info = resource.get_info()
    if "path" in info:
        return str(info["path"])
    return str(info["formatter"])


def test_the_document_names_every_call_and_no_other() -> None:
    said = {
        (method.upper(), path) for path, calls in document("1")["paths"].items() for method in calls
    }

    assert said | {("GET", "/openapi.json")} == routes()


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if "$ref" in part else set()
        return own.union(*map(references, part.values()))
    if isinstance(part, list):
        return set().union(*map(references, part))
    return set()


def test_every_reference_leads_somewhere() -> None:
    made = document("1")

    known = {f"#/components/schemas/{name}" for name in made["components"]["schemas"]}
    assert references(made) <= known


async def test_it_is_served_to_who_has_the_key(files: Files) -> None:
    async with aiohttp.ClientSession(files.url) as session:
        async with session.get("/openapi.json") as response:
            assert response.status == 401
        headers = {"X-API-Key": files.api_key}
        async with session.get("/openapi.json", headers=headers) as response:
            assert response.status == 200
            served = await response.json()

    assert served == document(served["info"]["version"])
    limit = next(
        p for p in served["paths"]["/v1/users"]["get"]["parameters"] if p["name"] == "limit"
    )
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 10_000)


async def test_the_longest_digest_is_answered(files: Files) -> None:
    headers = {"X-API-Key": files.api_key}
    async with (
        aiohttp.ClientSession(files.url, headers=headers) as session,
        session.get("/v1/digest?buckets=65536") as response,
    ):
        assert response.content_type == "application/json"
        assert len((await response.json())["buckets"]) == 65_536

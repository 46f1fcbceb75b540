"""Batch, snapshot, digest and pages over HTTP, on a real node with a real Xray."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest

from tests.integration.node_fixtures import Page, fresh_files, running
from xray_api.digest import digest
from xray_api.probe import probe_link


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests with the right key."""
    async with (
        fresh_files(tmp_path / "node") as files,
        running(files.settings(allow_private_targets=True)),
        aiohttp.ClientSession(files.url, headers={"X-API-Key": files.api_key}) as session,
    ):
        yield session


@pytest.fixture
async def epoch(http: aiohttp.ClientSession) -> str:
    return str((await asked(http, "GET", "/readyz"))["epoch"])


async def asked(
    http: aiohttp.ClientSession, method: str, path: str, status: int = 200, **request: Any
) -> dict[str, Any]:
    """The answer's body, of the status expected."""
    async with http.request(method, path, **request) as response:
        body: dict[str, Any] = await response.json(content_type=None)
        assert response.status == status, body
        return body


def put(uuid: UUID, gen: int = 1) -> dict[str, Any]:
    return {"op": "put", "uuid": str(uuid), "gen": gen}


def delete(uuid: UUID, gen: int) -> dict[str, Any]:
    return {"op": "delete", "uuid": str(uuid), "gen": gen}


async def batch(http: aiohttp.ClientSession, epoch: str, *operations: dict[str, Any]) -> Any:
    body = {"epoch": epoch, "operations": list(operations)}
    return (await asked(http, "POST", "/v1/users:batch", json=body))["results"]


async def test_a_batch_lets_people_in_and_out(
    http: aiohttp.ClientSession, epoch: str, page: Page
) -> None:
    first, second = uuid4(), uuid4()
    await batch(http, epoch, put(second))

    results = await batch(http, epoch, put(first), delete(second, 2), put(second, 1))

    link = results[0].pop("vless_link")
    assert results == [
        {"uuid": str(first), "status": "applied", "gen": 1},
        {"uuid": str(second), "status": "applied", "gen": 2},
        {"uuid": str(second), "status": "stale", "gen": 2},
    ]
    assert (await probe_link(link, page.url)).ok
    gone = link.replace(str(first), str(second))
    assert not (await probe_link(gone, page.url, timeout_s=5)).ok


async def test_a_batch_of_another_epoch_changes_nothing(
    http: aiohttp.ClientSession, epoch: str
) -> None:
    user = uuid4()
    body = {"epoch": str(uuid4()), "operations": [put(user)]}

    problem = await asked(http, "POST", "/v1/users:batch", 412, json=body)

    assert problem["epoch"] == epoch
    await asked(http, "GET", f"/v1/users/{user}", 404)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "put", "uuid": "6f1c1c0e-0000-1000-8000-000000000000", "gen": 1},
        {"op": "move", "uuid": str(uuid4()), "gen": 1},
        {"op": "put", "uuid": str(uuid4()), "gen": 0},
        {"op": "put", "uuid": str(uuid4()), "gen": 1, "name": "Anna"},
    ],
    ids=["version 1", "unknown op", "gen 0", "unknown field"],
)
async def test_one_wrong_operation_refuses_the_batch(
    http: aiohttp.ClientSession, epoch: str, operation: dict[str, Any]
) -> None:
    user = uuid4()
    body = {"epoch": epoch, "operations": [put(user), operation]}

    problem = await asked(http, "POST", "/v1/users:batch", 422, json=body)

    assert problem["errors"][0].startswith("operations.1.")
    await asked(http, "GET", f"/v1/users/{user}", 404)


async def test_a_snapshot_is_everybody(http: aiohttp.ClientSession, epoch: str) -> None:
    kept, gone, new = uuid4(), uuid4(), uuid4()
    await batch(http, epoch, put(kept), put(gone))
    root = (await asked(http, "GET", "/v1/digest"))["root"]
    users = [{"uuid": str(user), "gen": 1} for user in (kept, new)]
    body = {"epoch": epoch, "base_digest": root, "users": users}

    done = await asked(http, "PUT", "/v1/users", json=body)

    assert done == {"added": 1, "removed": 1, "kept": 1, "stale": 0}
    listed = await asked(http, "GET", "/v1/users")
    assert {user["uuid"] for user in listed["users"]} == {str(kept), str(new)}
    problem = await asked(http, "PUT", "/v1/users", 409, json=body)
    assert problem["type"] == "digest"
    assert problem["root"] == (await asked(http, "GET", "/v1/digest"))["root"]


async def test_a_snapshot_that_removes_many_needs_their_number(
    http: aiohttp.ClientSession, epoch: str
) -> None:
    await batch(http, epoch, *(put(uuid4()) for _ in range(25)))
    body: dict[str, Any] = {"epoch": epoch, "base_digest": None, "users": []}

    problem = await asked(http, "PUT", "/v1/users", 409, json=body)
    assert (problem["type"], problem["would_remove"]) == ("shrink", 25)
    await asked(http, "PUT", "/v1/users?allow_shrink=24", 409, json=body)
    assert len((await asked(http, "GET", "/v1/users"))["users"]) == 25

    done = await asked(http, "PUT", "/v1/users?allow_shrink=25", json=body)
    assert done["removed"] == 25
    assert (await asked(http, "GET", "/v1/users"))["users"] == []


async def test_a_snapshot_names_nobody_twice(http: aiohttp.ClientSession, epoch: str) -> None:
    user = {"uuid": str(uuid4()), "gen": 1}
    body = {"epoch": epoch, "base_digest": None, "users": [user, user]}

    problem = await asked(http, "PUT", "/v1/users", 422, json=body)

    assert problem["errors"] == ["users: a uuid stands twice"]


@pytest.mark.parametrize("buckets", [1, 16, 4096])
async def test_the_digest_is_that_of_the_users(
    http: aiohttp.ClientSession, epoch: str, buckets: int
) -> None:
    users = {uuid4(): gen for gen in range(1, 6)}
    await batch(http, epoch, *(put(user, gen) for user, gen in users.items()))

    said = await asked(http, "GET", f"/v1/digest?buckets={buckets}")

    expected = digest(users.items(), buckets)
    assert (said["count"], said["root"]) == (5, expected.root)
    assert tuple(said["buckets"]) == expected.buckets
    assert said["epoch"] == epoch


@pytest.mark.parametrize("buckets", ["0", "3", "131072", "many"])
async def test_buckets_are_a_power_of_two(http: aiohttp.ClientSession, buckets: str) -> None:
    problem = await asked(http, "GET", f"/v1/digest?buckets={buckets}", 422)

    assert problem["errors"][0].startswith("buckets: ")


async def test_pages_fit_together_while_users_come_and_go(
    http: aiohttp.ClientSession, epoch: str
) -> None:
    users = sorted(uuid4() for _ in range(25))
    await batch(http, epoch, *(put(user) for user in users))

    listed: list[str] = []
    after = ""
    while True:
        part = await asked(http, "GET", f"/v1/users?limit=10{after}")
        listed += [user["uuid"] for user in part["users"]]
        if part["next"] is None:
            break
        after = f"&after={part['next']}"
        await batch(http, epoch, delete(users[-1], 2), put(uuid4()))

    assert listed == [str(user) for user in users]

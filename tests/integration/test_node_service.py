"""The HTTP API as any caller sees it: codes, problems, the key, limits, deadlines."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from pydantic import SecretStr

from tests.integration.node_fixtures import (
    Files,
    fresh_files,
    refuse_writes,
    running,
    xray_children,
)
from xray_api.client.errors import NodeUnavailable
from xray_api.contract import PROBLEM_TYPE
from xray_api.node import apply
from xray_api.node.store import Store

OTHER_KEY = "the-second-key-of-a-rotation"
IN_300_MS = {"X-Deadline-Ms": "300"}
#: Not made up anew: a part of the names of tests, which are the same in each process.
SOMEBODY = "3f1c9a52-6d2e-4b7a-9c41-0d5e8f7a6b12"


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    async with fresh_files(tmp_path / "node") as made, running(made.settings()):
        yield made


@pytest.fixture
async def http(files: Files) -> AsyncIterator[aiohttp.ClientSession]:
    """Requests with the right key."""
    async with aiohttp.ClientSession(files.url, headers={"X-API-Key": files.api_key}) as session:
        yield session


@pytest.fixture
async def epoch(http: aiohttp.ClientSession) -> str:
    async with http.get("/readyz") as response:
        assert response.status == 200
        return str((await response.json())["epoch"])


async def problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    assert response.content_type == PROBLEM_TYPE
    body: dict[str, Any] = await response.json()
    assert body["status"] == response.status
    assert {"type", "title", "detail"} <= body.keys()
    return body


async def test_health_needs_no_key(files: Files) -> None:
    async with aiohttp.ClientSession(files.url) as stranger, stranger.get("/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/readyz"),
        ("GET", "/v1/users"),
        ("GET", f"/v1/users/{SOMEBODY}"),
        ("PUT", f"/v1/users/{SOMEBODY}"),
        ("DELETE", f"/v1/users/{SOMEBODY}"),
        ("GET", "/nowhere"),
    ],
)
async def test_everything_else_needs_the_key(files: Files, method: str, path: str) -> None:
    async with aiohttp.ClientSession(files.url) as stranger:
        for headers in ({}, *({"X-API-Key": key} for key in ("", "x" * 43, "ключ"))):
            async with stranger.request(method, path, headers=headers) as response:
                assert response.status == 401
                assert (await problem(response))["type"] == "unauthorized"


async def test_the_key_is_checked_before_the_body_is_read(files: Files) -> None:
    """A stranger who announces a body and never sends it has his answer."""
    host, port = files.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"PUT /v1/users/{uuid4()} HTTP/1.1\r\nHost: n\r\nContent-Length: 99\r\n\r\n".encode()
    )

    async with asyncio.timeout(30):
        assert b" 401 " in await reader.readline()

    writer.close()
    await writer.wait_closed()


async def test_two_keys_are_valid_during_a_rotation(tmp_path: Path) -> None:
    async with fresh_files(tmp_path / "node") as made:
        keys = (*made.settings().node.api_keys, SecretStr(OTHER_KEY))
        async with (
            running(made.settings(api_keys=keys)),
            aiohttp.ClientSession(made.url) as session,
        ):
            for key in (made.api_key, OTHER_KEY):
                async with session.get("/readyz", headers={"X-API-Key": key}) as response:
                    assert response.status == 200


async def test_put_answers_with_every_field(http: aiohttp.ClientSession, epoch: str) -> None:
    user = str(uuid4())

    async with http.put(f"/v1/users/{user}", json={"gen": 1, "epoch": epoch}) as response:
        assert response.content_type == "application/json"
        body = await response.json()

    link = body.pop("vless_link")
    assert body == {"uuid": user, "gen": 1, "epoch": epoch, "created": True}
    assert link.startswith(f"vless://{user}@127.0.0.1:")
    async with http.get(f"/v1/users/{user}") as response:
        assert await response.json() == {"uuid": user, "gen": 1, "vless_link": link}
    async with http.delete(f"/v1/users/{user}", params={"gen": "2", "epoch": epoch}) as response:
        body = await response.json()
    assert body.pop("method") in {"socket", "none"}
    assert body == {"uuid": user, "gen": 2, "epoch": epoch, "removed": True}
    async with http.get("/v1/users") as response:
        assert await response.json() == {"epoch": epoch, "users": [], "next": None}


async def test_stale_and_epoch_carry_what_the_caller_needs(
    http: aiohttp.ClientSession, epoch: str
) -> None:
    path = f"/v1/users/{uuid4()}"
    async with http.put(path, json={"gen": 5, "epoch": epoch}):
        pass

    async with http.put(path, json={"gen": 4, "epoch": epoch}) as response:
        assert response.status == 409
        stale = await problem(response)
    async with http.put(path, json={"gen": 6, "epoch": str(uuid4())}) as response:
        assert response.status == 412
        other = await problem(response)

    assert (stale["type"], stale["node_gen"]) == ("stale", 5)
    assert (other["type"], other["epoch"]) == ("epoch", epoch)


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("PUT", "/v1/users/hello", {}),
        ("PUT", "/v1/users/a:b", {}),
        ("DELETE", "/v1/users/a:b", {"params": {"gen": "1", "epoch": SOMEBODY}}),
        ("GET", "/v1/users/a:disconnected", {}),
        ("POST", "/v1/users/a:b:disconnect", {}),
        ("PUT", f"/v1/users/{SOMEBODY.upper()}", {}),
        ("PUT", "/v1/users/6ba7b810-9dad-11d1-80b4-00c04fd430c8", {}),
        ("PUT", f"/v1/users/{SOMEBODY}", {"data": b""}),
        ("PUT", f"/v1/users/{SOMEBODY}", {"data": b"\xff{"}),
        ("PUT", f"/v1/users/{SOMEBODY}", {"json": {"gen": 0, "epoch": SOMEBODY}}),
        ("PUT", f"/v1/users/{SOMEBODY}", {"json": {"gen": 1, "epoch": "x"}}),
        ("PUT", f"/v1/users/{SOMEBODY}", {"json": {"gen": 1, "epoch": SOMEBODY, "a": 1}}),
        ("DELETE", f"/v1/users/{SOMEBODY}", {}),
        ("DELETE", f"/v1/users/{SOMEBODY}", {"params": {"gen": "1"}}),
        ("DELETE", f"/v1/users/{SOMEBODY}", {"params": [("gen", "1"), ("gen", "2")]}),
        ("GET", "/v1/users", {"params": {"limit": "0"}}),
        ("GET", "/v1/users", {"params": {"after": "x"}}),
        ("GET", "/v1/users", {"params": {"colour": "green"}}),
        ("GET", "/v1/users/hello", {}),
    ],
)
async def test_an_invalid_request_is_told_what_is_wrong(
    http: aiohttp.ClientSession, method: str, path: str, sent: dict[str, Any]
) -> None:
    async with http.request(method, path, **sent) as response:
        assert response.status == 422
        body = await problem(response)

    assert body["type"] == "invalid"
    assert body["errors"]


async def test_the_longest_body_is_16_kib(http: aiohttp.ClientSession) -> None:
    path = f"/v1/users/{uuid4()}"
    async with http.put(path, data=b" " * 16 * 1024) as response:
        assert response.status == 422
    async with http.put(path, data=b" " * (16 * 1024 + 1)) as response:
        assert response.status == 413
        assert (await problem(response))["type"] == "too_large"


async def test_unknown_places_and_methods_are_problems_too(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/nowhere") as response:
        assert (await problem(response))["type"] == "not_found"
    async with http.post("/v1/users") as response:
        assert (await problem(response))["type"] == "method_not_allowed"
        assert response.headers["Allow"] == "GET,PUT"
    async with http.delete(f"/v1/users/{uuid4()}:disconnect") as response:
        assert (await problem(response))["type"] == "method_not_allowed"
    async with http.get(f"/v1/users/{uuid4()}") as response:
        assert response.status == 404
        assert (await problem(response))["type"] == "not_found"


async def test_an_expectation_is_met_or_a_problem(http: aiohttp.ClientSession, epoch: str) -> None:
    path, body = f"/v1/users/{uuid4()}", {"gen": 1, "epoch": epoch}
    async with http.put(path, json=body, headers={"Expect": "a miracle"}) as response:
        assert response.status == 417
        assert (await problem(response))["type"] == "invalid"
    async with http.put(path, json=body, expect100=True) as response:
        assert response.status == 200


async def test_without_time_left_nothing_is_changed(
    http: aiohttp.ClientSession, epoch: str
) -> None:
    path, body = f"/v1/users/{uuid4()}", {"gen": 1, "epoch": epoch}
    async with http.put(path, json=body, headers={"X-Deadline-Ms": "0"}) as response:
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert (await problem(response))["type"] == "unavailable"
    async with http.get(path) as response:
        assert response.status == 404
    async with http.put(path, json=body, headers={"X-Deadline-Ms": "soon"}) as response:
        assert response.status == 422
    async with http.put(path, json=body, headers={"X-Deadline-Ms": "4000"}) as response:
        assert response.status == 200


async def test_a_writer_of_another_shape_is_no_reason_to_refuse(
    http: aiohttp.ClientSession, epoch: str
) -> None:
    body = {"gen": 1, "epoch": epoch}
    headers = {"Tollgate-Writer": "nonsense"}
    async with http.put(f"/v1/users/{uuid4()}", json=body, headers=headers) as response:
        assert response.status == 200
    async with http.get("/readyz") as response:
        assert (await response.json())["writer"] is None


async def test_readiness_tells_all_of_the_contract(http: aiohttp.ClientSession) -> None:
    async with http.get("/readyz") as response:
        body = await response.json()

    assert str(UUID(body["epoch"])) == body.pop("epoch")
    assert body.pop("inbound").keys() == {
        "tag",
        "port",
        "network",
        "security",
        "flow",
        "server_name",
        "short_id",
        "public_key",
    }
    assert body["xray"].pop("uptime_s") >= 0
    assert body["service"].pop("uptime_s") >= 0
    assert body == {
        "ready": True,
        "reasons": [],
        "xray": {"running": True, "version": "26.10.10", "restarts": 0},
        "users": {"desired": 0, "applied": 0},
        "writer": None,
        "allow_private_targets": False,
        "service": {"version": "0.1.0"},
    }


async def test_a_full_queue_is_told_and_changes_nothing(
    http: aiohttp.ClientSession, epoch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "QUEUE_LIMIT", 0)
    path = f"/v1/users/{uuid4()}"

    async with http.put(path, json={"gen": 1, "epoch": epoch}) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "1"
        assert (await problem(response))["type"] == "busy"

    async with http.get(path) as response:
        assert response.status == 404


@contextmanager
def hung_xray() -> Iterator[None]:
    """The Xray of this process lives and does not answer."""
    (pid,) = xray_children()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def assert_out_of_time(response: aiohttp.ClientResponse) -> None:
    """The caller's deadline ended it; one of the node's own would say something else."""
    assert response.status == 503
    body = await problem(response)
    assert (body["type"], body["detail"]) == ("unavailable", "there was not time enough left")


async def test_a_hung_xray_does_not_outlast_the_deadline(
    http: aiohttp.ClientSession, epoch: str
) -> None:
    body = {"gen": 1, "epoch": epoch}
    with hung_xray():
        async with http.put(f"/v1/users/{uuid4()}", json=body, headers=IN_300_MS) as response:
            await assert_out_of_time(response)
        async with http.get("/v1/users", headers=IN_300_MS) as response:
            await assert_out_of_time(response)
        async with http.get("/readyz", headers=IN_300_MS) as response:
            assert response.status == 503
            account = await response.json()

    assert account["epoch"] == epoch  # told in full, as by any node that is not ready
    assert account["reasons"] == ["Xray does not answer its API: not in the time given"]


async def test_the_wait_for_a_turn_ends_with_the_deadline(
    http: aiohttp.ClientSession, epoch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another change of the same user holds his turn; nothing is changed afterwards either."""
    user = uuid4()
    turn = asyncio.Lock()
    monkeypatch.setattr(apply.Applier, "_lock", lambda *_: turn)
    body = {"gen": 1, "epoch": epoch}
    async with (
        asyncio.timeout(30),
        turn,
        http.put(f"/v1/users/{user}", json=body, headers=IN_300_MS) as response,
    ):
        await assert_out_of_time(response)
    async with http.put(f"/v1/users/{uuid4()}", json=body) as response:
        assert response.status == 200  # its turn came after the other's

    async with http.get(f"/v1/users/{user}") as response:
        assert response.status == 404


async def test_a_body_that_stalls_is_answered(files: Files) -> None:
    host, port = files.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"PUT /v1/users/{uuid4()} HTTP/1.1\r\nHost: n\r\nX-API-Key: {files.api_key}\r\n"
        "X-Deadline-Ms: 300\r\nContent-Length: 99\r\n\r\n{".encode()
    )

    async with asyncio.timeout(30):
        assert b" 503 " in await reader.readline()

    writer.close()
    await writer.wait_closed()


async def test_a_store_that_takes_no_writes_is_told_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Store] = []
    open_store = Store.open

    async def noting(path: Path) -> Store:
        opened.append(await open_store(path))
        return opened[0]

    monkeypatch.setattr(Store, "open", noting)
    async with (
        fresh_files(tmp_path / "node") as made,
        running(made.settings()),
        made.client() as node,
    ):
        epoch = (await node.ready()).epoch
        await refuse_writes(opened[0])
        with pytest.raises(NodeUnavailable):
            await node.put(uuid4(), 1, epoch)

        (reason,) = (await node.ready()).reasons
        await refuse_writes(opened[0], refuse=False)

        assert reason.startswith("the store cannot be written: ")
        assert (await node.ready()).ready


async def test_guessing_keys_is_slowed_down_and_locks_nobody_out(
    files: Files, http: aiohttp.ClientSession
) -> None:
    statuses = []
    async with aiohttp.ClientSession(files.url, headers={"X-API-Key": "a guess"}) as stranger:
        for _ in range(40):
            async with stranger.get("/v1/users") as response:
                statuses.append(response.status)
                retry_after = response.headers.get("Retry-After")

    assert statuses[:20] == [401] * 20
    assert statuses[-1] == 429
    assert retry_after == "1"
    async with http.get("/v1/users") as response:
        assert response.status == 200, "the same address, with the right key"

"""The control socket, asked over HTTP: who may, what is answered, and how it ends."""

import asyncio
import json
import os
import pwd
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientError, ClientSession, UnixConnector

from storage.operations import OperatorRecords
from storage.rows import LetterDraft, StoryRow
from supervisors.operators import control
from supervisors.operators.control import ControlActor, listen_on
from supervisors.operators.operations import ANSWER_FIRST_S
from supervisors.operators.socket_path import CONTROL_SOCKET, LONGEST_PATH, short_path
from tests.integration.operators.stand import Stand
from tests.puppets import Gate, Note, Stage

ME = f"os:{pwd.getpwuid(os.getuid()).pw_name}"
Answer = tuple[int, Any]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A `data_dir` whose path is short enough for a socket."""
    with TemporaryDirectory(prefix="tollgate-") as path:
        yield Path(path)


@asynccontextmanager
async def serving(stand: Stand, folder: Path) -> AsyncIterator[ControlActor]:
    """The socket is there as long as the context."""
    actor, stage = ControlActor(stand.operations, folder), Stage()
    stage.play(actor, "control")
    await actor.started
    assert stage.endings == []
    try:
        yield actor
    finally:
        actor.stop()
        await actor.wait_ended()


async def ask(folder: Path, path: str, wish: Any = None, **changes: Any) -> Answer:
    """One question; a wish makes it a POST."""
    with short_path(folder) as where:
        async with ClientSession(connector=UnixConnector(where)) as session:
            method = "GET" if wish is None and not changes else "POST"
            content: dict[str, Any] = {"json": wish} if wish is not None else {}
            asked = session.request(method, f"http://control{path}", **(content | changes))
            async with asked as response:
                assert response.content_type == "application/json"
                return response.status, await response.json()


def left_in(folder: Path) -> list[str]:
    """The names of what is there."""
    return sorted(one.name for one in folder.iterdir())


@pytest.fixture
async def open_folder(stand: Stand, folder: Path) -> AsyncIterator[Path]:
    """Where the socket of the stand's operations is."""
    async with serving(stand, folder):
        yield folder


async def a_letter(stand: Stand) -> int:
    draft = LetterDraft(
        id=uuid4(),
        age_s=0,
        correlation_id=uuid4().hex,
        operation_id="op",
        actor="user/7",
        message_type="Note",
        payload={"text": "again"},
        attempts=3,
        error="Bug",
        traceback="...",
    )
    await stand.records.record([], [draft], [])
    return (await stand.records.dead_letters(1))[0].id


# Every route


async def test_the_tree(stand: Stand, open_folder: Path) -> None:
    await stand.user("7").ask(Note("x"))

    status, tree = await ask(open_folder, "/tree")

    assert (status, tree["name"], tree["state"]) == (200, "root", "running")
    assert [child["name"] for child in tree["children"]] == ["office", "policies", "users"]
    assert tree["children"][2]["children"][0]["children"][0]["name"] == "user/7"


async def test_the_tree_shows_as_many_as_are_asked_for(stand: Stand, open_folder: Path) -> None:
    for key in range(5):
        await stand.user(str(key)).ask(Note("x"))

    _, tree = await ask(open_folder, "/tree?shown=2")

    partition = tree["children"][2]["children"][0]
    assert (len(partition["children"]), partition["more"]) == (2, 3)


async def test_the_tree_has_a_bound_however_many_are_asked_for(
    stand: Stand, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "MOST_SHOWN", 3)
    for key in range(5):
        await stand.user(str(key)).ask(Note("x"))

    _, tree = await ask(open_folder, "/tree?shown=10000")

    partition = tree["children"][2]["children"][0]
    assert (len(partition["children"]), partition["more"]) == (3, 2)


async def test_a_look_inside_an_actor(stand: Stand, open_folder: Path) -> None:
    await stand.user("7").ask(Note("x"))

    status, details = await ask(open_folder, "/actor?name=user/7")

    assert (status, details["supervisor"], details["handled"]) == (200, "users/00", 1)
    assert details["state"]["api_key"] == "[redacted]"
    assert details["recent"][0]["message"] == "Note"


async def test_acts_on_an_actor(stand: Stand, open_folder: Path) -> None:
    for action in ("suspend", "resume", "restart"):
        wish = {"name": "clerk", "action": action, "reason": f"to {action}"}
        assert await ask(open_folder, "/actor", wish) == (200, {})
    stand.clock.advance(ANSWER_FIRST_S)

    await stand.until(lambda: stand.child("clerk").incarnation == 2)
    assert await stand.actions() == [
        (ME, "actor_suspend", "clerk", "to suspend"),
        (ME, "actor_resume", "clerk", "to resume"),
        (ME, "actor_restart", "clerk", "to restart"),
    ]


async def test_a_policy_from_wish_to_undo(stand: Stand, open_folder: Path) -> None:
    wish = {"key": "users.max_restarts", "value": "9"}

    status, forecast = await ask(open_folder, "/policy", {**wish, "dry_run": True})
    assert (status, forecast["old"], forecast["new"], forecast["restarts"]) == (200, 6, 9, 0)
    assert stand.board.current.users.max_restarts == 6

    status, change = await ask(open_folder, "/policy", {**wish, "revert_after_s": 900})
    assert (status, change["old"], change["new"], change["actor"]) == (200, 6, 9, ME)
    assert change["revert_at"] is not None

    status, shown = await ask(open_folder, "/policy")
    changed = [one for one in shown["policies"] if one["changed"]]
    assert [(one["key"], one["value"], one["default"]) for one in changed] == [(wish["key"], 9, 6)]

    status, undone = await ask(open_folder, "/policy/undo", {"reason": "enough"})
    assert (status, undone["undoes"], undone["new"]) == (200, change["id"], 6)

    status, history = await ask(open_folder, "/policy/history?limit=1")
    assert [one["reason"] for one in history["changes"]] == ["enough"]


async def test_an_undo_that_comes_twice_brings_nothing_back(
    stand: Stand, open_folder: Path
) -> None:
    await ask(open_folder, "/policy", {"key": "users.max_restarts", "value": "9"})
    _, undone = await ask(open_folder, "/policy/undo", {})

    status, answer = await ask(open_folder, "/policy/undo", {})

    assert (status, "name it" in answer["error"]) == (400, True), answer
    assert stand.board.current.users.max_restarts == 6
    status, _ = await ask(open_folder, "/policy/undo", {"id": undone["id"]})
    assert (status, stand.board.current.users.max_restarts) == (200, 9), "by its number it does"


async def test_an_undo_of_nothing(open_folder: Path) -> None:
    refused = await ask(open_folder, "/policy/undo", {})

    assert refused == (400, {"error": "no policy was changed yet"})


async def test_events(stand: Stand, open_folder: Path) -> None:
    await stand.operations.suspend("clerk", "tg:5", "a look")
    await stand.journal.flush(stand.records)

    status, found = await ask(open_folder, "/events?limit=10&actor=clerk")
    _, others = await ask(open_folder, "/events?actor=nobody")

    assert status == 200
    assert [(one["kind"], one["details"]) for one in found["events"]] == [
        ("suspended", {"who": "tg:5"})
    ]
    assert others == {"events": []}


async def test_letters(stand: Stand, open_folder: Path) -> None:
    kept, dropped = await a_letter(stand), await a_letter(stand)

    status, listed = await ask(open_folder, "/dead-letters?limit=1")
    assert (status, [one["id"] for one in listed["dead_letters"]]) == (200, [dropped])
    status, one = await ask(open_folder, f"/dead-letters/{kept}")
    assert (status, one["payload"]) == (200, {"text": "again"})
    decided = await ask(open_folder, f"/dead-letters/{kept}", {"action": "retry"})
    assert decided == (200, {"outcome": "sent to user/7 again"})
    decided = await ask(open_folder, f"/dead-letters/{dropped}", {"action": "drop", "reason": "x"})
    assert decided == (200, {"outcome": "dropped"})
    assert {who for who, *_ in await stand.actions()} == {ME}


# What cannot be


@pytest.mark.parametrize(
    ("path", "wish", "says"),
    [
        ("/actor?name=clark", None, "no actor clark is there now"),
        ("/actor", None, "no actor  is there now"),
        ("/actor?name=" + "x" * 7_000, None, "no actor xxx"),
        ("/actor?name=%00%1b%5B2J%0A", None, "no actor ??[2J? is there now"),
        ("/tree?shown=0", None, "shown: a number from 1 to 10000"),
        ("/tree?shown=10001", None, "shown: a number from 1 to 10000"),
        ("/tree?shown=-1", None, "shown: a number from 1 to 10000"),
        ("/tree?shown=", None, "shown: a number from 1 to 10000"),
        ("/tree?shown=%C2%B2", None, "shown: a number from 1 to 10000"),
        ("/events?limit=" + "9" * 5_000, None, "limit: a number from 1 to 1000"),
        ("/dead-letters/999999999999999999", None, "there is no dead letter 999999999999999999"),
        ("/actor", {"name": "clerk", "action": "kill"}, "action: String should match pattern"),
        ("/actor", {"action": "suspend"}, "name: Field required"),
        ("/actor", {"name": 7, "action": "suspend"}, "name: Input should be a valid string"),
        ("/actor", {"name": "x" * 201, "action": "suspend"}, "name: String should have at most"),
        ("/actor", {"name": "clerk", "action": "suspend", "who": "tg:5"}, "who: Extra inputs are"),
        ("/actor", {"name": "c", "action": "suspend", "reason": "x" * 501}, "reason: String sho"),
        ("/actor", [], "the request: Input should be"),
        ("/actor", "text", "the request: Input should be"),
        ("/policy", {"key": "users.max_restarts"}, "value: Field required"),
        (
            "/policy",
            {"key": "users.max_restarts", "value": 9},
            "value: Input should be a valid str",
        ),
        ("/policy", {"key": "users.max_restarts", "value": "-1"}, "may be whole numbers 0 to 1000"),
        (
            "/policy",
            {"key": "k", "value": "1", "revert_after_s": 0},
            "revert_after_s: Input should",
        ),
        ("/policy/undo", {"id": 2**70}, f"there is no change {2**70}"),
        ("/policy/undo", {"id": 1.5}, "id: Input should be a valid integer"),
        ("/dead-letters/1", {"action": "burn"}, "action: String should match pattern"),
        ("/dead-letters/1", {"action": "drop"}, "there is no dead letter 1"),
    ],
)
async def test_a_wish_that_cannot_be_is_refused_with_the_reason(
    stand: Stand, open_folder: Path, path: str, wish: Any, says: str
) -> None:
    status, answer = await ask(open_folder, path, wish)

    assert (status, says in answer["error"]) == (400, True), answer
    assert await stand.actions() == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b'{"name": "clerk", "action": "suspend"',
        b'{"name": "\\ud800", "action": "suspend"}',
        b"[" * 10_000,
        b"",
        b'{"key": "users.max_restarts", "value": "9", "revert_after_s": NaN}',
        b'{"key": "users.max_restarts", "value": "9", "revert_after_s": Infinity}',
        b'{"key": "users.max_restarts", "value": "9", "revert_after_s": 1e300}',
    ],
)
async def test_garbage_is_refused(stand: Stand, open_folder: Path, body: bytes) -> None:
    path = "/policy" if b"key" in body else "/actor"

    status, answer = await ask(open_folder, path, data=body)

    assert status == 400, answer
    assert await stand.actions() == []


async def test_a_body_beyond_reason_is_refused(open_folder: Path) -> None:
    status, answer = await ask(open_folder, "/actor", data=b"x" * (control.LARGEST_BODY + 1))

    assert (status, set(answer)) == (413, {"error"})


@pytest.mark.parametrize(
    ("path", "wish", "status"),
    [
        ("/", None, 404),
        ("/trees", None, 404),
        ("/dead-letters/x", None, 404),
        ("/dead-letters/-1", None, 404),
        ("/dead-letters/" + "9" * 19, None, 404),
        ("/tree", {}, 405),
    ],
)
async def test_a_path_that_is_not_there_is_json_too(
    open_folder: Path, path: str, wish: Any, status: int
) -> None:
    found, answer = await ask(open_folder, path, wish)

    assert (found, set(answer)) == (status, {"error"})


@pytest.mark.parametrize(
    ("path", "wish"),
    [
        ("/actor", {"name": "clerk", "action": "suspend"}),
        ("/policy", {"key": "users.max_restarts", "value": "9"}),
        ("/policy", {"key": "users.max_restarts", "value": "9", "dry_run": True}),
        ("/policy/undo", {"id": 1}),
        ("/events", None),
        ("/dead-letters", None),
        ("/dead-letters/1", {"action": "retry"}),
    ],
)
async def test_an_outage_is_not_now(stand: Stand, open_folder: Path, path: str, wish: Any) -> None:
    stand.database.away = True

    status, answer = await ask(open_folder, path, wish)

    assert status == 503
    assert answer["error"].startswith("not now: ")


async def test_during_an_outage_the_tree_is_shown_all_the_same(
    stand: Stand, open_folder: Path
) -> None:
    stand.database.away = True

    status, _ = await ask(open_folder, "/tree")

    assert status == 200


async def test_a_bug_is_told_without_details(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    def stumble(*_: Any) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(control, "_number", stumble)

    status, answer = await ask(open_folder, "/tree")

    assert (status, answer) == (500, {"error": "a bug; the log of the back-end says more"})
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["control_failed"]


# Who asks


async def test_who_asks_is_what_the_kernel_says(stand: Stand, open_folder: Path) -> None:
    status, _ = await ask(
        open_folder,
        "/actor?who=tg:1",
        {"name": "clerk", "action": "suspend"},
        headers={"X-Forwarded-User": "root", "From": "tg:1"},
    )

    assert status == 200
    assert [who for who, *_ in await stand.actions()] == [ME]


async def test_whoever_has_hung_up_gives_no_orders(
    stand: Stand, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody's name could be put to what would be done."""
    gone, reading = asyncio.Event(), asyncio.Event()
    read = control._body

    async def slowly(*words: Any) -> Any:
        wish = await read(*words)
        reading.set()
        await gone.wait()
        return wish

    monkeypatch.setattr(control, "_body", slowly)
    body = json.dumps({"name": "clerk", "action": "suspend"})
    _, writer = await asyncio.open_unix_connection(open_folder / CONTROL_SOCKET)
    writer.write(f"POST /actor HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
    writer.write(body.encode())
    await reading.wait()
    writer.close()
    await writer.wait_closed()
    assert (await ask(open_folder, "/tree"))[0] == 200, "by now the server knows that they left"
    gone.set()

    assert (await ask(open_folder, "/tree"))[0] == 200
    assert not stand.child("clerk").mailbox.suspended
    assert await stand.actions() == []


# The socket's file


async def test_only_this_user_can_open_it(open_folder: Path) -> None:
    found = (open_folder / CONTROL_SOCKET).stat()

    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_uid == os.getuid()


async def test_it_is_gone_after_the_end(stand: Stand, folder: Path) -> None:
    async with serving(stand, folder):
        assert (folder / CONTROL_SOCKET).exists()

    assert left_in(folder) == []


async def test_a_path_longer_than_the_kernel_takes(stand: Stand, folder: Path) -> None:
    deep = folder / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    assert len(str(deep)) > LONGEST_PATH

    async with serving(stand, deep):
        assert (await ask(deep, "/tree"))[0] == 200

    assert left_in(deep) == []


@pytest.mark.parametrize("spare", range(-6, 6))
def test_paths_around_the_kernels_limit(folder: Path, spare: int) -> None:
    """With its final zero, `control.sock.new` included."""
    name = f"{CONTROL_SOCKET}.new"
    room = LONGEST_PATH - len(str(folder)) - len(name) - 2 + spare
    deep = folder / ("d" * room)
    deep.mkdir()

    listen_on(deep).close()

    with (
        short_path(deep) as path,
        socket.socket(socket.AF_UNIX) as client,
        pytest.raises(ConnectionRefusedError),  # bound, and nobody listens any more
    ):
        client.connect(path)


async def test_what_a_killed_process_left_behind_is_replaced(stand: Stand, folder: Path) -> None:
    listen_on(folder).close()
    (folder / f"{CONTROL_SOCKET}.new").write_text("half made", encoding="utf-8")
    with pytest.raises(ClientError):
        await ask(folder, "/tree")

    async with serving(stand, folder):
        assert (await ask(folder, "/tree"))[0] == 200


async def test_the_end_of_a_life_leaves_the_socket_of_the_next_one(
    stand: Stand, folder: Path
) -> None:
    async with serving(stand, folder) as first, serving(stand, folder):
        first.stop()
        await first.wait_ended()

        assert (await ask(folder, "/tree"))[0] == 200

    assert left_in(folder) == []


async def test_without_a_folder_there_is_an_error_and_nothing_left_open(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        listen_on(folder / "absent")


# Many at once, and slow ones


async def test_many_ask_at_once(stand: Stand, open_folder: Path) -> None:
    questions = [ask(open_folder, "/tree") for _ in range(60)]
    wishes = [
        ask(open_folder, "/actor", {"name": "clerk", "action": action})
        for action in ("suspend", "resume") * 10
    ]

    answers = await asyncio.gather(*questions, *wishes)

    assert {status for status, _ in answers} == {200}
    assert len(await stand.actions()) == 20


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"GET /tree HTT",
        b"POST /actor HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
)
async def test_a_client_that_says_no_more_does_not_hold_up_the_stop(
    stand: Stand, folder: Path, words: bytes
) -> None:
    async with serving(stand, folder) as actor:
        reader, writer = await asyncio.open_unix_connection(folder / CONTROL_SOCKET)
        writer.write(words)
        await writer.drain()
        assert (await ask(folder, "/tree"))[0] == 200
        loop = asyncio.get_running_loop()
        begun = loop.time()

        actor.stop()
        await actor.wait_ended()

        # Far below the deadline of the actor's supervisor.
        assert loop.time() - begun < 2 * control.PATIENCE_S + 1
        assert b"HTTP/1.1 200" not in await reader.read()
        writer.close()
        await writer.wait_closed()


async def test_a_request_in_hand_is_answered_before_the_end(stand: Stand, folder: Path) -> None:
    """Its wish may have been to restart the control socket itself."""
    gate = Gate()

    class Held(OperatorRecords):
        """Holds the record until the test lets go."""

        async def note_action(self, *words: Any) -> None:
            await gate()
            await super().note_action(*words)

    object.__setattr__(stand.operations, "records", Held(stand.database))
    async with serving(stand, folder) as actor:
        wish = {"name": "clerk", "action": "suspend"}
        asking = asyncio.ensure_future(ask(folder, "/actor", wish))
        await gate.reached.wait()

        actor.stop()
        await stand.until(lambda: not (folder / CONTROL_SOCKET).exists())
        gate.open.set()

        assert await asking == (200, {})
    assert stand.child("clerk").mailbox.suspended


async def test_why_tells_one_persons_story_without_a_secret(stand: Stand, folder: Path) -> None:
    uuid = str(uuid4())
    row = StoryRow(
        at=datetime(2026, 11, 23, 19, 42, tzinfo=UTC),
        kind="key",
        subject="1a2b3c4d",
        event="wished",
        details={"node": "node-1", "token": "canary", "said": f"vless://{uuid}@h"},
    )

    async def stories(user_id: int) -> list[StoryRow]:
        return [row, replace(row, event="confirmed")] if user_id == 7 else []

    stand.operations = replace(stand.operations, stories=stories, story_line=lambda one: one.event)
    async with serving(stand, folder):
        status, answer = await ask(folder, "/why?user=7&limit=1")
        nobody = await ask(folder, "/why?user=8")
        wrong = await ask(folder, "/why?user=x")

    assert (status, answer["left_out"]) == (200, 1)
    assert [one["text"] for one in answer["story"]] == ["confirmed"]
    assert answer["story"][0]["at"] == "2026-11-23T19:42:00+00:00"
    assert "canary" not in json.dumps(answer)
    assert uuid not in json.dumps(answer)
    assert nobody[0] == wrong[0] == 400
    assert "8" in nobody[1]["error"]

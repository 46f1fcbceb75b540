"""What a person at a terminal types, and what comes back: words, questions asked, exit status."""

import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from supervisors.console import screen
from tests.unit.console.conftest import Backend, Tollgate, actor

CHANGE = {
    "id": 12,
    "key": "users.max_restarts",
    "old": 6,
    "new": 5,
    "actor": "os:root",
    "reason": "",
    "at": "2026-11-23T19:41:10+00:00",
    "revert_at": "2026-11-23T19:42:10+00:00",
    "undoes": None,
}
LETTER = {
    "id": 7,
    "letter_id": "6f1c0f5e-0000-4000-8000-000000000007",
    "correlation_id": "c-1",
    "operation_id": "o-1",
    "actor": "user/7",
    "message_type": "CreditPayment",
    "payload": {"amount": 150},
    "attempts": 3,
    "error": "KeyError",
    "traceback": 'Traceback:\n  File "actor.py"\x1b[2J\nKeyError',
    "state": "waiting",
    "created_at": "2026-11-23T19:42:10+00:00",
    "decided_at": None,
    "decided_by": None,
}
EVENT = {
    "id": "6f1c0f5e-0000-4000-8000-000000000008",
    "at": "2026-11-23T19:42:10+00:00",
    "kind": "restarting",
    "supervisor": "users/07",
    "actor": "user/7",
    "incarnation": 2,
    "reason": "",
    "details": {"delay_s": 0.1, "exceeded": False},
    "correlation_id": "c-1",
}
POLICIES = [
    {"key": "root.window_s", "value": 300.0, "default": 300.0, "bounds": "above 0 to 86400"},
    {"key": "users.max_restarts", "value": 5, "default": 6, "bounds": "whole numbers 0 to 1000"},
]
DETAILS = {
    "view": asdict(actor("user/7", last_error="KeyError in a.py:1 during Buy", last_error_s=4.0)),
    "supervisor": "users/07",
    "state": {"user_id": 7, "link": "***"},
    "handled": 1_200,
    "failed": 2,
    "mean_s": 0.012,
    "longest_s": 1.2,
    "recent": [
        {
            "message": "OpenPurchase",
            "correlation_id": "c-1",
            "at": 3.0,
            "waited_s": 0.001,
            "took_s": 0.012,
            "outcome": "PurchaseOpened",
        }
    ],
}
TREE = asdict(actor("root", actor("journal")))


# Tree


def test_tree_draws_what_the_back_end_tells(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /tree", TREE)

    ended = tollgate("tree")

    assert ended.code == 0
    assert ended.out.splitlines() == [
        "ACTOR       STATE    RESTARTS  INBOX  OLDEST  NOW",
        "root        running       0/5",
        "└─ journal  running       0/5",
        "2 actors: all well",
    ]
    assert backend.asked == [("GET", "/tree", {"shown": "20"})]


def test_tree_all_asks_for_more(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /tree", TREE)

    assert tollgate("tree", "--all", "500").code == 0
    assert backend.asked == [("GET", "/tree", {"shown": "500"})]


def test_without_a_back_end_one_line_says_what_to_do(tollgate: Tollgate, data_dir: Path) -> None:
    ended = tollgate("tree")

    assert ended.code == 1
    assert ended.out == ""
    assert ended.err == (
        f"tollgate: no back-end runs on {data_dir};"
        " start it with: tollgate run (or tollgate demo)\n"
    )


def test_watch_goes_on_while_the_back_end_starts_anew(backend: Backend, tollgate: Tollgate) -> None:
    answers = iter([(200, TREE), (503, {"error": "not now"}), (200, TREE)])

    async def one_after_the_other(_: web.Request) -> web.Response:
        status, content = next(answers)
        return web.json_response(content, status=status)

    backend.answers["GET /tree"] = one_after_the_other

    ended = tollgate("tree", "--watch", "--interval", "0.1", "--count", "3")

    assert ended.code == 0
    assert ended.out.splitlines()[3:6] == [
        "2 actors: all well",
        "tollgate: not now",
        "ACTOR       STATE    RESTARTS  INBOX  OLDEST  NOW",
    ]


def test_watch_waits_for_a_back_end_that_is_not_there(tollgate: Tollgate) -> None:
    ended = tollgate("tree", "--watch", "--count", "1")

    assert ended.code == 0
    assert ended.out.startswith("tollgate: no back-end runs on")


def test_watch_as_json_is_a_line_for_each_drawing(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /tree", TREE)

    ended = tollgate("tree", "--watch", "--count", "2", "--interval", "0.1", "--json")

    assert [json.loads(line)["name"] for line in ended.out.splitlines()] == ["root", "root"]


def test_ctrl_c_ends_watching_and_gives_the_terminal_back(backend: Backend) -> None:
    backend.answer("GET /tree", TREE)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "supervisors.cli", "tree", "--watch"],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env={
            **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
            "TOLLGATE_DATA_DIR": str(backend.folder),
        },
        # Who runs the tests in the background of a shell lets its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as watching:
        os.close(theirs)
        seen = b""
        while b"all well" not in seen:
            seen += os.read(ours, 4_096)
        watching.send_signal(signal.SIGINT)
        while screen.CLOSE.encode() not in seen:
            seen += os.read(ours, 4_096)
        assert watching.wait(30) == 0
    os.close(ours)
    assert seen.startswith(screen.OPEN.encode())
    assert seen.endswith(screen.CLOSE.encode())
    assert b"\x1b[1mACTOR" in seen


def test_a_tree_higher_than_the_terminal_does_not_scroll_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    monkeypatch.setenv("LINES", "4")

    async def picture() -> list[str]:
        return [f"line {number}" for number in range(9)]

    screen.watch(picture, every_s=0.1, count=1)

    drawn = capsys.readouterr().out
    assert "line 2" in drawn
    assert "line 3" not in drawn
    assert "… 6 more lines in a taller window" in drawn


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colours_are_for_terminals_whose_owner_likes_them(
    monkeypatch: pytest.MonkeyPatch, no_color: str, coloured: bool
) -> None:
    monkeypatch.setattr(screen, "is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", no_color)

    assert screen.in_colour() is coloured


# Policies


@pytest.mark.parametrize("words", [(), ("show",)])
def test_policy_shows_what_was_changed(
    backend: Backend, tollgate: Tollgate, words: tuple[str, ...]
) -> None:
    backend.answer("GET /policy", {"policies": POLICIES})

    assert tollgate("policy", *words).out.splitlines() == [
        "KEY                 VALUE  CHANGED         MAY BE",
        "root.window_s         300                  above 0 to 86400",
        "users.max_restarts      5  changed from 6  whole numbers 0 to 1000",
    ]


def test_policy_takes_the_beginning_of_a_name(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /policy", {"policies": POLICIES})

    shown = json.loads(tollgate("policy", "users", "--json").out)
    none = tollgate("policy", "show", "nobody")

    assert shown == {"policies": POLICIES[1:]}
    assert none.code == 1
    assert none.err == "tollgate: no policy's name begins with nobody; see: tollgate policy\n"


def test_policy_set_tells_until_when_and_how_to_undo(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("POST /policy", CHANGE)

    ended = tollgate(
        "policy", "set", "users.max_restarts", "5", "--for", "60s", "--reason", "a storm"
    )

    assert ended.out.splitlines() == [
        "users.max_restarts: 6 -> 5, until 19:42:10 UTC (taken back by itself)",
        "Undo: tollgate policy undo 12",
    ]
    wish = {
        "key": "users.max_restarts",
        "value": "5",
        "reason": "a storm",
        "revert_after_s": 60.0,
        "dry_run": False,
    }
    assert backend.asked == [("POST", "/policy", wish)]


def test_policy_set_for_good_names_no_end(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("POST /policy", {**CHANGE, "revert_at": None})

    ended = tollgate("policy", "set", "users.max_restarts", "5")

    assert ended.out.splitlines()[0] == "users.max_restarts: 6 -> 5"


@pytest.mark.parametrize("span", ["soon", "31d", "0"])
def test_a_span_that_is_none_is_a_wrong_use(
    backend: Backend, tollgate: Tollgate, span: str
) -> None:
    ended = tollgate("policy", "set", "users.max_restarts", "5", "--for", span)

    assert ended.code == 2
    assert "--for" in ended.err
    assert backend.asked == []


def test_a_refusal_is_a_failure_in_the_back_ends_words(
    backend: Backend, tollgate: Tollgate
) -> None:
    backend.answer("POST /policy", {"error": "users.max_restarts: x is out of bounds"}, 400)

    ended = tollgate("policy", "set", "users.max_restarts", "x")

    assert ended.code == 1
    assert ended.err == "tollgate: users.max_restarts: x is out of bounds\n"


def test_a_dry_run_tells_what_would_have_been(backend: Backend, tollgate: Tollgate) -> None:
    forecast = {
        "key": "users.max_restarts",
        "old": 6,
        "new": 2,
        "within_s": 3_600.0,
        "restarts": 14,
        "actors": 3,
        "too_many_before": 0,
        "too_many_after": 1,
    }
    backend.answer("POST /policy", forecast)

    ended = tollgate("policy", "set", "users.max_restarts", "2", "--dry-run")

    assert ended.out.splitlines() == [
        "users.max_restarts: 6 -> 2 (nothing is changed)",
        "In the last 1h: 14 restarts of 3 actors;",
        "too many 0 times as it is, 1 time as it would be.",
    ]
    assert backend.asked[0][2]["dry_run"] is True


@pytest.mark.parametrize(("words", "number"), [((), None), (("12",), 12)])
def test_policy_undo_takes_the_newest_change_or_a_named_one(
    backend: Backend, tollgate: Tollgate, words: tuple[str, ...], number: int | None
) -> None:
    undone = {**CHANGE, "id": 13, "old": 5, "new": 6, "revert_at": None, "undoes": 12}
    backend.answer("POST /policy/undo", undone)

    ended = tollgate("policy", "undo", *words)

    assert ended.out.splitlines()[0] == "users.max_restarts: 5 -> 6 (change 12 is undone)"
    assert backend.asked == [("POST", "/policy/undo", {"id": number, "reason": ""})]


def test_policy_history_tells_who_and_why(backend: Backend, tollgate: Tollgate) -> None:
    undone = {**CHANGE, "id": 13, "old": 5, "new": None, "revert_at": None, "undoes": 12}
    backend.answer("GET /policy/history", {"changes": [undone, {**CHANGE, "reason": "a storm"}]})

    lines = tollgate("policy", "history", "--limit", "2").out.splitlines()

    assert lines[1].endswith("5 -> the file's value  os:root  undoes 12")
    assert lines[2].endswith("6 -> 5                 os:root  until 19:42:10 UTC; a storm")
    assert backend.asked == [("GET", "/policy/history", {"limit": "2"})]


# One actor


@pytest.mark.parametrize("words", [("user/7",), ("show", "user/7")])
def test_actor_looks_inside(backend: Backend, tollgate: Tollgate, words: tuple[str, ...]) -> None:
    backend.answer("GET /actor", DETAILS)
    backend.answer("GET /events", {"events": [EVENT]})

    assert tollgate("actor", *words).out.splitlines() == [
        "user/7 (SomeActor) of users/07: running, life 1",
        "  restarts 0/5; inbox 0; handled 1,200, failed 2; mean 12ms, longest 1.2s",
        "  4s ago: KeyError in a.py:1 during Buy",
        "",
        "State",
        "  user_id: 7",
        "  link: ***",
        "",
        "Last messages",
        "  WHEN    MESSAGE       WAITED  TOOK  OUTCOME         JOURNEY",
        "  3s ago  OpenPurchase     1ms  12ms  PurchaseOpened  c-1",
        "",
        "Events",
        "  AT                       WHAT        ACTOR   LIFE  WHY",
        "  2026-11-23 19:42:10 UTC  restarting  user/7     2  delay_s=0.1 journey=c-1",
    ]
    assert backend.asked == [
        ("GET", "/actor", {"name": "user/7"}),
        ("GET", "/events", {"limit": "10", "actor": "user/7"}),
    ]


def test_an_actor_can_be_seen_while_the_database_is_away(
    backend: Backend, tollgate: Tollgate
) -> None:
    backend.answer("GET /actor", {**DETAILS, "recent": [], "mean_s": None, "state": {}})
    backend.answer("GET /events", {"error": "not now"}, 503)

    lines = tollgate("actor", "user/7").out.splitlines()
    as_json = json.loads(tollgate("actor", "user/7", "--json").out)

    assert lines[-2:] == ["Events", "  cannot be read now"]
    assert as_json["events"] is None
    assert as_json["handled"] == 1_200


@pytest.mark.parametrize(
    ("words", "wish", "told"),
    [
        (
            ("suspend", "user/7", "--reason", "a look"),
            {"action": "suspend", "reason": "a look", "at_once": False},
            "user/7 takes no messages. Let them through: tollgate actor resume user/7",
        ),
        (
            ("resume", "user/7"),
            {"action": "resume", "reason": "", "at_once": False},
            "user/7 takes messages again.",
        ),
        (
            ("restart", "user/7"),
            {"action": "restart", "reason": "", "at_once": False},
            "user/7 starts anew, after its message in hand.",
        ),
        (
            ("restart", "user/7", "--now"),
            {"action": "restart", "reason": "", "at_once": True},
            "user/7 starts anew.",
        ),
    ],
    ids=["suspend", "resume", "restart", "restart-now"],
)
def test_actor_does_what_it_is_told(
    backend: Backend,
    tollgate: Tollgate,
    words: tuple[str, ...],
    wish: dict[str, Any],
    told: str,
) -> None:
    ended = tollgate("actor", *words)

    assert (ended.code, ended.out) == (0, told + "\n")
    assert backend.asked == [("POST", "/actor", {"name": "user/7", **wish})]


@pytest.mark.parametrize(
    "words", [("actor",), ("actor", "suspnd", "user/7"), ("policy", "set", "a"), ("trees",)]
)
def test_a_wrong_use_ends_with_2(tollgate: Tollgate, words: tuple[str, ...]) -> None:
    assert tollgate(*words).code == 2


# Messages that were set aside, and events


@pytest.mark.parametrize("words", [(), ("list",)])
def test_dead_letters_are_listed(
    backend: Backend, tollgate: Tollgate, words: tuple[str, ...]
) -> None:
    backend.answer("GET /dead-letters", {"dead_letters": [LETTER]})

    assert tollgate("dead-letters", *words).out.splitlines() == [
        "ID  AT                       STATE    ACTOR   MESSAGE        TRIED  ERROR",
        " 7  2026-11-23 19:42:10 UTC  waiting  user/7  CreditPayment      3  KeyError",
    ]


def test_a_dead_letter_is_shown_whole(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /dead-letters/7", LETTER)

    assert tollgate("dead-letters", "show", "7").out.splitlines() == [
        "7: CreditPayment to user/7, waiting",
        "  set aside 2026-11-23 19:42:10 UTC after 3 attempts: KeyError",
        "  operation o-1, journey c-1",
        "  Try it again: tollgate dead-letters retry 7",
        "  Give it up:   tollgate dead-letters drop 7",
        "",
        "Message",
        "  amount: 150",
        "",
        "Traceback",
        "  Traceback:",
        '    File "actor.py"[2J',
        "  KeyError",
    ]


def test_a_decided_dead_letter_tells_who_decided(backend: Backend, tollgate: Tollgate) -> None:
    decided = {"state": "dropped", "decided_by": "os:root", "decided_at": LETTER["created_at"]}
    backend.answer("GET /dead-letters/7", {**LETTER, **decided, "payload": None})

    lines = tollgate("dead-letters", "show", "7").out.splitlines()

    assert "  dropped by os:root, 2026-11-23 19:42:10 UTC" in lines
    assert "  not kept: it cannot be sent again by itself" in lines


def test_of_an_update_that_was_set_aside_nothing_says_it_is_lost(
    backend: Backend, tollgate: Tollgate
) -> None:
    backend.answer("GET /dead-letters/7", {**LETTER, "message_type": "update", "payload": None})

    lines = tollgate("dead-letters", "show", "7").out.splitlines()

    assert "  Try it again: tollgate dead-letters retry 7" in lines
    assert "  an update: the inbox keeps it, and tries it again whole" in lines


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_a_dead_letter_is_decided_about(backend: Backend, tollgate: Tollgate, action: str) -> None:
    backend.answer("POST /dead-letters/7", {"outcome": "sent to user/7 again"})

    ended = tollgate("dead-letters", action, "7", "--reason", "mended")

    assert ended.out == "Dead letter 7: sent to user/7 again\n"
    assert backend.asked == [("POST", "/dead-letters/7", {"action": action, "reason": "mended"})]


def test_an_outcome_without_words_is_not_understood(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("POST /dead-letters/7", [])

    ended = tollgate("dead-letters", "drop", "7")

    assert ended.code == 1
    assert "same version" in ended.err


def test_events_of_one_actor(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /events", {"events": [EVENT]})

    ended = tollgate("events", "--actor", "user/7", "--limit", "3")

    assert ended.out.splitlines() == [
        "AT                       WHAT        ACTOR   LIFE  WHY",
        "2026-11-23 19:42:10 UTC  restarting  user/7     2  delay_s=0.1 journey=c-1",
    ]
    assert backend.asked == [("GET", "/events", {"limit": "3", "actor": "user/7"})]


@pytest.mark.parametrize(
    ("words", "question", "content", "told"),
    [
        (("events",), "GET /events", {"events": []}, "Nothing happened."),
        (
            ("dead-letters",),
            "GET /dead-letters",
            {"dead_letters": []},
            "No message was set aside.",
        ),
        (
            ("policy", "history"),
            "GET /policy/history",
            {"changes": []},
            "Nothing has been changed.",
        ),
    ],
    ids=["events", "dead-letters", "history"],
)
def test_nothing_is_told_in_words_and_as_json(
    backend: Backend,
    tollgate: Tollgate,
    words: tuple[str, ...],
    question: str,
    content: Any,
    told: str,
) -> None:
    backend.answer(question, content)

    assert tollgate(*words).out == told + "\n"
    assert json.loads(tollgate(*words, "--json").out) == content


# The command as a whole


def test_json_holds_nothing_that_a_terminal_obeys(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /dead-letters/7", LETTER)

    out = tollgate("dead-letters", "show", "7", "--json").out

    assert "\x1b" not in out
    assert json.loads(out) == LETTER


def test_settings_of_the_back_end_are_not_needed_but_data_dir(
    tollgate: Tollgate, tmp_path: Path
) -> None:
    file = tmp_path / "tollgate.toml"
    file.write_text('data_dir = "elsewhere"\n[telegram]\ntoken = 5\n', encoding="utf-8")

    ended = tollgate("--config", str(file), "tree")

    assert ended.err.startswith(f"tollgate: no back-end runs on {tmp_path / 'elsewhere'};")


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, supervisors.cli;"
        "heavy = {'aiogram', 'aiohttp', 'asyncpg', 'grpc', 'pykka', 'supervisors.wiring'};"
        "print(sorted(heavy & set(sys.modules)))"
    )

    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


STORY = [
    {"at": "2026-11-23T19:42:10+00:00", "text": "Paid 150 stars", "kind": "payment"},
    {"at": "2026-11-23T19:42:11+00:00", "text": "Access works\x1b[2J", "kind": "key"},
]


def test_why_tells_the_story_in_order(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /why", {"story": STORY, "left_out": 1})

    ended = tollgate("why", "77", "--limit", "2")

    assert ended.out.splitlines() == [
        "User 77, oldest first:",
        "(1 earlier moment left out)",
        "2026-11-23 19:42:10 UTC  Paid 150 stars",
        "2026-11-23 19:42:11 UTC  Access works[2J",
    ]
    assert backend.asked == [("GET", "/why", {"user": "77", "limit": "2"})]


def test_why_as_json_is_what_the_back_end_tells(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /why", {"story": STORY, "left_out": 0})

    assert json.loads(tollgate("why", "77", "--json").out) == {"story": STORY, "left_out": 0}


def test_why_of_nobody_is_a_failure_in_one_line(backend: Backend, tollgate: Tollgate) -> None:
    backend.answer("GET /why", {"error": "nobody with the Telegram id 7"}, status=400)

    ended = tollgate("why", "7")

    assert (ended.code, ended.out) == (1, "")
    assert "nobody with the Telegram id 7" in ended.err


def test_acts_tell_who_did_what_to_whom(backend: Backend, tollgate: Tollgate) -> None:
    act = {
        "id": 3,
        "at": "2026-11-23T19:42:10+00:00",
        "actor": "os:root",
        "action": "grant",
        "target": "77",
        "reason": "sorry",
        "details": {},
    }
    backend.answer("GET /acts", {"acts": [act]})

    assert tollgate("acts").out.splitlines() == [
        "ID  AT                       BY       DID    TO  WHY",
        " 3  2026-11-23 19:42:10 UTC  os:root  grant  77  sorry",
    ]

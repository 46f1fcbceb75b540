"""Logs tell what happened and no secret, whoever logs and wherever the secret hides."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any, Literal
from uuid import UUID

import pytest
import structlog

from config.logging import REDACTED, configure_logging, redact

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
ID = "deadbeef-0000-4000-8000-00000000c0de"
LINK = f"vless://{ID}@node.example:443?security=reality&pbk=key#name"


class Output:
    """What the logger wrote to standard error."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    def configure(self, style: Literal["people", "machines"] | None) -> None:
        """Configure a logger that writes here."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", self.stream)
            configure_logging(style)

    def text(self) -> str:
        """All of it."""
        return self.stream.getvalue()

    def event(self) -> dict[str, Any]:
        """The one event, as machines read it."""
        [line] = self.text().splitlines()
        event: dict[str, Any] = json.loads(line)
        return event


@pytest.fixture
def output() -> Iterator[Output]:
    """Log for machines, and put everything back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    output = Output()
    output.configure("machines")
    yield output
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_has_a_name_a_level_and_a_time(output: Output) -> None:
    structlog.get_logger().info("purchase_opened", plan="month")

    event = output.event()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", event.pop("timestamp"))
    assert event == {"event": "purchase_opened", "level": "info", "plan": "month"}


def test_context_goes_with_every_event_unless_it_says_nothing(output: Output) -> None:
    structlog.contextvars.bind_contextvars(actor="clerk", correlation_id="", operation_id="")

    structlog.get_logger().info("done")

    event = output.event()
    assert event["actor"] == "clerk"
    assert not {"correlation_id", "operation_id"} & set(event)


def test_debug_events_are_left_out(output: Output) -> None:
    structlog.get_logger().debug("detail")

    assert output.text() == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (TOKEN, REDACTED),
        (f"token is {TOKEN}.", f"token is {REDACTED}."),
        (
            f"https://api.telegram.org/bot{TOKEN}/sendMessage",
            f"https://api.telegram.org/bot{REDACTED}/sendMessage",
        ),
        (
            f"https://api.telegram.org/file/bot{TOKEN}/a.jpg",
            f"https://api.telegram.org/file/bot{REDACTED}/a.jpg",
        ),
        (LINK, REDACTED),
        (LINK.upper(), REDACTED),
        (f"<a href='{LINK}'> and more", f"<a href='{REDACTED} and more"),
        ("postgresql://user:secret@host/d", f"postgresql://{REDACTED}@host/d"),
        ("postgresql://user:se@cret@host/d", f"postgresql://{REDACTED}@host/d"),
        (f"uuid {ID} removed", "uuid deadbeef removed"),
        (ID.upper(), "DEADBEEF"),
        (f"apply_{ID}_now", "apply_deadbeef_now"),
        ("deadbeef-0000-7000-0000-00000000c0de", "deadbeef"),
        ("https://host:8443/path", "https://host:8443/path"),
        ("at 12:30:00 of 2026", "at 12:30:00 of 2026"),
    ],
)
def test_secrets_are_known_by_their_shape(output: Output, text: str, shown: str) -> None:
    structlog.get_logger().info(text, text=text)

    event = output.event()

    assert (event["event"], event["text"]) == (shown, shown)


@pytest.mark.parametrize(
    "key", ["token", "bot_token", "api_key", "API_KEYS", "password", "secret", "link", "private"]
)
def test_secrets_are_known_by_their_key(output: Output, key: str) -> None:
    structlog.get_logger().info("seen", **{key: "canary"})

    assert output.event()[key] == REDACTED


@pytest.mark.parametrize("key", ["uuid", "uuids", "user_uuid", "UUID"])
def test_a_uuid_is_cut_by_its_key_whatever_its_shape(output: Output, key: str) -> None:
    structlog.get_logger().info("seen", **{key: ID.replace("-", "")})

    assert output.event()[key] == "deadbeef"


@pytest.mark.parametrize("key", ["linked", "plan", "uuid_prefix"])
def test_other_keys_are_left_alone(output: Output, key: str) -> None:
    structlog.get_logger().info("seen", **{key: "value"})

    assert output.event()[key] == "value"


def test_secrets_are_found_at_any_depth(output: Output) -> None:
    structlog.get_logger().info(
        "seen",
        payload={"user": {"token": "canary"}, "rows": [{"text": TOKEN}, (LINK,)]},
    )

    event = output.event()

    assert event["payload"] == {
        "user": {"token": REDACTED},
        "rows": [{"text": REDACTED}, [REDACTED]],
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7, 7),
        (0.5, 0.5),
        (True, True),
        (None, None),
        ({7: "seven"}, {"7": "seven"}),
        (UUID(ID), "deadbeef"),
        (ValueError(TOKEN), REDACTED),
        ({LINK}, f"{{'{REDACTED}"),
        (b"bytes", "b'bytes'"),
    ],
    ids=repr,
)
def test_any_value_can_be_logged(output: Output, value: object, shown: object) -> None:
    structlog.get_logger().info("seen", value=value)

    assert output.event()["value"] == shown


def boom() -> None:
    """Fail with secrets in the message and below it."""
    below = ValueError(f"cannot reach https://api.telegram.org/bot{TOKEN}/getMe")
    raise RuntimeError(f"no answer for {LINK}") from below


def test_a_traceback_is_there_and_its_secrets_are_not(output: Output) -> None:
    try:
        boom()
    except RuntimeError:
        structlog.get_logger().exception("failed")

    traceback = output.event()["exception"]

    assert "in boom" in traceback
    assert f"RuntimeError: no answer for {REDACTED}" in traceback
    assert TOKEN not in traceback
    assert ID not in traceback


def test_people_read_a_traceback_without_secrets_too(output: Output) -> None:
    output.configure("people")
    try:
        boom()
    except RuntimeError:
        structlog.get_logger().exception("failed", token=TOKEN)

    text = output.text()

    assert "in boom" in text
    assert REDACTED in text
    assert TOKEN not in text
    assert ID not in text


@pytest.mark.parametrize(("terminal", "style"), [(True, "people"), (False, "machines")])
def test_a_terminal_shows_lines_for_people_and_anything_else_gets_json(
    output: Output, monkeypatch: pytest.MonkeyPatch, terminal: bool, style: str
) -> None:
    monkeypatch.setattr(output.stream, "isatty", lambda: terminal)
    output.configure(None)

    structlog.get_logger().info("started")

    assert output.text().startswith("{") is (style == "machines")


def test_what_libraries_warn_of_goes_the_same_way(output: Output) -> None:
    logging.getLogger("library").warning("calling https://h/bot%s/getMe", TOKEN)

    event = output.event()

    assert event["event"] == f"calling https://h/bot{REDACTED}/getMe"
    assert event["level"] == "warning"


def test_a_librarys_traceback_is_there_and_its_secrets_are_not(output: Output) -> None:
    try:
        boom()
    except RuntimeError:
        logging.getLogger("library").exception("100% failed")

    text = output.text()

    assert "in boom" in text
    assert "100% failed" in text
    assert TOKEN not in text


def test_what_libraries_tell_besides_is_left_out(output: Output) -> None:
    logging.getLogger("library").info("chatter")
    logging.getLogger("aiogram.event").error("told by the inbox, with its fate")

    assert output.text() == ""


def test_a_librarys_wrong_log_call_does_not_fail_there(
    output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)

    logging.getLogger("library").warning("%d items", "many")

    assert output.text() == ""


def test_redacting_leaves_the_original_alone() -> None:
    event = {"token": "canary", "rows": [TOKEN]}

    redact(None, "", event)

    assert event == {"token": "canary", "rows": [TOKEN]}

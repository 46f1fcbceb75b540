"""Only this machine's own clients and the page itself may talk to the sandbox."""

import pytest

from bot.sandbox.guard import LOOPBACK_NAMES, is_local

OURS = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("127.0.0.1:8080", None),  # a client library
        ("localhost:8080", None),
        ("[::1]:8080", None),
        ("127.0.0.1:8080", OURS),  # the page
    ],
)
def test_local_requests_pass(host: str, origin: str | None) -> None:
    assert is_local(host, origin, LOOPBACK_NAMES)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8080", None),  # DNS rebinding
        ("evil.example:8080", "http://evil.example:8080"),
        ("127.0.0.1.evil.example", None),
        ("127.0.0.1@evil.example", None),
        ("127.0.0.1:8080", "http://evil.example"),  # another page
        ("127.0.0.1:8080", "http://127.0.0.1:9090"),  # another server on this machine
        ("127.0.0.1:8080", "http://localhost:8080"),
        ("127.0.0.1:8080", "null"),  # a file or a sandboxed frame
        ("[", None),
        ("[evil]:8080", None),
        ("", None),
        (None, None),
    ],
)
def test_foreign_requests_are_refused(host: str | None, origin: str | None) -> None:
    assert not is_local(host, origin, LOOPBACK_NAMES)


def test_a_name_given_by_the_operator_passes() -> None:
    assert is_local(
        "demo.internal:80", "http://demo.internal:80", LOOPBACK_NAMES | {"demo.internal"}
    )

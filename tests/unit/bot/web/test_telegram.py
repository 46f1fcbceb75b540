"""Who is Telegram, and what is an update."""

import pytest

from bot.web.telegram import SECRET_HEADER, is_telegram, update_in


@pytest.mark.parametrize(
    "shown", ["", "secreT", "secret ", "s\xe9cret", "\ud83d", "☃", "secretsecret"]
)
def test_whoever_does_not_know_the_secret_is_not_telegram(shown: str) -> None:
    assert not is_telegram({SECRET_HEADER: shown}, "secret")


def test_whoever_knows_the_secret_is_telegram() -> None:
    assert is_telegram({SECRET_HEADER: "secret"}, "secret")
    assert not is_telegram({}, "secret")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"null",
        b"{}",
        b"\xff",
        b'{"update_id": "1"}',
        b'{"update_id": 1.5}',
        b'{"update_id": true}',
        b"[" * 200_000,
    ],
    ids=lambda body: body[:20].decode(errors="replace"),
)
def test_anything_else_is_no_update(body: bytes) -> None:
    assert update_in(body) is None


def test_an_update_has_a_number() -> None:
    assert update_in(b'{"update_id": 1}') == {"update_id": 1}

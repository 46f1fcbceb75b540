"""Whose word counts for an address, and how often an address may be refused."""

from ipaddress import ip_network

import pytest

from bot.web.callers import MOST_CALLERS, REFUSALS, WINDOW_S, Refusals, caller_of

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("", ["198.51.100.1"], "unknown"),
    ],
)
def test_only_a_trusted_proxy_s_word_counts(peer: str, forwarded: list[str], caller: str) -> None:
    assert caller_of(peer, forwarded, PROXIES) == caller


def test_nobody_is_believed_when_no_proxy_is_trusted() -> None:
    assert caller_of("127.0.0.1", ["198.51.100.1"], []) == "127.0.0.1"


def test_an_address_may_be_refused_so_often_in_a_while() -> None:
    refusals = Refusals()
    for _ in range(REFUSALS):
        assert not refusals.too_many("a", 0.0)
        refusals.note("a", 0.0)

    assert refusals.too_many("a", WINDOW_S - 1)
    assert not refusals.too_many("a", WINDOW_S)
    assert not refusals.too_many("b", 0.0)


def test_a_crowd_of_addresses_takes_no_more_memory_than_is_meant() -> None:
    refusals = Refusals()
    for _ in range(REFUSALS):
        refusals.note("first", 0.0)
    for number in range(MOST_CALLERS):
        refusals.note(f"{number}", 0.0)

    assert not refusals.too_many("first", 0.0)

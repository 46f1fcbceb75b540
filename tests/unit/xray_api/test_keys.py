"""Keys: accepted in clear or hashed, compared all, refused in every other shape."""

import base64

import pytest

from xray_api.node.keys import ApiKeys, hashed, new_api_key, new_private_key, new_short_id
from xray_api.node.links import public_key

FIRST, SECOND = new_api_key(), new_api_key()


@pytest.mark.parametrize("configured", [[FIRST, SECOND], [hashed(FIRST), hashed(SECOND)]])
def test_both_keys_are_valid_during_a_rotation(configured: list[str]) -> None:
    keys = ApiKeys(configured)

    assert keys.accept(FIRST)
    assert keys.accept(SECOND)


@pytest.mark.parametrize(
    "given",
    ["", "x", FIRST[:-1], FIRST + "x", FIRST.swapcase(), "ключ", "\udcff", hashed(FIRST)],
    # Keys differ in each process; the names of tests must not.
    ids=["empty", "one letter", "shorter", "longer", "other case", "words", "half a pair", "hash"],
)
def test_another_key_is_refused(given: str) -> None:
    assert not ApiKeys([hashed(FIRST), SECOND]).accept(given)


def test_a_hash_does_not_hold_the_key() -> None:
    assert FIRST not in hashed(FIRST)


def test_new_keys_differ_and_have_full_length() -> None:
    assert new_api_key() != new_api_key()
    assert len(base64.urlsafe_b64decode(new_api_key() + "=")) == 32
    assert new_private_key() != new_private_key()
    assert len(public_key(new_private_key())) == 43
    assert len(bytes.fromhex(new_short_id())) == 8

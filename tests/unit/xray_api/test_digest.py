"""Two sides that have the same users have the same digest; a difference shows in its bucket."""

from hashlib import blake2b
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xray_api.contract import MAX_GEN
from xray_api.digest import bucket_of, digest

USERS = st.dictionaries(st.uuids(version=4), st.integers(0, MAX_GEN), max_size=20)
BUCKETS = st.sampled_from([1, 2, 16, 4096, 65_536])


@given(USERS, BUCKETS, st.randoms(use_true_random=False))
def test_the_order_of_users_does_not_matter(
    users: dict[UUID, int], buckets: int, random: Random
) -> None:
    shuffled = list(users.items())
    random.shuffle(shuffled)

    assert digest(users.items(), buckets) == digest(shuffled, buckets)


@given(USERS.filter(bool), BUCKETS)
def test_another_generation_shows_in_the_bucket_of_its_user_and_in_the_root(
    users: dict[UUID, int], buckets: int
) -> None:
    changed = next(iter(users))
    other = users | {changed: (users[changed] + 1) % MAX_GEN}

    before, after = digest(users.items(), buckets), digest(other.items(), buckets)

    differ = [n for n in range(buckets) if before.buckets[n] != after.buckets[n]]
    assert differ == [bucket_of(changed, buckets)]
    assert before.root != after.root


@given(USERS, BUCKETS)
def test_the_root_is_the_xor_of_the_buckets(users: dict[UUID, int], buckets: int) -> None:
    made = digest(users.items(), buckets)

    total = 0
    for bucket in made.buckets:
        total ^= int(bucket, 16)
    assert int(made.root, 16) == total
    assert (made.count, len(made.buckets)) == (len(users), buckets)


def test_one_user_is_the_hash_that_the_contract_names() -> None:
    user = uuid4()
    content = user.bytes + (7).to_bytes(8, "big")

    assert digest([(user, 7)], 1).root == blake2b(content, digest_size=8).hexdigest()


@pytest.mark.parametrize(
    ("leading", "buckets", "bucket"),
    [("0", 16, 0), ("f", 16, 15), ("8", 2, 1), ("7", 2, 0), ("abc", 4096, 0xABC), ("f", 1, 0)],
)
def test_a_bucket_is_the_leading_bits(leading: str, buckets: int, bucket: int) -> None:
    assert bucket_of(UUID(leading.ljust(32, "0")), buckets) == bucket


def test_nobody_is_zeros() -> None:
    assert digest([], 2) == digest({}.items(), 2)
    assert digest([], 2).buckets == ("0" * 16, "0" * 16)

"""Pure: a set of users in short, equal on both sides if and only if the sets are (2^-64 apart).

Per bucket, the leading bits of the uuid, the XOR of BLAKE2b-64 over uuid and generation; the
order of users does not matter, and buckets that differ tell where to look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from hashlib import blake2b
from operator import xor
from struct import Struct, unpack
from uuid import UUID

_DIGEST_BYTES = 8
HEX_DIGITS = 2 * _DIGEST_BYTES
#: What is hashed of a user, and the part of it that leads to the bucket.
_WHOLE, _LEADING = Struct(">24s"), Struct(">I20x")
USER_BYTES = _WHOLE.size


def user_digest(uuid: UUID, gen: int) -> int:
    """BLAKE2b-64 over the 16 bytes of the uuid and `gen` as unsigned 64-bit big-endian."""
    content = uuid.bytes + gen.to_bytes(8, "big")
    return int.from_bytes(blake2b(content, digest_size=_DIGEST_BYTES).digest(), "big")


def bucket_of(uuid: UUID, buckets: int) -> int:
    """The bucket of a uuid: its leading bits; `buckets` is a power of two."""
    return uuid.int >> (128 - (buckets.bit_length() - 1))


class DigestSum:
    """A digest that is made step by step, of sets too large to hold."""

    def __init__(self, buckets: int) -> None:
        self._shift = 32 - (buckets.bit_length() - 1)
        self.count, self.sums = 0, [0] * buckets

    def add(self, users: bytes) -> None:
        """More users, 24 bytes each: the uuid, and the generation as unsigned 64-bit big-endian."""
        sums, shift, number = self.sums, self._shift, int.from_bytes
        parts = zip(_WHOLE.iter_unpack(users), _LEADING.iter_unpack(users), strict=True)
        for (content,), (leading,) in parts:
            one = blake2b(content, digest_size=_DIGEST_BYTES).digest()
            sums[leading >> shift] ^= number(one, "big")
        self.count += len(users) // USER_BYTES

    @property
    def root(self) -> str:
        """The XOR of all."""
        return _hex(reduce(xor, self.sums))

    def differing(self, buckets: Sequence[str]) -> list[int]:
        """Numbers of the buckets in which another digest is not the same."""
        pairs = enumerate(zip(numbers(buckets), self.sums, strict=True))
        return [n for n, (theirs, ours) in pairs if theirs != ours]


@dataclass(frozen=True, slots=True)
class Digest:
    """What `GET /v1/digest` says about a set of users."""

    count: int
    root: str
    buckets: tuple[str, ...]


def digest(users: Iterable[tuple[UUID, int]], buckets: int) -> Digest:
    """The digest of users with their generations; `buckets` is a power of two."""
    count, root, sums = 0, 0, [0] * buckets
    for uuid, gen in users:
        one = user_digest(uuid, gen)
        sums[bucket_of(uuid, buckets)] ^= one
        root ^= one
        count += 1
    return Digest(count, _hex(root), tuple(map(_hex, sums)))


def numbers(texts: Sequence[str]) -> tuple[int, ...]:
    """What digests of 16 hexadecimal digits stand for; all at once, as there are 65,536 of them."""
    return unpack(f">{len(texts)}Q", bytes.fromhex("".join(texts)))


def _hex(value: int) -> str:
    return format(value, f"0{HEX_DIGITS}x")

"""API keys, compared in constant time, and REALITY keys, made from the system's randomness."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_HASHED = "sha256:"


def new_api_key() -> str:
    """A key for callers: 256 random bits."""
    return secrets.token_urlsafe(32)


def hashed(api_key: str) -> str:
    """The key as the node keeps it; one round is enough for a random key."""
    return _HASHED + hashlib.sha256(api_key.encode()).hexdigest()


def new_private_key() -> str:
    """A REALITY private key, in unpadded base64url as Xray wants it."""
    raw = X25519PrivateKey.generate().private_bytes_raw()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def new_short_id() -> str:
    """A REALITY short id of full length."""
    return secrets.token_hex(8)


class ApiKeys:
    """The keys that callers may use; two during a rotation."""

    def __init__(self, configured: Iterable[str]) -> None:
        """Take keys in clear or as `sha256:<hex>`."""
        self._digests: tuple[bytes, ...] = ()
        self.replace(configured)

    def replace(self, configured: Iterable[str]) -> None:
        """From now on these keys, and no others."""
        kept = (key if key.startswith(_HASHED) else hashed(key) for key in configured)
        self._digests = tuple(bytes.fromhex(key.removeprefix(_HASHED)) for key in kept)

    @property
    def ids(self) -> list[str]:
        """What stands for the keys in a log: the first digits of their hashes."""
        return [digest.hex()[:8] for digest in self._digests]

    def accept(self, given: str) -> bool:
        """Whether a caller's key is one of them; the time taken does not tell which."""
        digest = hashlib.sha256(given.encode(errors="surrogateescape")).digest()
        # All are compared before any is looked at: no early exit.
        matches = [hmac.compare_digest(digest, kept) for kept in self._digests]
        return any(matches)

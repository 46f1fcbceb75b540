"""One master secret, a separate key for each use: no key made here serves two purposes."""

import base64
import contextlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from config.loading import SettingsError

KEY_BYTES = 32
FILE_NAME = "security.keys"


class MasterKeys:
    """Master secrets, current first; older ones still open what they closed."""

    def __init__(self, secrets_: Sequence[SecretStr]) -> None:
        if not secrets_:
            raise ValueError("at least one master secret is needed")
        self._secrets = tuple(secrets_)

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """32-byte keys for one purpose, in the order of the master secrets."""
        return tuple(
            HKDF(
                algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"tollgate {purpose}".encode()
            ).derive(secret.get_secret_value().encode())
            for secret in self._secrets
        )

    def fingerprints(self) -> tuple[str, ...]:
        """What tells the master secrets apart without telling them, in their order."""
        return tuple(key.hex()[:16] for key in self.derive("fingerprint"))

    def __repr__(self) -> str:
        return f"MasterKeys({len(self._secrets)})"


def master_keys(configured: Sequence[SecretStr], data_dir: Path) -> MasterKeys:
    """The configured secrets, or the ones in `data_dir`, made there at the first start.

    Raises:
        SettingsError: the file is there and cannot be used.
    """
    return MasterKeys(configured or _keys_of(data_dir / FILE_NAME))


def keys_there(configured: Sequence[SecretStr], data_dir: Path) -> MasterKeys | None:
    """The same for whoever only looks: None where a start would make them.

    Raises:
        SettingsError: the file is there and cannot be used.
    """
    file = data_dir / FILE_NAME
    found = configured or _read(file)
    return None if found is None else MasterKeys(found)


def _keys_of(file: Path) -> list[SecretStr]:
    try:
        if not file.exists():
            _write_private(file, base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
    except OSError as error:
        raise _unusable(file, error) from None
    found = _read(file)
    if found is None:
        raise SettingsError([f"security.keys: {file} was taken away"])
    return found


def _read(file: Path) -> list[SecretStr] | None:
    try:
        lines = file.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(file, error) from None
    except UnicodeDecodeError:
        raise SettingsError([f"security.keys: {file} is not text"]) from None
    if not lines:
        raise SettingsError(
            [f"security.keys: {file} is empty; restore it from a backup: stored links need it"]
        )
    return [SecretStr(line) for line in lines]


def _unusable(file: Path, error: OSError) -> SettingsError:
    return SettingsError([f"security.keys: {file} cannot be used: {error.strerror}"])


def _write_private(file: Path, content: bytes) -> None:
    """Write a file whole or not at all, readable by its owner alone from its first byte."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f"{file.name}.") as draft:
        draft.write(content)
        draft.flush()
        os.fsync(draft.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, file)  # a rename would replace a key that another start made

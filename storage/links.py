"""Links are stored encrypted: a dump of the database lets nobody in."""

import base64

from cryptography.fernet import Fernet, MultiFernet

from config.keys import MasterKeys

PURPOSE = "link encryption"


class LinkCipher:
    """Encrypts with the current master key, opens with any."""

    def __init__(self, keys: MasterKeys) -> None:
        self._fernet = MultiFernet(
            [Fernet(base64.urlsafe_b64encode(key)) for key in keys.derive(PURPOSE)]
        )

    def close(self, link: str) -> bytes:
        """The stored form of a link."""
        return self._fernet.encrypt(link.encode())

    def open(self, stored: bytes) -> str:
        """The link of a stored form.

        Raises:
            cryptography.fernet.InvalidToken: closed with a key that is not configured any more.
        """
        return self._fernet.decrypt(stored).decode()

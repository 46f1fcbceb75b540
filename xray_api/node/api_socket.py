"""Where Xray's own API listens: a socket in a folder that only the service's user may enter.

That API knows no authentication. Whoever reaches it reads the private key and lets users in.
"""

import os
import secrets
from pathlib import Path

FOLDER = "api"
#: The longest path of a socket on Linux, in bytes: unix(7), without the closing zero.
LONGEST_PATH = 107
_NAME_BYTES = 3


def refusal(state_dir: Path) -> str:
    """Why Xray could not listen below a folder; empty if it can."""
    path = state_dir.absolute() / FOLDER / ("0" * 2 * _NAME_BYTES)
    if (excess := len(os.fsencode(path)) - LONGEST_PATH) > 0:
        return f"{state_dir}: {excess} bytes too long a path for the socket of Xray's API"
    if "," in str(path):
        return f"{state_dir}: Xray takes no comma in the path of its API's socket"
    return ""


def fresh_socket(state_dir: Path) -> Path:
    """A path for the next Xray; what former ones left is removed.

    Never the same one: Xray refuses to start where a killed one left its socket, and waits
    without a word where another one listens (measured).

    Raises:
        OSError: the folder cannot be made, or not kept from others.
    """
    folder = state_dir.absolute() / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for left in folder.iterdir():
        left.unlink(missing_ok=True)
    return folder / secrets.token_hex(_NAME_BYTES)

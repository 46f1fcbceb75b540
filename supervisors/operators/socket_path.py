"""Where the control socket lies, and a name for it that the kernel takes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: In `data_dir`.
CONTROL_SOCKET = "control.sock"
#: The kernel's limit for a unix socket's path, its final zero included, bytes.
LONGEST_PATH = 108


@contextmanager
def short_path(folder: Path, name: str = CONTROL_SOCKET) -> Iterator[str]:
    """A path that can be bound or connected to while the context lasts, however deep `folder` is.

    Raises:
        OSError: there is no such folder.
    """
    path = str(folder / name)
    if len(os.fsencode(path)) < LONGEST_PATH:
        yield path
        return
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)

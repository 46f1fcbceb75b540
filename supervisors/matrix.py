"""`tollgate matrix`: hands over to the failure tests of the checkout that this program runs from.

They are no part of the installed program, which imports nothing of them: the process becomes
theirs, and with it the exit status and what Ctrl-C does.
"""

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

CHECKOUT = Path(__file__).resolve().parents[1]
RUNNER = "tests.failures"
#: What the tests need and the program does not.
NEEDED = ("pytest",)


class MatrixError(Exception):
    """There is nothing to run here; the text is for the person who typed the command."""


def become_matrix(arguments: Sequence[str], checkout: Path = CHECKOUT) -> NoReturn:
    """Run the failure matrix in place of this process; paths in the arguments are absolute.

    Raises:
        MatrixError: there are no tests beside the packages, or they cannot run.
    """
    if not (checkout / RUNNER.replace(".", "/") / "__main__.py").is_file():
        raise MatrixError(
            "The failure matrix is part of a checkout, and this program was installed without one: "
            "clone the repository, then `make install-dev` and `.venv/bin/tollgate matrix` there."
        )
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MatrixError(
            f"The failure matrix needs {', '.join(missing)}: `make install-dev` in {checkout}."
        )
    os.chdir(checkout)
    os.execv(sys.executable, [sys.executable, "-m", RUNNER, *arguments])  # noqa: S606 - no shell

"""Becomes Xray, so that no Xray outlives its node: `child.py PARENT_PID [BINARY ARGUMENT...]`.

With a binary it turns into that; without one it runs the wheel on the configuration from
standard input. Run as a file, it imports nothing of ours, so that it starts fast.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(parent: int, binary: list[str]) -> None:
    """Never returns: Xray's exit is the process's exit."""
    os.setsid()  # Ctrl-C in a terminal is for the node, which then stops Xray in order
    if sys.platform == "linux":
        # Also holds after execv. The signal follows the parent's thread that started us.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    if binary:
        try:
            os.execv(binary[0], binary)  # noqa: S606 - the operator's own program, and no shell
        except OSError as error:
            sys.exit(f"{binary[0]}: {error.strerror}")
    from xray import startFromJSON  # noqa: PLC0415 - only here is the wheel needed

    # Last and on the main thread: it never returns, and elsewhere it would miss SIGTERM.
    startFromJSON(sys.stdin.read())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

"""Become another program that dies with its parent.

Run as ``python -I -S launch.py PARENT_PID COMMAND...``. On Linux the kernel is told to kill this process when its
parent dies (the setting survives ``exec``), so that a supervisor killed with -9 leaves no orphan. A program of its own
rather than a hook between fork and exec, since such a hook may deadlock when the parent has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the command; exit 1 if the parent is gone already."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])

"""Become another program that dies with its parent.

Run as ``python -I -S launch.py PARENT_PID NICENESS COMMAND...``. On Linux the kernel is told to kill this process when
its parent dies (the setting survives ``exec``), so that a supervisor killed with -9 leaves no orphan. A program of its
own rather than a hook between fork and exec, since such a hook may deadlock when the parent has threads.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
TRIES = 8


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the command; exit 1 if the parent is gone already."""
    parent, niceness, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)
    if niceness:
        os.nice(niceness)
        _be_nice_as_a_session(niceness)
    os.execvp(command[0], command)  # noqa: S606 - no shell is wanted


def _be_nice_as_a_session(niceness: int) -> None:
    """Linux may share the cores out by session, and then only this says what one is worth."""
    for _ in range(TRIES):
        try:
            Path("/proc/self/autogroup").write_text(str(niceness))
        except BlockingIOError:  # it lets one session at a time say so, ten times a second
            time.sleep(0.11)
        except OSError:
            return
        else:
            return


if __name__ == "__main__":
    main(sys.argv[1:])

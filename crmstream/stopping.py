"""Ends a process on SIGTERM and Ctrl-C, also one that waits for something that does not answer.

A process that is asked to stop finishes its epoch first. One that waits for a dead store cannot: it ends without its
last snapshot, which is what a crash does. The next start resumes from the snapshot before and repeats the rest.
"""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from typing import Final

from contracts.outages import stores_waited_for

LOOK_SECONDS: Final = 0.1
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger(__name__)


class StopFlag:
    """True once the process was asked to stop. Make it in the main thread.

    From then on a thread ends the process when it waits for a store, or after ``most_seconds``. It learns of signals
    by itself, for Python runs handlers in the main thread only, and not while that waits in a library.
    """

    def __init__(
        self, most_seconds: float, leave: Callable[[int], object] = os._exit, asked: threading.Event | None = None
    ):
        self.asked = asked or threading.Event()
        self._most_seconds = most_seconds
        self._leave = leave
        self._signals, awake = socket.socketpair()
        awake.setblocking(False)
        self._awake = awake  # kept open
        for number in SIGNALS:
            signal.signal(number, lambda _number, _frame: self.asked.set())
        signal.set_wakeup_fd(awake.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="stopping", daemon=True).start()

    def __call__(self) -> bool:
        """Whether the process was asked to stop."""
        return self.asked.is_set()

    def _watch(self) -> None:
        while not self.asked.is_set():
            if set(self._signals.recv(64)) & set(SIGNALS):
                self.asked.set()
        end_when_stuck(self._most_seconds, self._leave)


def end_when_stuck(most_seconds: float, leave: Callable[[int], object]) -> None:
    """Return only by leaving: when this process waits for a store, or after ``most_seconds``."""
    deadline = time.monotonic() + most_seconds
    while not (stores := stores_waited_for()) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    why = f"{' and '.join(stores)} not answering" if stores else f"not done after {most_seconds:g} s"
    log.warning("stopping at once, without a last snapshot (%s): the next start resumes from the one before", why)
    leave(0)

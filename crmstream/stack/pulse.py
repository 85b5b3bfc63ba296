"""How the answers of one process add up to its state. Pure: it is handed what was seen and when."""

import threading
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MISSES = 3
"""Missed answers in a row before a process counts as silent, however long each took."""
MOST_GAP_SECONDS = 10.0
"""The most silence that one missed answer adds: a supervisor that slept itself must not blame its children."""


class State(StrEnum):
    """The state of a process."""

    DOWN = "down"
    """It does not run."""
    STARTING = "starting"
    """It runs and has not answered yet."""
    UP = "up"
    SILENT = "silent"
    """It answered before and does not any more."""
    FROZEN = "frozen"
    """It is silent for so long that it is killed and started again."""


@dataclass(frozen=True)
class Patience:
    """How long a process may be silent, in seconds.

    A restart needs a minute of silence: no garbage collection and no busy machine takes so long. A start may take five
    minutes: after a crash Kafka checks its log, and Redis and ClickHouse load their data.
    """

    tell_seconds: float = 10.0
    restart_seconds: float = 60.0
    start_seconds: float = 300.0


PATIENCE = Patience()


class Pulse:
    """The answers of one process. It may be used by several threads."""

    def __init__(self, patience: Patience = PATIENCE):
        self.patience = patience
        self._lock = threading.Lock()
        self._pid: int | None = None
        self._begin(None)

    def _begin(self, pid: int | None) -> None:
        self._pid, self._answered = pid, False
        self._misses, self._silent_seconds = 0, 0.0
        self._since: datetime | None = None

    def note(self, pid: int, answered: bool, asked_at: datetime, seconds: float) -> None:
        """Note one answer, or that it did not come.

        Args:
            pid: the process that was asked. Another one than before begins anew.
            answered: whether it answered.
            asked_at: when it was asked.
            seconds: how long ago the question before this one was settled.

        """
        with self._lock:
            if pid != self._pid:
                self._begin(pid)
            if answered:
                self._begin(pid)
                self._answered = True
                return
            self._misses += 1
            self._silent_seconds += min(seconds, MOST_GAP_SECONDS)
            self._since = self._since or asked_at

    @property
    def since(self) -> datetime | None:
        """When the first question was asked that was not answered, or None."""
        return self._since

    def state(self, pid: int | None) -> State:
        """Return the state of the process that runs now (None: none does)."""
        with self._lock:
            if pid is None:
                return State.DOWN
            if pid != self._pid or not self._answered:
                too_long = pid == self._pid and self._silent_seconds >= self.patience.start_seconds
                return State.FROZEN if too_long else State.STARTING
            if self._misses < MISSES or self._silent_seconds < self.patience.tell_seconds:
                return State.UP
            return State.FROZEN if self._silent_seconds >= self.patience.restart_seconds else State.SILENT

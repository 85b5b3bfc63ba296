"""When a process that died is started again. Pure: it is handed the time."""

from collections import deque

MAX_RESTARTS = 5
RESTART_WINDOW_SECONDS = 300.0
FIRST_WAIT_SECONDS = 0.5


class RestartPolicy:
    """Restart at most five times in five minutes; each wait is twice as long as the one before."""

    def __init__(self) -> None:
        self._deaths: deque[float] = deque()

    def next_start(self, now: float) -> float | None:
        """Note a death at ``now`` (seconds of a monotonic clock); return when to start again, or None to give up."""
        while self._deaths and now - self._deaths[0] > RESTART_WINDOW_SECONDS:
            self._deaths.popleft()
        self._deaths.append(now)
        if len(self._deaths) > MAX_RESTARTS:
            return None
        return now + FIRST_WAIT_SECONDS * 2.0 ** (len(self._deaths) - 1)

"""How the heartbeat shows that it lives: it touches a file in each of its rounds."""

import contextlib
import time
from pathlib import Path
from threading import Event

BEAT_FILE = "heartbeat.alive"
_TOUCH_SECONDS = 1.0


class BeatingEvent(Event):
    """A stop event that touches the file whenever it is looked at, at most once a second."""

    def __init__(self, path: Path):
        super().__init__()
        self._path = path
        self._touched_at = float("-inf")

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        self._touch()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the stop, at most ``timeout`` seconds."""
        self._touch()
        return super().wait(timeout)

    def _touch(self) -> None:
        now = time.monotonic()
        if now - self._touched_at >= _TOUCH_SECONDS:
            self._touched_at = now
            with contextlib.suppress(OSError):
                self._path.touch()

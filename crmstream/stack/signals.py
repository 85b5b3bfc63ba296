"""Stop signals of a supervisor: the first one asks for a stop, the others must not break it."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignals:
    """Turns the first stop signal into a KeyboardInterrupt and swallows the others, so that nothing breaks a stop."""

    def __init__(self) -> None:
        self._previous: dict[int, object] = {}
        self._ignoring = False

    def install(self) -> None:
        """Take the signals over, if this is the main thread."""
        self._ignoring = False
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}

    def restore(self) -> None:
        """Give the signals back to who had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}

    @contextlib.contextmanager
    def ignored(self) -> Iterator[None]:
        """Swallow signals for a while."""
        before, self._ignoring = self._ignoring, True
        try:
            yield
        finally:
            self._ignoring = before

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self._ignoring:
            self._ignoring = True
            raise KeyboardInterrupt

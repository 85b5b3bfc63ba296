"""Restart servers that died. They keep their port and data; whoever uses them waits or is restarted afterwards."""

import time
from collections.abc import Callable

from contracts.errors import StackError
from crmstream.stack.disk import DiskWatch
from crmstream.stack.logs import speaks_of_a_full_disk
from crmstream.stack.parts import ServerPart
from crmstream.stack.pulse import Pulse, State
from crmstream.stack.restarts import MAX_RESTARTS, RESTART_WINDOW_SECONDS, RestartPolicy

FULL_DISK_WAIT_SECONDS = 10.0
"""How long a server waits that found the disk full while its limit says that there is room."""


class ServerKeeper:
    """Keeps one server running. ``poll`` must be called regularly, from the main thread."""

    def __init__(self, part: ServerPart, pulse: Pulse, disk: DiskWatch, on_event: Callable[[str], None]):
        self.part = part
        self._pulse = pulse
        self._disk = disk
        self._on_event = on_event
        self._policy = RestartPolicy()
        self._start_at: float | None = None
        self._restarted = False

    @property
    def ready(self) -> bool:
        """Whether the server runs and answers, as far as is known."""
        return self._start_at is None and self._pulse.state(self._live_pid) in {State.UP, State.SILENT}

    @property
    def _live_pid(self) -> int | None:
        return self.part.process.pid if self.part.process.alive else None

    def poll(self) -> None:
        """Start the server again if it died.

        Raises:
            StackError: it dies again and again; the message says which, and has the end of its log.

        """
        if self._start_at is not None:
            if time.monotonic() >= self._start_at and not self._disk.full:
                self._start()
        elif not self.part.process.alive:
            self._bury()
        elif self._restarted and self.ready:
            self._restarted = False
            self._on_event(f"{self.part.title} is back")

    def _start(self) -> None:
        self._start_at, self._restarted = None, True
        try:
            self.part.start()
        except OSError as error:
            raise StackError(f"{self.part.title} cannot be started: {error}", part=self.part.name) from error

    def _bury(self) -> None:
        now, process = time.monotonic(), self.part.process
        if self._disk.full or speaks_of_a_full_disk(process.log_tail()):
            self._start_at = now + (0.0 if self._disk.full else FULL_DISK_WAIT_SECONDS)
            self._on_event(
                f"{self.part.title} ended because the disk is full; it is started again when there is room: "
                f"{self._disk.state.text}"
            )
            return
        self._start_at = self._policy.next_start(now)
        if self._start_at is None:
            raise StackError(
                f"{self.part.title} died {MAX_RESTARTS + 1} times within {RESTART_WINDOW_SECONDS:g} s: "
                f"{process.death_message()}",
                part=self.part.name,
            )
        self._on_event(
            f"{self.part.title} {process.how_it_ended()}: starting it again in {self._start_at - now:g} s. "
            f"Its log is {process.log_path}"
        )

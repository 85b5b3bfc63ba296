"""What a worker notices of the others while the dataflow runs: that one has gone, is silent, or stops.

Bytewax ends with a panic when a connection breaks, and not at all when a host vanishes without closing it, or when the
link between two hosts is cut. Here each two workers exchange a sign of life every second; when one has gone all end,
and start again together.
"""

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from crmstream.cluster.messages import Closed, Connection
from crmstream.stack.dataflow import COMPANION_GONE

MOST_SILENT_SECONDS: Final = 20.0
SIGNS: Final = 20
"""How many signs of life fit into the longest silence."""
log = logging.getLogger(__name__)


def stop_this_process() -> None:
    """Ask this process to stop, as its supervisor would: so it also ends where the stop hangs."""
    os.kill(os.getpid(), signal.SIGTERM)


class Companions:
    """The other workers, over the connections of the meeting.

    ``asked`` is set when this process was asked to stop; ``stop`` asks it to. ``leave`` ends it at once.
    """

    def __init__(
        self,
        connections: Mapping[int, Connection],
        asked: threading.Event,
        stop: Callable[[], object] = stop_this_process,
        leave: Callable[[int], object] = os._exit,
        most_silent: float = MOST_SILENT_SECONDS,
    ):
        self._connections = dict(connections)
        self._asked = asked
        self._stop = stop
        self._leave = leave
        self._most_silent = most_silent
        self._beat = most_silent / SIGNS
        self._heard_at = dict.fromkeys(connections, time.monotonic())
        self.stopped_by_other = False
        """Whether this process stops because another one does."""
        self.lost = threading.Event()
        """Set when one has gone."""

    def watch(self) -> None:
        """Look after the others in the background from now on."""
        threading.Thread(target=self._watch, name="companions", daemon=True).start()

    def _watch(self) -> None:
        while not self._asked.wait(self._beat / 10) and self._look():
            pass
        if self._asked.is_set():
            self._send({"stop": True})
            return
        self.lost.set()
        self._leave(COMPANION_GONE)

    def _look(self) -> bool:
        """Hear all and give a sign of life; return False when one has gone."""
        deadline = time.monotonic() + self._beat
        self._send({"alive": True})
        while time.monotonic() < deadline and not self._asked.is_set():
            for index, connection in self._heard(self._beat / 10).items():
                try:
                    messages = connection.receive()
                except Closed:
                    return self._asked.is_set() or self._miss(index, connection, "has gone")
                if messages:
                    self._heard_at[index] = time.monotonic()
                if any(message.get("stop") for message in messages) and not self._asked.is_set():
                    log.info("worker %d (%s) stops: this one does too", index, connection.place)
                    self.stopped_by_other = True
                    self._stop()
                    self._asked.wait(self._most_silent)
        return all(
            time.monotonic() - heard_at <= self._most_silent
            or self._miss(index, self._connections[index], f"is silent for {self._most_silent:g} s")
            for index, heard_at in self._heard_at.items()
        )

    def _heard(self, seconds: float) -> Mapping[int, Connection]:
        """Return the connections that have something to hear, or have broken, within some seconds."""
        try:
            heard = select.select(list(self._connections.values()), [], [], seconds)[0]
        except (OSError, ValueError):
            return self._connections  # one of them was closed here
        return {index: connection for index, connection in self._connections.items() if connection in heard}

    def _miss(self, index: int, connection: Connection, what: str) -> bool:
        log.critical("worker %d (%s) %s: ending, to start again with it", index, connection.place, what)
        return False

    def _send(self, message: dict[str, object]) -> None:
        for connection in self._connections.values():
            try:
                connection.send(message)
            except Closed:
                continue  # it is heard there

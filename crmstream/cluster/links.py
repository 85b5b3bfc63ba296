"""The connections of a worker with all others but worker 0, made during the meeting.

Each worker connects to those with a lower number, so a firewall needs no more rules than for the dataflow. A link that
is cut would otherwise be noticed only by the two workers that it connects, and by these only much later.
"""

import socket
import time
from typing import Final

from crmstream.cluster.addresses import place_of
from crmstream.cluster.members import AGAIN_SECONDS, SILENT_SECONDS, TELL_SECONDS, Strangers, Worker
from crmstream.cluster.messages import Closed, Connection, Message

CONNECT_SECONDS: Final = 1.0


class Links:
    """The links of one meeting, which has a ``mark``: who does not know it is sent away."""

    def __init__(self, worker: Worker, mark: str):
        self._worker, self._mark = worker, mark
        count = len(worker.addresses)
        self._lower = range(1, worker.index)
        self._higher = range(worker.index + 1, count)
        self._listener: socket.socket | None = None
        self._listens = bool(self._higher)
        self._strangers = Strangers()
        self._heard_at: dict[int, float] = {}
        self._try_at = dict.fromkeys(self._lower, 0.0)
        self._told_at = 0.0
        self._trouble: dict[int, str] = {}
        self.found: dict[int, Connection] = {}
        """The links by worker."""

    def look(self) -> None:
        """Hear all, take in who comes, and connect to one that is missing."""
        for index in list(self.found):
            self._hear(index)
        if self._listens:
            self._accept()
        self._connect()
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            for index in list(self.found):
                self._say(index, {"alive": True})

    def missing(self) -> str:
        """Name the workers without a link; nothing if there is none."""
        missing = [index for index in (*self._lower, *self._higher) if index not in self.found]
        if missing and self._listens and self._listener is None:
            return self._worker.waits_for_its_port
        return ", ".join(self._worker.named([index]) + self._trouble.get(index, "") for index in missing)

    def stop_listening(self) -> None:
        """Give the address back: the dataflow will listen there."""
        self._listens = False
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self._strangers.close()

    def close(self) -> None:
        """Close everything."""
        self.stop_listening()
        for connection in self.found.values():
            connection.close()

    def _hear(self, index: int) -> None:
        try:
            if self.found[index].receive():
                self._heard_at[index] = time.monotonic()
        except Closed:
            self._drop(index)
            return
        if time.monotonic() - self._heard_at[index] > SILENT_SECONDS:
            self._drop(index)

    def _say(self, index: int, message: Message) -> None:
        try:
            self.found[index].send(message)
        except Closed:
            self._drop(index)

    def _drop(self, index: int) -> None:
        self.found.pop(index).close()

    def _take(self, index: int, connection: Connection) -> None:
        if index in self.found:
            self._drop(index)
        self.found[index] = connection
        self._heard_at[index] = time.monotonic()
        self._trouble.pop(index, None)

    def _accept(self) -> None:
        if self._listener is None:
            self._listener = self._worker.listen()
        while self._listener is not None:
            try:
                self._strangers.accept(self._listener)
            except OSError:
                break
        for stranger in self._strangers:
            self._greet(stranger)

    def _greet(self, stranger: Connection) -> None:
        try:
            messages = stranger.receive()
        except Closed:
            messages = [{}]
        if not messages:
            return
        self._strangers.remove(stranger)
        index = messages[0].get("link")
        if isinstance(index, int) and index in self._higher and messages[0].get("mark") == self._mark:
            self._take(index, stranger)
        else:
            stranger.close()

    def _connect(self) -> None:
        now = time.monotonic()
        for index in self._lower:
            if index in self.found or now < self._try_at[index]:
                continue
            address = self._worker.addresses[index]
            try:
                connection = Connection(socket.create_connection(place_of(address), CONNECT_SECONDS), address)
            except OSError as error:
                self._trouble[index] = f": {error.strerror or error}"
            else:
                self._take(index, connection)
                self._say(index, {"link": self._worker.index, "mark": self._mark})
            self._try_at[index] = time.monotonic() + AGAIN_SECONDS
            return

"""The meeting of a cluster's workers before each start of the dataflow: all are there, with one folder and one setup.

Worker 0 listens at its address, the others connect to it and try again until it is there. When all have come, worker 0
stops listening, so that Bytewax can listen at the same address, and lets all go. The connections stay: over them
workers notice at once that one has gone (:mod:`crmstream.cluster.companions`).
"""

import errno
import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.errors import SettingsError
from crmstream.cluster.addresses import place_of
from crmstream.cluster.messages import Closed, Connection, Message
from crmstream.cluster.shared_folder import find_mark, leave_mark

AGAIN_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 0.1
TELL_SECONDS: Final = 1.0
CONNECT_SECONDS: Final = 3.0
SILENT_SECONDS: Final = 20.0
"""After how long without a word from worker 0 another one connects anew."""
MOST_STRANGERS: Final = 100
"""Most connections that have not said yet which worker they are."""
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Worker:
    """The worker that meets the others. ``facts`` are what must be equal in all, by the name to show."""

    index: int
    addresses: Sequence[str]
    data_dir: Path
    facts: Facts
    stopping: Callable[[], bool]
    waits: Callable[[str], None]
    """Called with the workers that it waits for, whenever these change; with nothing in the end."""

    def named(self, indexes: Sequence[int]) -> str:
        """Name workers by their addresses."""
        return ", ".join(f"{self.addresses[index]} (worker {index})" for index in indexes)


def meet(worker: Worker, before_start: Callable[[], None]) -> dict[int, Connection] | None:
    """Wait for all; return the connections by worker, or None if the process was asked to stop.

    ``before_start`` is called in worker 0 when all are there and none has started.

    Raises:
        SettingsError: this worker does not fit the others.

    """
    found = _gather(worker, before_start) if worker.index == 0 else _join(worker)
    worker.waits("")
    return found


def _gather(worker: Worker, before_start: Callable[[], None]) -> dict[int, Connection] | None:
    listener = _listen(worker)
    if listener is None:
        return None
    with listener:
        gathering = _Gathering(worker, listener, leave_mark(worker.data_dir))
        while not gathering.complete():
            if worker.stopping():
                gathering.close()
                return None
            gathering.look()
        before_start()
    gathering.let_go()
    return gathering.ready


def _listen(worker: Worker) -> socket.socket | None:
    host, port = place_of(worker.addresses[0])
    while not worker.stopping():
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listener = socket.create_server((host, port), family=family)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"worker 0 cannot listen at {worker.addresses[0]}: {error.strerror}") from None
            worker.waits(f"{worker.addresses[0]} to be free: another program listens there")
            time.sleep(AGAIN_SECONDS)
        else:
            listener.setblocking(False)
            return listener
    return None


class _Gathering:
    """Those who have come to worker 0. Who goes before the start is waited for again."""

    def __init__(self, worker: Worker, listener: socket.socket, mark: str):
        self._worker = worker
        self._listener = listener
        self._mark = mark
        self._strangers: list[Connection] = []
        self._greeted: dict[int, Connection] = {}
        self.ready: dict[int, Connection] = {}
        self._told_at = 0.0

    def complete(self) -> bool:
        """Whether all are ready."""
        return not self._missing()

    def _missing(self) -> list[int]:
        return [index for index in range(1, len(self._worker.addresses)) if index not in self.ready]

    def look(self) -> None:
        """Wait a moment for someone, and hear them."""
        sources: list[socket.socket | Connection] = [self._listener, *self._everybody()]
        heard = select.select(sources, [], [], LOOK_SECONDS)[0]
        if self._listener in heard:
            sock, (host, port, *_) = self._listener.accept()
            self._strangers.append(Connection(sock, f"{host}:{port}"))
            if len(self._strangers) > MOST_STRANGERS:
                self._strangers.pop(0).close()
        for stranger in [each for each in self._strangers if each in heard]:
            self._greet(stranger)
        for group in (self._greeted, self.ready):
            for index, connection in [pair for pair in group.items() if pair[1] in heard]:
                self._hear(index, connection)
        self._tell()

    def _greet(self, stranger: Connection) -> None:
        """Take a worker in that fits."""
        try:
            messages = stranger.receive()
            if not messages:
                return
            self._strangers.remove(stranger)
            refused = self._refusal(messages[0])
            if refused:
                stranger.send({"refused": refused})
                stranger.close()
                return
            index = messages[0]["worker"]
            for before in (self._greeted.pop(index, None), self.ready.pop(index, None)):
                if before is not None:
                    before.close()
            stranger.send({"mark": self._mark})
            self._greeted[index] = stranger
        except Closed:
            stranger.close()
            if stranger in self._strangers:
                self._strangers.remove(stranger)

    def _refusal(self, hello: Message) -> str:
        worker, workers = hello.get("worker"), len(self._worker.addresses)
        if not isinstance(worker, int) or hello.get("workers") != workers or not 0 < worker < workers:
            return f"worker 0 belongs to a cluster of {workers} workers, by its CRM_CLUSTER_ADDRESSES"
        theirs, ours = hello.get("facts"), self._worker.facts
        theirs = theirs if isinstance(theirs, dict) else {}
        differing = sorted(name for name in ours.keys() | theirs.keys() if theirs.get(name) != ours.get(name))
        told = ", ".join(f"{name} ({theirs.get(name)} here, {ours.get(name)} there)" for name in differing)
        return f"other settings than worker 0 has: {told}" if told else ""

    def _hear(self, index: int, connection: Connection) -> None:
        try:
            messages = connection.receive()
        except Closed:
            connection.close()
            self._greeted.pop(index, None)
            self.ready.pop(index, None)
            return
        if any(message.get("ready") for message in messages):
            self.ready[index] = self._greeted.pop(index, connection)

    def _tell(self) -> None:
        if time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = time.monotonic()
        missing = self._missing()
        if missing:
            self._worker.waits(self._worker.named(missing))
        for connection in (*self._greeted.values(), *self.ready.values()):
            try:
                connection.send({"waits": missing})
            except Closed:
                continue  # the next look finds it closed

    def let_go(self) -> None:
        """Let all start; who has gone meanwhile is missed at once afterwards."""
        for stranger in self._strangers:
            stranger.close()
        for connection in self.ready.values():
            try:
                connection.send({"start": True})
            except Closed:
                continue

    def close(self) -> None:
        """Send everybody away."""
        for connection in self._everybody():
            connection.close()

    def _everybody(self) -> list[Connection]:
        return [*self._strangers, *self._greeted.values(), *self.ready.values()]


def _join(worker: Worker) -> dict[int, Connection] | None:
    place = worker.named([0])
    while not worker.stopping():
        try:
            sock = socket.create_connection(place_of(worker.addresses[0]), CONNECT_SECONDS)
        except OSError as error:
            worker.waits(f"{place}: {error.strerror or error}")
            time.sleep(AGAIN_SECONDS)
            continue
        connection = Connection(sock, worker.addresses[0])
        try:
            if _attend(worker, connection):
                return {0: connection}
        except Closed:
            worker.waits(place)
            time.sleep(AGAIN_SECONDS)
        connection.close()
    return None


def _attend(worker: Worker, connection: Connection) -> bool:
    """Greet worker 0 and wait until it lets all start; return False if the process was asked to stop."""
    connection.send({"worker": worker.index, "workers": len(worker.addresses), "facts": dict(worker.facts)})
    heard_at = time.monotonic()
    while not worker.stopping():
        for message in connection.receive(LOOK_SECONDS):
            heard_at = time.monotonic()
            if "refused" in message:
                raise SettingsError(f"worker 0 at {worker.addresses[0]} refuses worker {worker.index}: it has "
                                    f"{message['refused']}")  # fmt: skip
            if "mark" in message:
                find_mark(worker.data_dir, message["mark"], worker.stopping)
                connection.send({"ready": True})
                heard_at = time.monotonic()
            if others := [index for index in message.get("waits", ()) if index != worker.index]:
                worker.waits(worker.named(others))
            if message.get("start"):
                return True
        if time.monotonic() - heard_at > SILENT_SECONDS:
            raise Closed(connection.place)
    return False

"""The meeting of a cluster's workers before each start of the dataflow: all are there, with one folder and one setup.

Worker 0 listens at its address, the others connect to it and try again until it is there; they also connect to each
other (:mod:`crmstream.cluster.links`). When all have come and reach each other, they stop listening, so that Bytewax
can listen at the same addresses, and worker 0 lets all go. The connections stay: over them workers notice at once that
one has gone (:mod:`crmstream.cluster.companions`).
"""

import select
import socket
import time
from collections.abc import Callable
from itertools import combinations
from typing import Final

from crmstream.cluster.joining import join
from crmstream.cluster.members import AGAIN_SECONDS, LOOK_SECONDS, TELL_SECONDS, Met, Strangers, Worker
from crmstream.cluster.messages import Closed, Connection, Message
from crmstream.cluster.shared_folder import leave_mark

LINK_SECONDS: Final = 3.0
"""How long workers that are all there may take to connect to each other until worker 0 says which ones do not."""
CLOSE_SECONDS: Final = 20.0
"""How long they may take to stop listening until the meeting begins anew."""
MOST_NAMED: Final = 3


def meet(worker: Worker, before_start: Callable[[str], None]) -> Met | None:
    """Wait for all; return the connections, or None if the process was asked to stop.

    ``before_start`` is called in worker 0 with the mark when all are there and none has started.

    Raises:
        SettingsError: this worker does not fit the others.

    """
    found = _gather(worker, before_start) if worker.index == 0 else join(worker)
    worker.waits("")
    return found


def _gather(worker: Worker, before_start: Callable[[str], None]) -> Met | None:
    listener = _listen(worker)
    if listener is None:
        return None
    with listener:
        while not worker.stopping():
            mark = leave_mark(worker.data_dir)
            gathering = _Gathering(worker, listener, mark)
            if gathering.gather():
                break
            gathering.close()
        else:
            return None
        before_start(mark)
    gathering.let_go()
    return Met(gathering.ready, mark)


def _listen(worker: Worker) -> socket.socket | None:
    while not worker.stopping():
        listener = worker.listen()
        if listener is not None:
            return listener
        worker.waits(worker.waits_for_its_port)
        time.sleep(AGAIN_SECONDS)
    return None


class _Gathering:
    """Those who have come to worker 0. Who goes before the start is waited for again."""

    def __init__(self, worker: Worker, listener: socket.socket, mark: str):
        self._worker = worker
        self._listener = listener
        self._mark = mark
        self._strangers = Strangers()
        self._greeted: dict[int, Connection] = {}
        self.ready: dict[int, Connection] = {}
        self._linked: dict[int, set[object]] = {}
        self._closed: set[int] = set()
        self._told_at = 0.0
        self._all_at = time.monotonic()

    def gather(self) -> bool:
        """Return when all may start: they are ready, reach each other, and listen no more.

        Return False if the process was asked to stop, or if one has gone while they stopped listening.
        """
        while not self._complete():
            if self._worker.stopping():
                return False
            self.look()
        self._send({"close": True})
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._closed < self.ready.keys():
            if self._worker.stopping() or not self._complete() or time.monotonic() > deadline:
                return False
            self.look()
        return True

    def _complete(self) -> bool:
        return not self._missing() and not self._apart()

    def _apart(self) -> list[tuple[int, int]]:
        """Return the pairs of workers that are not linked."""
        pairs = combinations(range(1, len(self._worker.addresses)), 2)
        linked = {index: self._linked.get(index, set()) for index in self.ready}
        return [(a, b) for a, b in pairs if b not in linked.get(a, ()) or a not in linked.get(b, ())]

    def _missing(self) -> list[int]:
        return [index for index in range(1, len(self._worker.addresses)) if index not in self.ready]

    def look(self) -> None:
        """Wait a moment for someone, and hear them."""
        sources: list[socket.socket | Connection] = [self._listener, *self._everybody()]
        heard = select.select(sources, [], [], LOOK_SECONDS)[0]
        if self._listener in heard:
            self._strangers.accept(self._listener)
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
            self._linked.pop(index, None)
            stranger.send({"mark": self._mark})
            self._greeted[index] = stranger
        except Closed:
            stranger.close()
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
            self._linked.pop(index, None)
            return
        for message in messages:
            if message.get("ready"):
                self.ready[index] = self._greeted.pop(index, connection)
            if isinstance(linked := message.get("linked"), list):
                self._linked[index] = {each for each in linked if isinstance(each, int)}
            if message.get("closed"):
                self._closed.add(index)

    def _tell(self) -> None:
        if time.monotonic() - self._told_at < TELL_SECONDS:
            return
        self._told_at = time.monotonic()
        missing, apart = self._missing(), []
        if missing:
            self._worker.waits(self._worker.named(missing))
            self._all_at = self._told_at
        elif self._told_at - self._all_at > LINK_SECONDS:
            apart = self._apart()
            self._worker.waits(", ".join(map(self._connection, apart[:MOST_NAMED])))
        self._send({"waits": missing, "links": bool(apart)})

    def _connection(self, pair: tuple[int, int]) -> str:
        first, second = (self._worker.named([index]) for index in pair)
        return f"a connection between {first} and {second}"

    def _send(self, message: Message) -> None:
        for connection in (*self._greeted.values(), *self.ready.values()):
            try:
                connection.send(message)
            except Closed:
                continue  # the next look finds it closed

    def let_go(self) -> None:
        """Let all start; who has gone meanwhile is missed at once afterwards."""
        self._strangers.close()
        self._send({"start": True})

    def close(self) -> None:
        """Send everybody away."""
        for connection in self._everybody():
            connection.close()

    def _everybody(self) -> list[Connection]:
        return [*self._strangers, *self._greeted.values(), *self.ready.values()]

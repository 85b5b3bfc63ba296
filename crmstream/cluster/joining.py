"""How the workers but worker 0 join a meeting: they greet worker 0, link up with each other, and wait for the start."""

import socket
import time
from typing import Final

from contracts.errors import SettingsError
from crmstream.cluster.addresses import place_of
from crmstream.cluster.links import Links
from crmstream.cluster.members import AGAIN_SECONDS, LOOK_SECONDS, SILENT_SECONDS, Met, Worker
from crmstream.cluster.messages import Closed, Connection, Message
from crmstream.cluster.shared_folder import find_mark

CONNECT_SECONDS: Final = 3.0


def join(worker: Worker) -> Met | None:
    """Join the meeting, and return at the start, or with None if the process was asked to stop.

    Raises :class:`SettingsError` if this worker does not fit the others.
    """
    place = worker.named([0])
    while not worker.stopping():
        try:
            sock = socket.create_connection(place_of(worker.addresses[0]), CONNECT_SECONDS)
        except OSError as error:
            worker.waits(f"{place}: {error.strerror or error}")
            time.sleep(AGAIN_SECONDS)
            continue
        connection = Connection(sock, worker.addresses[0])
        attending = _Attending(worker, connection)
        try:
            if met := attending.attend():
                return met
        except Closed:
            worker.waits(place)
            time.sleep(AGAIN_SECONDS)
        finally:
            if not attending.started:
                attending.close()
    return None


class _Attending:
    """One connection with worker 0, from the greeting to the start."""

    def __init__(self, worker: Worker, connection: Connection):
        self._worker, self._connection = worker, connection
        self._links: Links | None = None
        self._reported: list[int] | None = None
        self._mark = ""
        self._heard_at = time.monotonic()
        self.started = False

    def attend(self) -> Met | None:
        """Greet worker 0 and wait until it lets all start; return None if the process was asked to stop."""
        worker = self._worker
        self._connection.send(
            {"worker": worker.index, "workers": len(worker.addresses), "facts": dict(worker.facts)}
        )
        while not worker.stopping():
            for message in self._connection.receive(LOOK_SECONDS):
                self._heard_at = time.monotonic()
                self._heed(message)
                if message.get("start") and self._links is not None:
                    self.started = True
                    self._links.stop_listening()
                    return Met({0: self._connection, **self._links.found}, self._mark)
            if self._links is not None:
                self._look(self._links)
            if time.monotonic() - self._heard_at > SILENT_SECONDS:
                raise Closed(self._connection.place)
        return None

    def close(self) -> None:
        """Close everything."""
        self._connection.close()
        if self._links is not None:
            self._links.close()

    def _heed(self, message: Message) -> None:
        worker = self._worker
        if "refused" in message:
            raise SettingsError(
                f"worker 0 at {worker.addresses[0]} refuses worker {worker.index}: it has {message['refused']}"
            )
        if "mark" in message:
            self._mark = message["mark"]
            find_mark(worker.data_dir, self._mark, worker.stopping)
            self._links = Links(worker, self._mark)
            self._connection.send({"ready": True})
            self._heard_at = time.monotonic()
        if "waits" in message:
            others = [index for index in message["waits"] if index != worker.index]
            if others:
                worker.waits(worker.named(others))
            elif self._links is not None and message.get("links") and (missing := self._links.missing()):
                worker.waits(missing)
        if message.get("close") and self._links is not None:
            self._links.stop_listening()
            self._connection.send({"closed": True})

    def _look(self, links: Links) -> None:
        links.look()
        found = sorted(links.found)
        if found != self._reported:
            self._reported = found
            self._connection.send({"linked": found})

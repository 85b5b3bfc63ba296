"""A worker of a cluster before the start of the dataflow: what it knows, where it listens, and what it gets."""

import errno
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from contracts.errors import SettingsError
from crmstream.cluster.addresses import place_of
from crmstream.cluster.messages import Connection

AGAIN_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 0.1
TELL_SECONDS: Final = 1.0
SILENT_SECONDS: Final = 20.0
"""After how long without a word from another worker one connects anew."""
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

    def listen(self) -> socket.socket | None:
        """Listen at the worker's own address; return None while another program does.

        Raises :class:`SettingsError` if the worker cannot listen there.
        """
        host, port = place_of(self.addresses[self.index])
        try:
            listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return None
            raise SettingsError(
                f"worker {self.index} cannot listen at {self.addresses[self.index]}: {error.strerror}"
            ) from None
        listener.setblocking(False)
        return listener

    @property
    def waits_for_its_port(self) -> str:
        """What it waits for while another program listens at its address."""
        return f"{self.addresses[self.index]} to be free: another program listens there"


class Strangers:
    """The connections of a listener that have not said yet which worker they are."""

    def __init__(self) -> None:
        self._connections: list[Connection] = []

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._connections))

    def accept(self, listener: socket.socket) -> None:
        """Take in who has come; raises ``OSError`` if nobody has. Of too many the one that came first is closed."""
        sock, (host, port, *_) = listener.accept()
        self._connections.append(Connection(sock, f"{host}:{port}"))
        if len(self._connections) > MOST_STRANGERS:
            self._connections.pop(0).close()

    def remove(self, connection: Connection) -> None:
        """Count a connection no more: it has said who it is, or is closed."""
        if connection in self._connections:
            self._connections.remove(connection)

    def close(self) -> None:
        """Close all."""
        for connection in self._connections:
            connection.close()
        self._connections = []


class Met(NamedTuple):
    """The outcome of a meeting: a connection with each other worker, and the mark that all have in common."""

    connections: dict[int, Connection]
    mark: str

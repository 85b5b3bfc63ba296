"""Messages between workers, one JSON object per line: nothing in them can run code."""

import json
import socket
from typing import Any, Final

Message = dict[str, Any]
MOST_BYTES: Final = 65_536
SEND_SECONDS: Final = 5.0


class Closed(Exception):  # noqa: N818 - an outcome
    """The other side has closed the connection, or sends what is not a message."""


class Connection:
    """A connection whose messages are taken as they come."""

    def __init__(self, sock: socket.socket, place: str):
        self.place = place
        """The address of the other side."""
        self._socket = sock
        self._rest = b""

    def fileno(self) -> int:
        """Return the file descriptor, for ``select``."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send a message; raises :class:`Closed`."""
        try:
            self._socket.settimeout(SEND_SECONDS)
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Closed(self.place) from error

    def receive(self, seconds: float = 0.0) -> list[Message]:
        """Return the messages that are there, or come within some seconds; raises :class:`Closed`."""
        try:
            self._socket.settimeout(seconds)
            data = self._socket.recv(MOST_BYTES)
        except (BlockingIOError, TimeoutError):
            return []
        except OSError as error:
            raise Closed(self.place) from error
        if not data or len(self._rest) + len(data) > 2 * MOST_BYTES:
            raise Closed(self.place)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_message(line, self.place) for line in lines]

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _message(line: bytes, place: str) -> Message:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Closed(place) from error
    if not isinstance(found, dict):
        raise Closed(place)
    return found

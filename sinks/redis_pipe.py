"""Sends prepared bytes to Redis and reads the answers, over a connection of the client library.

The library handles passwords, TLS, database numbers and timeouts. After an error the connection is closed, so that no
answer is taken for that of another command.
"""

from collections.abc import Iterable
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final

import hiredis
import redis

from contracts.outputs import Commands

_PASSING_REFUSALS: Final = (
    "LOADING", "READONLY", "MISCONF", "OOM", "NOREPLICAS", "BUSY", "MASTERDOWN", "TRYAGAIN", "NOSCRIPT",
)  # fmt: skip
_IN_FLIGHT: Final = 8
"""Maximum number of script calls without an answer."""
_RECEIVED_BYTES: Final = 1 << 16
_NUMBERS: Final = b":0123456789\r\n"
"""The bytes of answers that are whole numbers."""
_SCRIPT: Final = (files("sinks") / "apply_hashes.lua").read_text(encoding="utf-8")
_SCRIPT_SHA: Final = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


def redis_is_out(error: Exception) -> bool:
    """Return whether an error of Redis is temporary: no server answers, or it takes no writes for now."""
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
        return False
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | redis.ReadOnlyError | OSError):
        return True
    passing = (redis.BusyLoadingError, redis.OutOfMemoryError, redis.exceptions.TryAgainError)
    return isinstance(error, passing) or (
        isinstance(error, redis.ResponseError) and str(error).startswith(_PASSING_REFUSALS)
    )


class Pipe:
    """Sends commands and waits for their answers. It connects when first used, and again after an error."""

    def __init__(self, client: redis.Redis):
        self._client = client
        self._connection: Any = None
        self._reader = hiredis.Reader()
        self._has_script = False

    def send(self, commands: Commands) -> None:
        """Send commands and read all answers. Raises the error of the connection, or ResponseError for a refusal."""
        try:
            self._connect().send_packed_command(commands.pieces, check_health=False)
            self._await(commands.answers)
        except BaseException:
            self._disconnect()
            raise

    def run_script(self, calls: Iterable[list[Any]]) -> int:
        """Call the script that guards hashes, with several calls in flight; return the sum of its answers."""
        total = ahead = 0
        try:
            self._load_script()
            for arguments in calls:
                packed = hiredis.pack_command(("EVALSHA", _SCRIPT_SHA, *arguments))
                self._connection.send_packed_command([packed], check_health=False)
                ahead += 1
                if ahead > _IN_FLIGHT:
                    total += self._read(1)
                    ahead -= 1
            return total + self._read(ahead)
        except BaseException:
            self._disconnect()
            raise

    def close(self) -> None:
        """Close the connection."""
        self._disconnect()
        self._client.close()

    def _connect(self) -> Any:
        if self._connection is None:
            self._connection = self._client.connection_pool.get_connection()
            self._reader = hiredis.Reader()
            self._has_script = False
        return self._connection

    def _load_script(self) -> None:
        connection = self._connect()
        if not self._has_script:
            words: tuple[Any, ...] = ("SCRIPT", "LOAD", _SCRIPT)
            connection.send_packed_command([hiredis.pack_command(words)], check_health=False)
            self._read(1)
            self._has_script = True

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._client.connection_pool.release(connection)

    def _await(self, answers: int) -> None:
        """Read ``answers`` answers. As long as they are whole numbers, which is usual, their lines are only counted."""
        if self._reader.has_data():  # a part of a message that the server sent of its own accord
            self._read(answers)
            return
        rest = b""
        while answers > 0:
            received = self._receive()
            if received.translate(None, _NUMBERS):
                self._reader.feed(rest + received)
                self._read(answers)
                return
            answers -= received.count(b"\n")
            rest = received[received.rfind(b"\n") + 1 :] if b"\n" in received else rest + received
        if answers < 0 or rest:
            raise redis.ConnectionError("Redis sent more answers than it was sent commands")

    def _read(self, answers: int) -> int:
        """Read ``answers`` answers; return the sum of the numbers among them. Raises ResponseError for a refusal."""
        total, reader = 0, self._reader
        while answers:
            answer = reader.gets()
            if answer is False:
                reader.feed(self._receive())
                continue
            if isinstance(answer, hiredis.PushNotification):
                continue
            if isinstance(answer, hiredis.HiredisError):
                raise redis.ResponseError(str(answer))
            total += answer if isinstance(answer, int) else 0
            answers -= 1
        return total

    def _receive(self) -> bytes:
        received: bytes = self._connection._sock.recv(_RECEIVED_BYTES)
        if not received:
            raise redis.ConnectionError("Connection closed by server")
        return received

"""Inserts rows over a plain connection to a ClickHouse on this machine.

The driver's client spends more than a millisecond on every request, and copies large ones several times. If an insert
fails here, the driver's client repeats it and raises its own error: a table keeps one of two equal rows.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from functools import partial
from socket import IPPROTO_TCP, TCP_NODELAY, create_connection, socket
from typing import Any, Final, TypeAlias
from urllib.parse import unquote, urlencode, urlsplit

import pyarrow as pa
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from sinks.clients import ANSWER_SECONDS, CONNECT_TIMEOUT_SECONDS, clickhouse_client, is_loopback
from sinks.outbox_file import stream_of

SMALL_BYTES: Final = 65_536
"""Up to this size a request is sent as one piece."""
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\0\0\0\0"
"""Ends Arrow's stream format."""
_DONE: Final = b"http/1.1 200 "
_EXCEPTION: Final = b"\r\nx-clickhouse-exception-code:"
_END: Final = b"\r\n\r\n"
_NO_CHUNKS: Final = b"0" + _END
_RECEIVED_BYTES: Final = 1 << 16
Pieces: TypeAlias = "Sequence[bytes | pa.Buffer]"


class QuickInserts:
    """A client for inserts, for one thread. ``connect`` makes the driver's client when it is needed."""

    def __init__(self, connect: Callable[[], Client], url: str, database: str):
        self._connect = connect
        self._client: Client | None = None
        self._database = database
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 8123
        self._usable = parts.scheme == "http" and is_loopback(self._host)
        who = f"{unquote(parts.username or 'default')}:{unquote(parts.password or '')}"
        self._headers = b"Host: %s:%d\r\nAuthorization: Basic %s\r\nContent-Type: application/octet-stream\r\n" % (
            self._host.encode(), self._port, b64encode(who.encode()))  # fmt: skip
        self._paths: dict[tuple[tuple[str, Any], ...], str] = {}
        self._heads: dict[str, tuple[pa.Schema, bytes, bytes | None]] = {}
        self._socket: socket | None = None

    @classmethod
    def to(cls, url: SecretStr | str, database: str) -> "QuickInserts":
        """Make a client to the database at ``url``. It connects at its first insert."""
        plain = url if isinstance(url, str) else url.get_secret_value()
        return cls(partial(clickhouse_client, url, database), plain, database)

    def insert_arrow(self, table: str, rows: pa.Table, settings: dict[str, Any]) -> None:
        """Insert rows; raise the errors of the driver's client."""
        if self._usable and self._sent(self._path(settings), self.body(table, rows)):
            return
        if self._client is None:
            self._client = self._connect()
        self._client.insert_arrow(table, rows, settings=settings)

    def _path(self, settings: dict[str, Any]) -> str:
        key = tuple(settings.items())
        if key not in self._paths:
            self._paths[key] = "/?" + urlencode({"database": self._database, **settings})
        return self._paths[key]

    def body(self, table: str, rows: pa.Table) -> Pieces:
        """Return the body of a request. Its beginning is the same for all rows of a table, so it is kept."""
        schema = rows.schema
        known = self._heads.get(table)
        if known is None or not known[0].equals(schema):
            columns = ", ".join(map(quote_identifier, schema.names))
            insert = f"INSERT INTO {quote_identifier(table)} ({columns}) FORMAT ArrowStream\n".encode()
            with_codes = any(pa.types.is_dictionary(kind) for kind in schema.types)
            known = self._heads[table] = schema, insert, None if with_codes else bytes(schema.serialize())
        _, insert, described = known
        if described is None:  # the vocabularies go before the rows
            return [insert, stream_of(rows)]
        return [insert, described, *(batch.serialize() for batch in rows.to_batches()), _END_OF_STREAM]

    def _sent(self, path: str, body: Pieces) -> bool:
        """Whether ClickHouse says that it has stored the rows. A connection that it has closed is opened once more."""
        length = sum(map(len, body))
        head = b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n" % (path.encode(), self._headers, length)
        pieces = [b"".join([head, *body])] if length <= SMALL_BYTES else [head, *body]
        for last in (self._socket is None, True):
            try:
                return self._is_stored(pieces)
            except OSError as error:
                self.close()
                if last or isinstance(error, TimeoutError):
                    break
        return False

    def _is_stored(self, message: Pieces) -> bool:
        """Send a request; whether its answer is the empty one of an insert. Every other answer ends the connection."""
        if self._socket is None:
            self._socket = create_connection((self._host, self._port), CONNECT_TIMEOUT_SECONDS)
            self._socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            self._socket.settimeout(ANSWER_SECONDS)
        for piece in message:
            self._socket.sendall(piece)
        answer = _until(self._socket, b"", _END)
        head, _, rest = answer.partition(_END)
        fields = head.lower()
        if not fields.startswith(_DONE) or _EXCEPTION in fields:
            self.close()
            return False
        if b"transfer-encoding: chunked" in fields:
            stored = _until(self._socket, rest, _END) == _NO_CHUNKS
        else:
            stored = b"\r\ncontent-length: 0\r\n" in fields + b"\r\n" and not rest
        if not stored:  # an unknown answer: every insert would be sent twice
            self.close()
            self._usable = False
        return stored

    def close(self) -> None:
        """Close the connection; the next insert opens another one."""
        open_one, self._socket = self._socket, None
        if open_one is not None:
            open_one.close()


def _until(connection: socket, got: bytes, end: bytes) -> bytes:
    """Read on until ``end`` is in what was read."""
    while end not in got:
        more = connection.recv(_RECEIVED_BYTES)
        if not more:
            raise ConnectionError("closed")
        got += more
    return got

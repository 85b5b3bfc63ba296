"""Inserts over a plain connection: what counts as stored, and what the driver's client is asked to do again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socket import create_server
from typing import Any

import pyarrow as pa
import pytest

from sinks.quick_inserts import SMALL_BYTES, QuickInserts

STORED = b"HTTP/1.1 200 OK\r\nX-ClickHouse-Timezone: UTC\r\nContent-Length: 0\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
REFUSED = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"
FAILED = b"HTTP/1.1 200 OK\r\nX-ClickHouse-Exception-Code: 60\r\nContent-Length: 0\r\n\r\n"
SPOKEN = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nCode"
SETTINGS = {"async_insert": 0}
ROWS = pa.table({"x": pa.array([1, 2], pa.int64())})


class Client:
    """Stands in for the driver's client."""

    def __init__(self) -> None:
        self.inserts: list[tuple[str, int]] = []

    def insert_arrow(self, table: str, rows: pa.Table, *, settings: dict[str, Any]) -> None:
        assert settings == SETTINGS
        self.inserts.append((table, rows.num_rows))


class Server:
    """Gives the next answer to each request; None closes the connection instead.

    With ``collect`` it has stored one request as soon as it has all its bytes.
    """

    def __init__(self, answers: list[bytes | None]) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.listening = create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.connections = 0
        self.collect = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.connections += 1
            with connection, suppress(OSError):
                while request := connection.recv(1 << 20):
                    self.requests.append(request)
                    if self.collect:
                        head, _, body = b"".join(self.requests).partition(b"\r\n\r\n")
                        if len(body) == int(head.rpartition(b" ")[2]):
                            connection.sendall(STORED)
                        continue
                    answer = self.answers.pop(0) if self.answers else None
                    if answer is None:
                        break
                    for at in range(len(answer)):  # byte by byte
                        connection.sendall(answer[at : at + 1])


@contextmanager
def inserting(*answers: bytes | None, host: str = "127.0.0.1") -> Iterator[tuple[QuickInserts, Server, Client]]:
    server, client = Server(list(answers)), Client()
    quick = QuickInserts(lambda: client, f"http://me:s%20t@{host}:{server.port}", "crm")  # type: ignore[arg-type, return-value]
    yield quick, server, client
    quick.close()
    server.listening.close()


@pytest.mark.parametrize("answer", [STORED, CHUNKED])
def test_what_the_server_has_stored_is_not_inserted_again(answer: bytes) -> None:
    with inserting(answer, answer) as (quick, server, client):
        quick.insert_arrow("facts", ROWS, settings=SETTINGS)
        quick.insert_arrow("facts", ROWS, settings=SETTINGS)
        assert client.inserts == []
        assert (len(server.requests), server.connections) == (2, 1)
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /?database=crm&async_insert=0 HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"Authorization: Basic bWU6cyB0" in head
        query, _, arrow = body.partition(b"\n")
        assert query == b"INSERT INTO `facts` (`x`) FORMAT ArrowStream"
        assert pa.ipc.open_stream(pa.py_buffer(arrow)).read_all().equals(ROWS)


@pytest.mark.parametrize("answer", [REFUSED, FAILED, SPOKEN, None, b"HTTP/1.1 500 \r\n\r\n"])
def test_the_client_makes_every_other_insert_again(answer: bytes | None) -> None:
    with inserting(answer) as (quick, _, client):
        quick.insert_arrow("facts", ROWS, settings=SETTINGS)
        assert client.inserts == [("facts", 2)]


def test_a_connection_that_was_closed_meanwhile_is_opened_again() -> None:
    with inserting(STORED, None, STORED) as (quick, server, client):
        quick.insert_arrow("facts", ROWS, settings=SETTINGS)
        quick.insert_arrow("facts", ROWS, settings=SETTINGS)
        assert client.inserts == []
        assert server.connections == 2


def test_a_server_that_is_away_is_left_to_the_client() -> None:
    with inserting() as (quick, server, client):
        server.listening.close()
        quick.insert_arrow("facts", ROWS, settings=SETTINGS)
        assert client.inserts == [("facts", 2)]


def test_a_server_with_other_answers_is_asked_once() -> None:
    with inserting(SPOKEN) as (quick, server, client):
        for _ in range(3):
            quick.insert_arrow("facts", ROWS, settings=SETTINGS)
        assert client.inserts == [("facts", 2)] * 3
        assert len(server.requests) == 1


@pytest.mark.parametrize("rows", [
    ROWS,
    pa.concat_tables([ROWS, ROWS.slice(1)]),
    pa.table({"x": pa.array(["a", "b", "a"]).dictionary_encode(), "y": [1.5, None, 2.5]}),
    pa.table({"x": pa.array([[("a", 1.0)], []], pa.map_(pa.string(), pa.float64()))}),
])  # fmt: skip
def test_the_bytes_are_a_stream_of_arrow_for_all_rows_of_a_table(rows: pa.Table) -> None:
    with inserting(STORED, STORED) as (quick, server, _):
        quick.insert_arrow("facts", pa.table({"other": ["columns"]}), settings=SETTINGS)
        quick.insert_arrow("facts", rows, settings=SETTINGS)
        query, _, arrow = server.requests[-1].partition(b"\r\n\r\n")[2].partition(b"\n")
        columns = ", ".join(f"`{name}`" for name in rows.schema.names)
        assert query.decode() == f"INSERT INTO `facts` ({columns}) FORMAT ArrowStream"
        assert pa.ipc.open_stream(pa.py_buffer(arrow)).read_all().equals(rows)


@pytest.mark.parametrize("large", [
    pa.table({"x": pa.array(range(SMALL_BYTES), pa.int64())}), pa.table({"x": ["x" * SMALL_BYTES]}),
    pa.table({"x": pa.array(["a", "b"] * SMALL_BYTES).dictionary_encode()}),
])  # fmt: skip
def test_large_tables_are_sent_in_pieces(large: pa.Table) -> None:
    with inserting() as (quick, server, client):
        server.collect = True
        quick.insert_arrow("facts", large, settings=SETTINGS)
        assert client.inserts == []
        _, _, body = b"".join(server.requests).partition(b"\r\n\r\n")
        assert pa.ipc.open_stream(pa.py_buffer(body.partition(b"\n")[2])).read_all().equals(large)


@pytest.mark.parametrize("url", ["http://clickhouse.example:8123", "https://127.0.0.1:8443"])
def test_only_a_plain_server_on_this_machine_is_inserted_into(url: str) -> None:
    client = Client()
    quick = QuickInserts(lambda: client, url, "crm")  # type: ignore[arg-type, return-value]
    quick.insert_arrow("facts", ROWS, settings=SETTINGS)
    assert client.inserts == [("facts", 2)]

"""How the ClickHouse writer gathers, waits, retries and fails, seen with a client that only remembers."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError

from contracts.errors import StoreRefusedError
from contracts.metrics import STORE_RETRIES
from contracts.outputs import TableRows
from sinks.clickhouse import ClickHouseWriter
from sinks.inserts import Limits

LONG = 3_600.0
SMALL = Limits(block_rows=100, due_rows=100, max_wait_seconds=LONG, max_waiting_rows=300)


class RememberingClient:
    """Stands in for the driver's client: keeps each insert; fails as told; can be held."""

    def __init__(self) -> None:
        self.inserts: list[tuple[str, int]] = []
        self.tables: list[pa.Table] = []
        self.settings: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.open = threading.Event()
        self.open.set()

    def insert_arrow(self, table: str, rows: pa.Table, settings: dict[str, Any]) -> None:
        assert self.open.wait(20)
        if self.errors:
            raise self.errors.pop(0)
        self.inserts.append((table, rows.num_rows))
        self.tables.append(rows)
        self.settings.append(settings)


@pytest.fixture
def client() -> RememberingClient:
    return RememberingClient()


@pytest.fixture
def writer(client: RememberingClient) -> Iterator[ClickHouseWriter]:
    made = ClickHouseWriter(lambda: client, limits=SMALL)
    yield made
    client.open.set()
    made.close()


def rows(count: int, table: str = "t", first: int = 0) -> TableRows:
    return TableRows(table, pa.table({"x": pa.array(range(first, first + count), pa.int64())}))


def test_small_batches_become_one_insert(writer: ClickHouseWriter, client: RememberingClient) -> None:
    writer.write([rows(10), rows(20, first=10), rows(5, "u")])
    assert client.inserts == []
    writer.flush()
    assert sorted(client.inserts) == [("t", 30), ("u", 5)]
    assert client.tables[client.inserts.index(("t", 30))]["x"].to_pylist() == list(range(30))
    assert client.settings == [{"async_insert": 0, "optimize_on_insert": 0}] * 2


def test_a_full_block_goes_without_a_flush(client: RememberingClient) -> None:
    inserted = threading.Event()
    client.insert_arrow = lambda *_, **__: inserted.set()  # type: ignore[method-assign]
    writer = ClickHouseWriter(lambda: client, limits=SMALL)
    writer.write([rows(100)])
    assert inserted.wait(20)
    writer.close()


def test_what_comes_while_an_insert_is_under_way_becomes_the_next_block(client: RememberingClient) -> None:
    """So blocks grow with the work: small while ClickHouse keeps up, up to the limit while it does not."""
    writer = ClickHouseWriter(lambda: client, limits=Limits(block_rows=100, due_rows=10, max_wait_seconds=LONG))
    client.open.clear()
    writer.write([rows(10)])
    while not writer_is_inserting(writer):
        time.sleep(0.005)
    for _ in range(15):
        writer.write([rows(10)])
    client.open.set()
    writer.flush()
    assert [count for _, count in client.inserts] == [10, 100, 50]
    writer.close()


def test_a_flush_can_begin_before_anybody_waits_for_it(writer: ClickHouseWriter, client: RememberingClient) -> None:
    writer.begin_flush()
    writer.write([rows(3), rows(2, "u")])
    writer.begin_flush()
    deadline = time.monotonic() + 20
    while len(client.inserts) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sorted(client.inserts) == [("t", 3), ("u", 2)]
    writer.write([rows(1)])
    time.sleep(0.05)
    assert len(client.inserts) == 2, "what comes later is gathered again"


def writer_is_inserting(writer: ClickHouseWriter) -> bool:
    return not any(queue.blocks for queue in writer._queues.values())


def test_a_lone_row_goes_when_it_is_old_enough(client: RememberingClient) -> None:
    inserted = threading.Event()
    client.insert_arrow = lambda *_, **__: inserted.set()  # type: ignore[method-assign]
    writer = ClickHouseWriter(lambda: client, limits=Limits(max_wait_seconds=0.01))
    writer.write([rows(1)])
    assert inserted.wait(20)
    writer.close()


def test_pieces_of_another_shape_are_inserted_apart(writer: ClickHouseWriter, client: RememberingClient) -> None:
    writer.write([rows(3), TableRows("t", pa.table({"y": ["a"]})), rows(4)])
    writer.flush()
    assert client.inserts == [("t", 3), ("t", 1), ("t", 4)]


def test_dictionaries_of_several_batches_become_one(writer: ClickHouseWriter, client: RememberingClient) -> None:
    for word in ("a", "b"):
        writer.write([TableRows("t", pa.table({"w": pa.array([word]).dictionary_encode()}))])
    writer.flush()
    column = client.tables[0]["w"]
    assert column.to_pylist() == ["a", "b"]
    assert all(chunk.dictionary.equals(column.chunk(0).dictionary) for chunk in column.chunks)


def test_empty_tables_and_an_empty_flush_are_nothing(writer: ClickHouseWriter, client: RememberingClient) -> None:
    writer.flush()
    writer.write([rows(0)])
    writer.flush()
    assert client.inserts == []


def test_the_caller_waits_when_too_much_is_unwritten(writer: ClickHouseWriter, client: RememberingClient) -> None:
    client.open.clear()
    writer.write([rows(100), rows(100), rows(100)])  # the bound is reached
    blocked = threading.Thread(target=writer.write, args=([rows(1)],))
    blocked.start()
    blocked.join(0.2)
    assert blocked.is_alive()
    client.open.set()
    blocked.join(20)
    assert not blocked.is_alive()
    writer.flush()
    assert sum(count for _, count in client.inserts) == 301


def test_an_outage_is_waited_out(
    writer: ClickHouseWriter, client: RememberingClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    before = STORE_RETRIES.labels("ClickHouse")._value.get()
    client.errors = [
        OperationalError("refused"),
        DatabaseError("full", code=243),
        DatabaseError("proxy: 502"),
    ]
    writer.write([rows(7)])
    writer.flush()
    assert client.inserts == [("t", 7)]
    assert STORE_RETRIES.labels("ClickHouse")._value.get() == before + 3
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_connecting_is_tried_until_it_succeeds(client: RememberingClient) -> None:
    failures = [OperationalError("refused")]

    def connect() -> Any:
        if failures:
            raise failures.pop()
        return client

    writer = ClickHouseWriter(connect)
    writer.write([rows(1)])
    writer.flush()
    assert client.inserts == [("t", 1)]
    writer.close()


def test_a_refusal_is_raised_by_flush_and_ever_after(writer: ClickHouseWriter, client: RememberingClient) -> None:
    client.errors = [DatabaseError("Code: 16. No such column 'secret' in table", code=16)]
    writer.write([rows(7)])
    with pytest.raises(StoreRefusedError, match=r"refused 7 rows for table t: .*No such column '\.\.\.' in table"):
        writer.flush()
    with pytest.raises(StoreRefusedError, match="refused 7 rows"):
        writer.write([rows(1)])


def test_an_unforeseen_error_does_not_hang_the_caller(writer: ClickHouseWriter, client: RememberingClient) -> None:
    client.errors = [ZeroDivisionError("oops")]
    writer.write([rows(7)])
    with pytest.raises(StoreRefusedError, match="oops"):
        writer.flush()


def test_a_failure_wakes_a_caller_that_waits_for_room(writer: ClickHouseWriter, client: RememberingClient) -> None:
    client.open.clear()
    client.errors = [DatabaseError("no", code=16)]
    writer.write([rows(100), rows(200)])
    raised = threading.Event()

    def write() -> None:
        with pytest.raises(StoreRefusedError):
            writer.write([rows(1)])
        raised.set()

    waiting = threading.Thread(target=write)
    waiting.start()
    client.open.set()
    assert raised.wait(20)
    waiting.join()


def test_close_ends_an_endless_retry(client: RememberingClient) -> None:
    client.errors = [OperationalError("down")] * 1_000
    writer = ClickHouseWriter(lambda: client)
    writer.write([rows(1)])
    flushing = threading.Thread(target=flush_of_a_closed_writer, args=(writer,))
    flushing.start()
    writer.close()
    flushing.join(20)
    assert not flushing.is_alive()
    with pytest.raises(StoreRefusedError, match="closed"):
        writer.write([rows(1)])


def flush_of_a_closed_writer(writer: ClickHouseWriter) -> None:
    with pytest.raises(StoreRefusedError, match="closed"):
        writer.flush()


class Numbers:
    """A block that becomes a table when it is inserted, with the newest number only."""

    table = "t"

    def __init__(self, *numbers: int):
        self.numbers = numbers
        self.rendered = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def fits(self, other: object) -> bool:
        return isinstance(other, Numbers)

    def render(self, others: Sequence[Any]) -> pa.Table:
        self.rendered += 1
        return pa.table({"x": [max(number for each in (self, *others) for number in each.numbers)]})


def test_blocks_are_rendered_once_per_insert_and_repeated_as_they_are(client: RememberingClient) -> None:
    writer = ClickHouseWriter(lambda: client, limits=SMALL)
    client.errors = [OperationalError("refused")]
    blocks = [Numbers(1, 2), Numbers(5, 3), Numbers()]
    writer.write(blocks)
    writer.flush()
    assert [table["x"].to_pylist() for table in client.tables] == [[5]]
    assert [block.rendered for block in blocks] == [1, 0, 0]
    writer.write([Numbers(7)])
    writer.flush()
    assert len(client.tables) == 2
    writer.close()


def test_what_is_handed_over_is_split_into_blocks(client: RememberingClient) -> None:
    writer = ClickHouseWriter(lambda: client, lambda count: [rows(count), rows(count, "u")], SMALL)
    writer.write([2, 3])
    writer.flush()
    assert sorted(client.inserts) == [("t", 5), ("u", 5)]
    writer.close()


def test_two_tables_are_inserted_at_once_and_one_table_never(client: RememberingClient) -> None:
    under_way: set[str] = set()
    together: list[set[str]] = []
    both = threading.Barrier(2, timeout=20)

    def insert(table: str, rows: pa.Table, settings: object) -> None:
        assert table not in under_way
        under_way.add(table)
        if rows.num_rows == 1:
            both.wait()
        together.append(set(under_way))
        under_way.discard(table)

    client.insert_arrow = insert  # type: ignore[method-assign]
    writer = ClickHouseWriter(lambda: client, limits=SMALL)
    writer.write([rows(1), rows(1, "u")])
    writer.flush()
    assert {"t", "u"} in together
    for _ in range(20):
        writer.write([rows(100), rows(100, "u")])
    writer.flush()
    writer.close()

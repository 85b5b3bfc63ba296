"""The ClickHouse writer with an outbox: no flush waits for ClickHouse, and whatever was flushed gets there."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from support.killed import kill

from contracts.errors import StoreRefusedError
from contracts.outages import is_away, stores_waited_for, waiting_since
from contracts.outputs import TableRows
from sinks.clickhouse import ClickHouseWriter
from sinks.inserts import Limits
from sinks.outbox import Outbox
from sinks.outbox_folder import files_in

QUICK = Limits(block_rows=100, due_rows=100, max_wait_seconds=3_600, max_waiting_rows=300, grace_seconds=0.0)


class Server:
    """Stands in for ClickHouse and its client: keeps the rows of each table in order; may be away, slow or refuse."""

    def __init__(self) -> None:
        self.tables: dict[str, list[int]] = {}
        self.is_away = False
        self.refuses = False
        self.open = threading.Event()
        self.open.set()

    def insert_arrow(self, table: str, rows: pa.Table, settings: dict[str, Any]) -> None:
        assert self.open.wait(20)
        if self.is_away:
            raise OperationalError("away")
        if self.refuses:
            raise DatabaseError("Code: 16. No such column", code=16)
        self.tables.setdefault(table, []).extend(rows["x"].to_pylist())

    def get(self) -> "Server":
        """What a writer connects to."""
        if self.is_away:
            raise OperationalError("away")
        return self


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def make(server: Server, tmp_path: Path) -> Iterator[Callable[..., ClickHouseWriter]]:
    made: list[ClickHouseWriter] = []

    def writer(limits: Limits = QUICK) -> ClickHouseWriter:
        made.append(ClickHouseWriter(server.get, limits=limits, outbox=Outbox(tmp_path)))
        return made[-1]

    yield writer
    server.open.set()
    for each in made:
        kill(each)


def rows(*numbers: int, table: str = "t") -> TableRows:
    return TableRows(table, pa.table({"x": pa.array(numbers, pa.int64())}))


def flushed(writer: ClickHouseWriter) -> bool:
    """Flush, and do it again."""
    writer.flush()
    return False


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_flush_does_not_wait_for_clickhouse(
    make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path
) -> None:
    server.open.clear()
    writer = make()
    writer.write([rows(1, 2), rows(3, table="u")])
    writer.flush()
    assert server.tables == {}
    assert not writer.is_stored(writer.last_put())
    server.open.set()
    wait_until(lambda: writer.is_stored(writer.last_put()))
    assert server.tables == {"t": [1, 2], "u": [3]}
    writer.close()
    assert files_in(tmp_path) == []


def test_rows_that_are_stored_before_the_flush_never_touch_the_disk(
    make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path
) -> None:
    writer = make(Limits(grace_seconds=20))
    writer.write([rows(1, 2)])
    writer.flush()
    assert server.tables == {"t": [1, 2]}
    assert files_in(tmp_path) == []
    assert writer.is_stored(writer.last_put())


def test_in_a_catch_up_a_flush_waits_for_clickhouse_unless_it_is_away(
    make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path
) -> None:
    """So does the one after it, whose rows are of the catch-up too."""
    writer = make()
    for number, patient in ((1, True), (2, False)):
        server.open.clear()
        writer.write([rows(number)])
        writer.begin_flush(patient=patient)
        assert writer.waiting == 1
        threading.Timer(0.4, server.open.set).start()
        writer.flush()
        assert writer.waiting == 0
        assert server.tables["t"][-1] == number
        assert files_in(tmp_path) == []
    server.open.clear()
    writer.write([rows(3)])
    writer.begin_flush()
    writer.flush()
    assert len(files_in(tmp_path)) == 1
    server.open.set()


def test_a_patient_flush_does_not_wait_for_a_server_that_is_away(
    make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path
) -> None:
    writer = make()
    server.is_away = True
    writer.write([rows(1)])
    writer.begin_flush(patient=True)
    writer.flush()
    assert server.tables.get("t", []) == []
    assert len(files_in(tmp_path)) == 1


def test_the_next_run_sends_what_a_killed_one_left_before_its_own(
    make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path
) -> None:
    server.is_away = True
    first = make()
    for number in range(5):
        first.write([rows(number)])
        first.flush()
    kill(first)
    server.is_away = False
    server.open.clear()
    second = make()
    second.write([rows(9)])
    second.flush()
    server.open.set()
    second.close()
    assert server.tables == {"t": [0, 1, 2, 3, 4, 9]}
    assert files_in(tmp_path) == []


def test_what_earlier_runs_left_is_sent_without_a_row_of_ones_own(
    make: Callable[..., ClickHouseWriter], server: Server
) -> None:
    server.is_away = True
    first = make()
    first.write([rows(1)])
    first.flush()
    kill(first)
    server.is_away = False
    second = make()
    wait_until(lambda: second.is_stored(second.last_put()))
    assert server.tables == {"t": [1]}


def test_rows_stay_in_order_while_clickhouse_is_away_and_memory_does_not_hold_them(
    make: Callable[..., ClickHouseWriter], server: Server
) -> None:
    server.is_away = True
    writer = make(Limits(block_rows=7, grace_seconds=0, kept_bytes=0))
    for number in range(0, 60, 3):
        writer.write([rows(number, number + 1), rows(number + 2)])
        writer.flush()
    assert all(insert.rows is None for insert in writer._queues["t"].inserts)
    server.is_away = False
    wait_until(lambda: writer.is_stored(writer.last_put()))
    assert server.tables == {"t": list(range(60))}


def test_the_caller_waits_when_too_many_rows_or_bytes_wait(
    make: Callable[..., ClickHouseWriter], server: Server
) -> None:
    for limits in (QUICK, Limits(grace_seconds=0, max_waiting_bytes=2_000)):
        server.is_away = True
        writer = make(limits)
        done = threading.Event()

        def fill(writer: ClickHouseWriter = writer, done: threading.Event = done) -> None:
            for _ in range(5):
                writer.write([rows(*range(100))])
                writer.flush()
            done.set()

        thread = threading.Thread(target=fill)
        thread.start()
        wait_until(lambda: stores_waited_for() == ["ClickHouse"])
        assert not done.is_set()
        server.is_away = False
        assert done.wait(20)
        thread.join()
        assert stores_waited_for() == []
        writer.close()


def test_an_outage_is_seen_but_holds_nothing_up(make: Callable[..., ClickHouseWriter], server: Server) -> None:
    server.is_away = True
    writer = make()
    writer.write([rows(1)])
    writer.flush()
    wait_until(lambda: is_away("ClickHouse"))
    assert waiting_since("ClickHouse") > 0
    assert stores_waited_for() == []
    server.is_away = False
    wait_until(lambda: not is_away("ClickHouse"))


def test_a_stop_sends_what_waits(make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path) -> None:
    server.open.clear()
    writer = make()
    writer.write([rows(1, 2)])
    writer.flush()
    threading.Timer(0.2, server.open.set).start()
    writer.close()
    assert server.tables == {"t": [1, 2]}
    assert files_in(tmp_path) == []


def test_a_stop_while_clickhouse_is_away_says_what_is_left(
    make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.is_away = True
    writer = make()
    writer.write([rows(1, 2)])
    writer.flush()
    began = time.monotonic()
    writer.close()
    assert time.monotonic() - began < 5
    assert f"2 rows wait in {tmp_path} for ClickHouse: the next start sends them" in caplog.text
    server.is_away = False
    make().close()
    assert server.tables == {"t": [1, 2]}


def test_a_refusal_names_the_table_and_the_file(
    make: Callable[..., ClickHouseWriter], server: Server, tmp_path: Path
) -> None:
    server.open.clear()
    server.refuses = True
    writer = make()
    writer.write([rows(1, 2)])
    writer.flush()
    (file,) = files_in(tmp_path)
    server.open.set()
    with pytest.raises(StoreRefusedError, match=rf"refused 2 rows for table t: .*They are in {file} and"):
        wait_until(partial(flushed, writer))
    kill(writer)
    server.refuses = False
    make().close()
    assert server.tables == {"t": [1, 2]}


class DiedError(Exception):
    """The process is dead."""


class Life:
    """A process that dies at its n-th call of something that changes the disk or ClickHouse, before or after it."""

    def __init__(self, dies_at: int, *, after: bool):
        self._left, self._after = dies_at, after
        self.is_over = False
        self._lock = threading.Lock()

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function in this process."""

        def call(*args: Any, **names: Any) -> Any:
            with self._lock:
                if self.is_over:
                    raise DiedError
                self._left -= 1
                self.is_over = self._left < 0
                if self.is_over and not self._after:
                    raise DiedError
                made = function(*args, **names)
                if self.is_over:
                    raise DiedError
                return made

        return call


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies_at", range(0, 40, 1))
def test_killed_at_any_call_every_committed_row_is_in_the_table(
    dies_at: int, after: bool, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    life, committed = Life(dies_at, after=after), []
    with monkeypatch.context() as patch:
        for name in ("writev", "fdatasync", "unlink"):
            patch.setattr(os, name, life.of(getattr(os, name)))
        patch.setattr(server, "insert_arrow", life.of(server.insert_arrow))
        writer = ClickHouseWriter(lambda: server, limits=QUICK, outbox=Outbox(tmp_path, file_bytes=600))
        try:
            for number in range(0, 30, 3):
                writer.write([rows(number, number + 1), rows(number + 2, table="u")])
                writer.flush()
                committed += [number, number + 1, number + 2]
        except (DiedError, StoreRefusedError):
            pass
        life.is_over = True
        kill(writer)
    second = ClickHouseWriter(lambda: server, limits=QUICK, outbox=Outbox(tmp_path))
    second.close()
    assert {number for table in server.tables.values() for number in table} >= set(committed)
    assert files_in(tmp_path) == []

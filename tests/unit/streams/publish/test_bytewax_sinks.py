"""The parts of a sink share one writer, which is durable at every snapshot and gone when the last part is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main

from contracts.errors import StoreUnavailableError
from streams import error_boundary as edge
from streams.publish.bytewax_sinks import WriterPart, WriterSink


@dataclass
class Notebook:
    """A writer that notes what it is told to do."""

    notes: list[str] = field(default_factory=list)
    written: list[Any] = field(default_factory=list)

    def write(self, batch: Sequence[Any]) -> None:
        self.notes.append("write")
        self.written += batch

    def flush(self) -> None:
        self.notes.append("flush")

    def close(self) -> None:
        self.notes.append("close")


@dataclass
class Store:
    """Gives a notebook to whom connects and keeps them all; refuses as often as it is ``down``."""

    connected: list[Notebook] = field(default_factory=list)
    down: int = 0

    def connect(self) -> Notebook:
        if self.down:
            self.down -= 1
            raise StoreUnavailableError("the store is down")
        self.connected.append(Notebook())
        return self.connected[-1]


@pytest.fixture
def store() -> Store:
    return Store()


def parts_of(outlet: WriterSink[Any], count: int) -> list[WriterPart]:
    return [outlet.build_part("write", name, None) for name in outlet.list_parts()[:count]]


def test_it_connects_when_its_first_part_is_built_and_not_before(store: Store) -> None:
    outlet = WriterSink(3, store.connect)
    assert store.connected == []
    parts_of(outlet, 1)
    assert len(store.connected) == 1


def test_its_writer_can_be_reached_while_a_part_is_open(store: Store) -> None:
    outlet = WriterSink(2, store.connect)
    assert outlet.writer is None
    first, second = parts_of(outlet, 2)
    first.close()
    assert outlet.writer is store.connected[0]
    second.close()
    assert outlet.writer is None


def test_the_parts_of_a_process_share_one_writer(store: Store) -> None:
    for number, part in enumerate(parts_of(WriterSink(3, store.connect), 3)):
        part.write_batch([number])
    (writer,) = store.connected
    assert writer.written == [0, 1, 2]


def test_a_snapshot_of_any_part_makes_everything_durable(store: Store) -> None:
    first, second = parts_of(WriterSink(2, store.connect), 2)
    first.write_batch(["a"])
    second.snapshot()
    assert store.connected[0].notes == ["write", "flush"]


def test_every_part_flushes_when_it_closes_and_the_last_one_disconnects(store: Store) -> None:
    first, second = parts_of(WriterSink(2, store.connect), 2)
    first.close()
    second.write_batch(["b"])
    second.close()
    assert store.connected[0].notes == ["flush", "write", "flush", "close"]


def test_after_the_last_part_has_closed_a_new_one_connects_anew(store: Store) -> None:
    outlet = WriterSink(2, store.connect)
    for part in parts_of(outlet, 2):
        part.close()
    parts_of(outlet, 1)[0].write_batch(["c"])
    first, second = store.connected
    assert (first.notes[-1], first.written, second.written) == ("close", [], ["c"])


def test_it_can_be_opened_before_its_first_part_and_not_after_its_last(store: Store) -> None:
    outlet = WriterSink(2, store.connect)
    outlet.open()
    outlet.open()
    (part,) = parts_of(outlet, 1)
    assert len(store.connected) == 1
    part.close()
    outlet.open()
    assert outlet.writer is None
    assert len(store.connected) == 1


def test_a_part_that_could_not_connect_does_not_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "failures", [])
    store.down = 1
    outlet = WriterSink(1, store.connect)
    with pytest.raises(StoreUnavailableError):
        parts_of(outlet, 1)
    parts_of(outlet, 1)[0].close()
    assert store.connected[0].notes == ["flush", "close"]


def test_parts_are_numbered_so_that_keys_find_them_in_order(store: Store) -> None:
    outlet = WriterSink(12, store.connect)
    assert outlet.list_parts() == sorted(outlet.list_parts())
    assert [outlet.part_fn(str(number)) for number in range(12)] == [int(name) for name in outlet.list_parts()]


def test_the_engine_hands_everything_over_and_flushes_before_it_closes(store: Store) -> None:
    flow = Dataflow("outlet")
    numbers = op.input("numbers", flow, TestingSource([(str(number), number) for number in range(9)], batch_size=2))
    op.output("write", numbers, WriterSink(4, store.connect))
    run_main(flow, epoch_interval=timedelta(0))
    (writer,) = store.connected
    assert sorted(writer.written) == list(range(9))
    assert writer.notes.index("flush") < len(writer.notes) - 1 - writer.notes[::-1].index("write")
    assert writer.notes[-2:] == ["flush", "close"]
    assert writer.notes.count("close") == 1

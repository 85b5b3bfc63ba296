"""A connector with a backlog says so in the log, and once that it has caught up: no clock overtakes it meanwhile."""

from collections.abc import Iterator, Sequence
from threading import Event as StopEvent

import pytest

from connectors.databases import pump as pumping
from connectors.databases.pump import FINISHED, OPEN, Figures, Pump, Rules, Step, Unreadable
from connectors.door.door import Door
from connectors.kafka.positions import Position
from connectors.protocol import Record
from connectors.sources.source import Source as SourceRules
from contracts.events import TICK_KEY, Tick

ROW = Unreadable({"id": 1}, "id", "is no id")


class Steps:
    """A source with these steps."""

    reached = True

    def __init__(self, *steps: Step):
        self._steps = steps

    def steps(self, position: Position | None, *, again: bool) -> Iterator[Step]:
        yield from self._steps

    def confirm(self, position: Position) -> None: ...

    def told(self) -> str:
        return ""

    def close(self) -> None: ...


def written(monkeypatch: pytest.MonkeyPatch, *steps: Step) -> list[list[Record]]:
    """What is written of the steps, transaction by transaction; notes only."""
    batches: list[list[Record]] = []

    class Publisher:
        def __init__(self, *_: object): ...

        def write(self, records: Sequence[Record], *_: object) -> None:
            batches.append([record for record in records if record.key == TICK_KEY])

    monkeypatch.setattr(pumping, "TransactionalPublisher", Publisher)
    monkeypatch.setattr(pumping, "read_position", lambda *_: None)
    rules = Rules({}, Door(SourceRules(name="shop"), "connect"))
    figures: list[Figures] = []
    pump = Pump(
        Steps(*steps), lambda: rules, "127.0.0.1:1", 4, "shop", StopEvent(), figures.append, lambda *_: None
    )
    assert pump.run().events == 0
    return batches


def test_a_backlog_is_open_and_finishes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [
        Step([ROW], {"at": 1}), Step([ROW], {"at": 2}), Step([], {"at": 2}, caught_up=True),
        Step([ROW], {"at": 3}, caught_up=True),
    ]  # fmt: skip
    assert written(monkeypatch, *steps) == [[OPEN], [OPEN], [FINISHED], []]


def test_who_keeps_up_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, *(Step([ROW], {"at": n}, caught_up=True) for n in range(3))) == [[], [], []]


def test_the_last_page_of_a_backlog_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written(monkeypatch, Step([ROW], {"at": 1}), Step([ROW], {"at": 2}, caught_up=True)) == [[OPEN], [FINISHED]]


def test_notes_are_ticks_that_move_no_clock() -> None:
    for record, intent in ((OPEN, "open"), (FINISHED, "finished")):
        tick = Tick.model_validate_json(record.value or b"")
        assert (tick.history, tick.occurred_at.year, record.key) == (intent, 1970, TICK_KEY)

"""The one engine step: it hands whole activations to its machine, resumes once, works in slices, stores its state."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main

from contracts.errors import StateError
from contracts.machine import Machine
from contracts.state import Part, Value
from streams import error_boundary, pace
from streams.pace import Pace
from streams.state import background
from streams.state.owner import Owner
from streams.state.store import StepStore
from streams.steps import AT_ONCE, Step

Token = Mapping[str, object]
Steps = Callable[..., Step[int, object]]


class Adding(Machine[int, object]):
    """A machine that keeps a sum, and says what it is and how many items came together."""

    def __init__(self) -> None:
        self.total, self.left, self.urgent, self.held = 0, 0, False, False
        self._parts: dict[str, Part] = {"total": Value(int, lambda: self.total, self._set)}

    def take(self, items: Sequence[int]) -> list[object]:
        self.total += sum(items)
        return [(len(items), self.total)]

    def resumed(self) -> tuple[object, ...]:
        return (("resumed", self.total),)

    def parts(self) -> Mapping[str, Part]:
        return self._parts

    def has_work(self) -> bool:
        return self.left > 0

    def is_urgent(self) -> bool:
        return self.urgent

    def is_held(self) -> bool:
        return self.held

    def work(self) -> list[object]:
        self.left -= 1
        return [("left", self.left)]

    def _set(self, total: int) -> None:
        self.total = total


@pytest.fixture
def step(tmp_path: Path) -> Steps:
    """Makes steps, of a new run each, which store their state in one folder."""

    def make(
        saved: Token | None = None, make: Callable[[], Adding] = Adding, pace: Pace | None = None
    ) -> Step[int, object]:
        return Step(saved, make, StepStore(tmp_path, "add"), lambda _: "0", pace)

    return make


@pytest.fixture
def seven(step: Steps) -> Token:
    """The token of a sum of seven."""
    first = step()
    first.on_batch([7])
    return first.snapshot()


def test_all_items_of_an_activation_are_taken_in_one_go(step: Steps) -> None:
    one = step()
    assert one.on_batch([1, 2, 3]) == ([(3, 6)], StatefulBatchLogic.RETAIN)
    assert one.on_batch([4]) == ([(1, 10)], StatefulBatchLogic.RETAIN)


def test_a_first_run_resumes_nothing_and_asks_for_no_wake_up(step: Steps) -> None:
    one = step()
    assert one.notify_at() is None
    assert one.on_batch([1]) == ([(1, 1)], StatefulBatchLogic.RETAIN)


def test_a_resumption_is_woken_at_once_and_given_out_once(step: Steps, seven: Token) -> None:
    one = step(seven)
    due = one.notify_at()
    assert due is not None
    assert due < datetime.now(UTC) - timedelta(days=1)
    assert one.on_notify() == ([("resumed", 7)], StatefulBatchLogic.RETAIN)
    assert one.notify_at() is None
    assert one.on_notify() == ([], StatefulBatchLogic.RETAIN)
    assert one.on_batch([1]) == ([(1, 8)], StatefulBatchLogic.RETAIN)


def test_what_a_resumption_completes_comes_before_items_that_overtake_the_wake_up(step: Steps, seven: Token) -> None:
    one = step(seven)
    assert one.on_batch([1]) == ([("resumed", 7), (1, 8)], StatefulBatchLogic.RETAIN)
    assert one.notify_at() is None


def test_slices_of_work_are_done_between_batches_until_none_is_left(step: Steps) -> None:
    machine = Adding()
    one = step(None, lambda: machine)
    one.on_batch([1])
    machine.left = 2
    made = []
    while (due := one.notify_at()) is not None:
        assert due < datetime.now(UTC) + timedelta(seconds=1)
        made += one.on_notify()[0]
    assert made == [("left", 1), ("left", 0)]


def test_urgent_work_goes_on_without_a_rest(step: Steps) -> None:
    machine = Adding()
    one = step(None, lambda: machine)
    one.on_batch([1])
    machine.left, machine.urgent = 3, True
    for left in (2, 1, 0):
        assert one.notify_at() == AT_ONCE
        assert one.on_notify()[0] == [("left", left)]
    assert one.notify_at() is None


def test_work_that_is_held_is_looked_at_again_later_and_keeps_no_other_from_its_turn(step: Steps) -> None:
    pace, held, other = Pace(), Adding(), Adding()
    first, second = (step(None, lambda each=each: each, pace) for each in (held, other))
    for one, machine in ((first, held), (second, other)):
        one.on_batch([1])
        machine.left = 1
    held.held = held.urgent = True
    due = first.notify_at()
    assert due is not None
    assert datetime.now(UTC) < due < datetime.now(UTC) + timedelta(seconds=1)
    assert first.on_notify()[0] == []
    assert first.on_eof()[0] == []
    assert second.on_notify()[0] == [("left", 0)]
    held.held = False
    assert first.on_notify()[0] == [("left", 0)]


def test_a_snapshot_is_of_its_moment(step: Steps) -> None:
    """The engine stores snapshots later, when the state has moved on."""
    one = step()
    one.on_batch([1])
    snapshot = one.snapshot()
    one.on_batch([2])
    one.snapshot()
    assert step(snapshot).on_batch([10])[0][-1] == (1, 11)


def test_what_fails_in_a_machine_is_kept_for_the_log(step: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []
    monkeypatch.setattr(error_boundary, "failures", failures)
    with pytest.raises(TypeError):
        step().on_batch(["x"])  # type: ignore[list-item]
    assert len(failures) == 1


def _sum(items: list[object], tmp_path: Path, out: list[object]) -> None:
    flow, state = Dataflow("test"), tmp_path / "state"
    numbers = op.input("numbers", flow, TestingSource(items, batch_size=3))
    stores = StepStore(state, "add")
    added = op.stateful_batch("add", numbers, lambda saved: Step(saved, Adding, stores, lambda _: "all"))
    op.output("out", added, TestingSink(out))
    run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(tmp_path / "db", timedelta(0)))


def test_the_engine_keeps_one_machine_for_each_key_and_resumes_it_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()
    init_db_dir(tmp_path / "db", 1)
    first: list[object] = [("a", 1), ("a", 2), TestingSource.EOF(), ("a", 4)]
    out: list[object] = []
    _sum(first, tmp_path, out)
    assert out == [("a", (2, 3))]
    out.clear()
    _sum(first, tmp_path, out)
    assert [item for _, item in out if item[0] != "resumed"] == [(1, 7)]  # type: ignore[index, misc, has-type]
    assert ("a", ("resumed", 3)) in out


def test_the_engine_commits_nothing_that_is_not_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even an epoch in which no sink got anything."""
    (tmp_path / "db").mkdir()
    init_db_dir(tmp_path / "db", 1)

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    failures: list[BaseException] = []
    monkeypatch.setattr(error_boundary, "failures", failures)
    monkeypatch.setattr(StepStore.__init__, "__defaults__", (background.Background(), Owner(), frozenset()))
    monkeypatch.setattr(Adding, "take", lambda self, items: self._set(self.total + sum(items)) or [])
    with monkeypatch.context() as patch:
        patch.setattr(background.os, "fdatasync", broken)
        with pytest.raises(StateError, match="Input/output error"):
            _sum([("a", 1), ("a", 2)], tmp_path, [])
    assert len(failures) == 1
    monkeypatch.setattr(StepStore.__init__, "__defaults__", (background.Background(), Owner(), frozenset()))
    monkeypatch.undo()
    out: list[object] = []
    _sum([("a", 1), ("a", 2)], tmp_path, out)
    assert out == [("a", (2, 3))]


def test_a_token_is_plain_values_for_the_engine(seven: Token) -> None:
    assert type(pickle.loads(pickle.dumps(seven))) is dict


def test_a_step_that_stops_finishes_its_work_if_there_is_time(step: Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Adding()
    stopping = step(None, lambda: machine)
    stopping.on_batch([1])
    machine.left = 3
    assert stopping.on_eof() == ([("left", 2), ("left", 1), ("left", 0)], False)
    monkeypatch.setattr(pace, "FINISH_SECONDS", 0.0)
    late = step(None, lambda: machine)
    machine.left = 3
    assert late.on_eof() == ([], False)
    assert machine.has_work()

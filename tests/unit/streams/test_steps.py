"""The one engine step: it hands whole activations to its machine, resumes once, and freezes at once."""

import pickle
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink, TestingSource, run_main

from streams import error_boundary
from streams.steps import Step


class Adding:
    """A machine that keeps a sum, and says what it is and how many items came together."""

    def __init__(self, saved: bytes | None):
        self.total: int = pickle.loads(saved) if saved else 0

    def take(self, items: Sequence[int]) -> list[tuple[int, int]]:
        self.total += sum(items)
        return [(len(items), self.total)]

    def resumed(self) -> tuple[tuple[str, int], ...]:
        return (("resumed", self.total),)

    def freeze(self) -> bytes:
        return pickle.dumps(self.total)


def test_all_items_of_an_activation_are_taken_in_one_go() -> None:
    step = Step(None, Adding)
    assert step.on_batch([1, 2, 3]) == ([(3, 6)], StatefulBatchLogic.RETAIN)
    assert step.on_batch([4]) == ([(1, 10)], StatefulBatchLogic.RETAIN)


def test_a_first_run_resumes_nothing_and_asks_for_no_wake_up() -> None:
    step = Step(None, Adding)
    assert step.notify_at() is None
    assert step.on_batch([1]) == ([(1, 1)], StatefulBatchLogic.RETAIN)


def test_a_resumption_is_woken_at_once_and_given_out_once() -> None:
    step = Step(pickle.dumps(7), Adding)
    due = step.notify_at()
    assert due is not None
    assert due < datetime.now(UTC) - timedelta(days=1)
    assert step.on_notify() == ([("resumed", 7)], StatefulBatchLogic.RETAIN)
    assert step.notify_at() is None
    assert step.on_notify() == ([], StatefulBatchLogic.RETAIN)
    assert step.on_batch([1]) == ([(1, 8)], StatefulBatchLogic.RETAIN)


def test_what_a_resumption_completes_comes_before_items_that_overtake_the_wake_up() -> None:
    step = Step(pickle.dumps(7), Adding)
    assert step.on_batch([1]) == ([("resumed", 7), (1, 8)], StatefulBatchLogic.RETAIN)
    assert step.notify_at() is None


def test_a_snapshot_is_of_its_moment() -> None:
    """The engine stores snapshots later, when the state has moved on."""
    step = Step(None, Adding)
    step.on_batch([1])
    snapshot = step.snapshot()
    step.on_batch([2])
    assert Step(snapshot, Adding).on_batch([10])[0][-1] == (1, 11)


def test_what_fails_in_a_machine_is_kept_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[BaseException] = []
    monkeypatch.setattr(error_boundary, "failures", failures)
    step = Step(None, Adding)
    with pytest.raises(TypeError):
        step.on_batch(["x"])  # type: ignore[list-item]
    assert len(failures) == 1


def test_the_engine_keeps_one_machine_for_each_key() -> None:
    flow, out = Dataflow("test"), []
    numbers = op.input("numbers", flow, TestingSource([("a", 1), ("b", 10), ("a", 2)], batch_size=3))
    op.output("out", op.stateful_batch("add", numbers, lambda saved: Step(saved, Adding)), TestingSink(out))
    run_main(flow)
    assert sorted(out) == [("a", (2, 3)), ("b", (1, 10))]

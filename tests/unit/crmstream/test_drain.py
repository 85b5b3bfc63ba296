"""Waiting for the dataflow, on offsets that a test writes."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from contracts.errors import StackError, StoreUnavailableError
from contracts.topics import DEAD_LETTERS, INPUT_TOPICS
from crmstream import drain
from crmstream.drain import Drained, drained, log_ends, wait_until_drained, wait_until_none
from crmstream.observe.kafka import Offsets
from sinks.outbox import Outbox

A, B = ((INPUT_TOPICS[0].name, 0), (INPUT_TOPICS[1].name, 1))
LETTERS = (DEAD_LETTERS.name, 0)


def offsets(ends: tuple[int, int], committed: tuple[int | None, int | None]) -> Offsets:
    known = {place: at for place, at in zip((A, B), committed, strict=True) if at is not None}
    return Offsets({A: 10, B: 0, LETTERS: 0}, {A: ends[0], B: ends[1], LETTERS: 5}, known)


class View:
    """Gives out one answer after the other; None is a Kafka that does not answer."""

    def __init__(self, *answers: Offsets | None):
        self._answers: Iterator[Offsets | None] = iter(answers)

    def offsets(self) -> Offsets:
        answer = next(self._answers)
        if answer is None:
            raise StoreUnavailableError("does not answer")
        return answer


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "POLL_SECONDS", 0)


def test_counts_from_the_start_of_the_log_up_to_the_mark() -> None:
    mark = log_ends(offsets((30, 4), (None, None)))
    assert mark == {A: 30, B: 4}
    assert drained(offsets((30, 4), (None, None)), mark) == Drained(0, 24)
    assert drained(offsets((90, 9), (5, 3)), mark) == Drained(3, 24)
    assert drained(offsets((90, 9), (80, 4)), mark) == Drained(24, 24)


def test_waits_for_what_stood_there_and_not_for_what_comes() -> None:
    view = View(offsets((30, 4), (None, None)), None, offsets((60, 9), (25, 4)), offsets((90, 9), (31, 4)))
    seen: list[int] = []
    polls: list[int] = []
    wait_until_drained(view, lambda: polls.append(1), lambda state: seen.append(state.left))
    assert seen == [24, 5, 0]
    assert len(polls) == 4


def test_an_empty_log_is_worked_off() -> None:
    wait_until_drained(View(offsets((10, 0), (None, None))), lambda: None)


def test_a_dataflow_that_stands_still_is_reported() -> None:
    stands = offsets((30, 4), (15, 0))
    with pytest.raises(StackError, match="has not moved for 0 s"):
        wait_until_drained(View(*[stands] * 3), lambda: None, stall_seconds=0)


def test_what_the_stack_raises_ends_the_waiting() -> None:
    def dead() -> None:
        raise StackError("a worker died")

    with pytest.raises(StackError, match="a worker died"):
        wait_until_drained(View(), dead)


def test_rows_that_wait_for_clickhouse_are_waited_for(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    tickets = outbox.put([("t", pa.table({"x": [1]}))])
    polls = 0

    def poll() -> None:
        nonlocal polls
        polls += 1
        if polls == 5:
            outbox.put([("t", pa.table({"x": [2]}))])
            outbox.done(tickets)

    wait_until_drained(View(offsets((10, 0), (None, None))), poll, outbox=tmp_path)
    assert polls == 5, "rows that come later are not waited for"


def test_a_count_is_waited_for_while_it_falls() -> None:
    counts, polls = iter([5, 5, 2, 0]), []
    wait_until_none(lambda: next(counts), lambda: polls.append(1), stall_seconds=30)
    assert len(polls) == 3
    with pytest.raises(StackError):
        wait_until_none(lambda: 7, lambda: None, stall_seconds=0)

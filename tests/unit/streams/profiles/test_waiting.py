"""What waits comes when its slot has come, in the order in which it came."""

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.columns import Happening, columns

from streams.profiles.waiting import Waiting


@given(st.lists(st.lists(st.integers(0, 5), max_size=5), max_size=5), st.lists(st.integers(-1, 6), max_size=5))
def test_due_are_all_up_to_a_slot_in_their_order(batches: list[list[int]], asked: list[int]) -> None:
    waiting, expected, number = Waiting(), [], 0
    for batch, slot in zip(batches, asked, strict=False):
        numbers = list(range(number, number + len(batch)))
        number += len(batch)
        waiting.put(np.array(batch, np.int64), np.array(numbers, np.int64), np.array(list(map(str, numbers)), object))
        expected += list(zip(batch, numbers, strict=True))
        waiting = pickle.loads(pickle.dumps(waiting))
        assert len(waiting) == len(expected)
        assert waiting.first == min((due for due, _ in expected), default=None)
        due = waiting.due(slot)
        found = [] if due is None else due[0].tolist()
        assert found == [each for at, each in expected if at <= slot]
        assert due is None or due[1].tolist() == list(map(str, found))
        expected = [pair for pair in expected if pair[0] > slot]


def test_events_wait_as_they_are() -> None:
    customers, events = columns([Happening("a", 5, amount=3), Happening("b", 6, slot=2), Happening("c", 7)])
    waiting = Waiting()
    waiting.put(events["slot"], events, customers)
    first, second = waiting.due(1), waiting.due(2)
    assert first is not None
    assert second is not None
    assert first[0].tobytes() == events[[0, 2]].tobytes()
    assert second[1].tolist() == ["b"]

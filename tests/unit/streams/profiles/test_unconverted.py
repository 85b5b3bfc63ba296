"""Waiting amounts restored from what was added and taken."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.restarting import STEPS, Restarting

from contracts.blocks import UNCONVERTED_DTYPE
from contracts.state import Part
from streams.profiles.unconverted import Unconverted


class Holder:
    def __init__(self) -> None:
        self.waiting = Unconverted()

    def parts(self) -> dict[str, Part]:
        return {"waiting": self.waiting}

    def act(self, what: int, row: int) -> object:
        entries = np.zeros(2, UNCONVERTED_DTYPE)
        entries["row"], entries["amount"] = (row, row + 1), (10 * row, 7)
        match what:
            case 0:
                self.waiting.add(entries)
            case 1:
                return self.waiting.take(np.array([row])).tolist()
            case 2:
                self.waiting.replace(self.waiting.entries[self.waiting.entries["row"] != row])
        return self.waiting.entries.tolist()


@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 1, 1, 2]), st.integers(0, 4)), max_size=20),
    st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=20),
)
def test_amounts_restored_from_their_changes_are_the_same_in_the_same_order(
    acts: list[tuple[int, int]], steps: list[int]
) -> None:
    holder, plain, turns = Restarting(Holder), Holder(), itertools.cycle(steps)
    for act in acts:
        assert holder.machine.act(*act) == plain.act(*act)
        holder.step(next(turns))
    assert holder.machine.waiting.entries.tolist() == plain.waiting.entries.tolist()

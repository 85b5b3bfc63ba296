"""Sparse rows are read like dense ones, and take memory only where there is a history."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.blocks import RowArray
from streams.profiles.row_store import DenseRows, SparseRows
from streams.profiles.rows import blank_rows

SIZE = 12
Step = tuple[str, list[int]]
steps = st.lists(st.tuples(st.sampled_from(["put", "blank", "clear"]), st.sets(st.integers(0, SIZE - 1)).map(sorted)))


def with_events(at: list[int], number: int) -> RowArray:
    rows = blank_rows(len(at))
    rows["events"], rows["slot"] = number + 1, at
    return rows


@given(steps)
def test_sparse_rows_hold_what_dense_ones_hold(chosen: list[Step]) -> None:
    dense, sparse = DenseRows(), SparseRows()
    for number, (what, positions) in enumerate(chosen):
        at = np.array(positions, np.int64)
        rows = blank_rows(len(at)) if what == "blank" else with_events(positions, number)
        for store in (dense, sparse):
            store.reach(min(SIZE, max(positions, default=0) + 1))
            if what == "clear":
                store.clear(at)
            else:
                store.put(at, rows)
        assert sparse.all().tobytes() == dense.all().tobytes()
        assert sparse.take(at).tobytes() == dense.take(at).tobytes()
        assert sparse.column("slot", slice(1, 7)).tolist() == dense.column("slot", slice(1, 7)).tolist()
        assert sparse.column("slot", at).tolist() == dense.column("slot", at).tolist()
        assert sparse.held().tolist() == np.flatnonzero(dense.all()["events"]).tolist()


def test_cleared_rows_give_their_memory_to_others() -> None:
    rows = SparseRows()
    rows.reach(100_000)
    for start in range(0, 100_000, 100):
        at = np.arange(start, start + 100)
        rows.put(at, with_events(at.tolist(), 0))
        rows.clear(at)
    assert rows._used == 101
    assert not len(rows.held())

"""Tables of profiles: positions that stay, released ones that are used again, and the same after pickling."""

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from contracts.blocks import UNCONVERTED_DTYPE
from streams.profiles.rows import blank_rows
from streams.profiles.table import ProfileTable

DAY = 86_400_000_000


def moved(table: ProfileTable, name: str, events: int) -> int:
    """Give somebody events; return the position."""
    at = table.locate([name])
    rows = blank_rows(1)
    rows["slot"], rows["events"] = 0, events
    table.add(at, rows, DAY)
    table.touch(at, np.array([events * 1_000]))
    return int(at[0])


def test_positions_stay_while_the_table_grows() -> None:
    table = ProfileTable()
    first = table.locate(["a", "b", "a"])
    assert first.tolist() == [0, 1, 0]
    table.locate([f"c{number}" for number in range(500)])
    assert table.locate(["b", "a"]).tolist() == [1, 0]
    assert table.names[[0, 1, 501]].tolist() == ["a", "b", "c499"]
    assert table.find("c499") == 501
    assert table.find("d") is None
    assert len(table) == len(table.rows) == 502


def test_a_new_row_is_blank_and_has_its_key() -> None:
    table = ProfileTable()
    table.locate(["a"])
    expected = blank_rows(1)
    expected["key"] = xxh3_64_intdigest(b"a")
    assert table.rows.tobytes() == expected.tobytes()


def test_a_released_position_is_blank_and_goes_to_the_next_one() -> None:
    table = ProfileTable()
    for name in "abc":
        moved(table, name, 3)
    table.unconverted.add(np.ones(1, UNCONVERTED_DTYPE))
    table.release(np.array([1]))
    assert (len(table), table.find("b"), table.names.tolist()) == (2, None, ["a", "", "c"])
    assert (table.rows["events"].tolist(), table.changed.tolist()) == ([3, 0, 3], [True, False, True])
    assert not len(table.unconverted)
    assert 1 not in table.in_order()
    assert moved(table, "d", 1) == 1
    assert table.rows["events"].tolist() == [3, 1, 3]
    assert sorted(table.names[table.in_order()]) == ["a", "c", "d"]
    assert moved(table, "e", 1) == 3


def test_a_cleared_row_keeps_its_id() -> None:
    table = ProfileTable()
    at = np.array([moved(table, "a", 3)])
    table.clear(at)
    assert (table.find("a"), table.rows["events"].tolist(), table.changed.tolist()) == (0, [0], [False])
    assert table.rows["key"].tolist() == [xxh3_64_intdigest(b"a")]


def test_a_row_remembers_the_oldest_record_since_it_was_given_out() -> None:
    table = ProfileTable()
    at = table.locate(["a", "b", "c"])
    table.touch(at[[0, 0, 1]], np.array([7, 5, 0]))
    table.touch(at[[0, 1]], np.array([9, 8]))
    assert table.entered.tolist() == [5, 8, 0]
    assert table.changed.tolist() == [True, True, False]
    table.given_out(at[:1])
    assert table.entered.tolist() == [0, 8, 0]
    table.touch(at[:1], np.array([11]))
    assert table.entered.tolist() == [11, 8, 0]


def test_rows_of_one_profile_in_one_call_are_all_added() -> None:
    table = ProfileTable()
    at = table.locate(["a", "b", "a", "a"])
    rows = blank_rows(4)
    rows["slot"], rows["events"] = 0, [1, 10, 2, 3]
    table.add(at, rows, DAY)
    assert table.rows["events"].tolist() == [6, 10]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=30), st.integers(0, 30))
def test_a_table_is_a_mapping_of_ids_also_after_pickling(steps: list[tuple[str, bool]], cut: int) -> None:
    table, expected = ProfileTable(), {}
    for number, (name, adds) in enumerate(steps):
        if number == cut:
            table = pickle.loads(pickle.dumps(table))
        if adds:
            moved(table, name, 1)
            expected[name] = expected.get(name, 0) + 1
        elif name in expected:
            table.release(table.locate([name]))
            del expected[name]
    order = table.in_order()
    keys = sorted(expected, key=lambda name: xxh3_64_intdigest(name.encode()))
    assert table.names[order].tolist() == keys
    assert table.rows["events"][order].tolist() == [expected[name] for name in keys]
    assert len(table.rows) <= 8

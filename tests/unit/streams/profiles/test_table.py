"""Tables of profiles: positions that stay, released ones that are used again, and the same table from its changes."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from contracts.blocks import UNCONVERTED_DTYPE, RowArray
from contracts.currencies import number_of
from contracts.rates import Rates
from streams.profiles.rows import blank_rows
from streams.profiles.table import ProfileTable
from streams.state.frames import decode, encode

EURO = number_of("EUR")
DAY = 86_400_000_000


def ids_of(table: ProfileTable) -> list[str]:
    """All ids by position."""
    ids: list[str] = table.names.take(np.arange(len(table.names))).tolist()
    return ids


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
    assert table.names.take(np.array([0, 1, 501])).tolist() == ["a", "b", "c499"]
    assert table.find("c499") == 501
    assert table.find("d") is None
    assert len(table) == len(table.rows) == 502


def test_a_new_row_is_blank_and_has_its_key() -> None:
    table = ProfileTable()
    table.locate(["a"])
    assert table.rows.tobytes() == blank_rows(1).tobytes()
    assert table.keys.tolist() == [xxh3_64_intdigest(b"a")]


def test_a_released_position_is_blank_and_goes_to_the_next_one() -> None:
    table = ProfileTable()
    for name in "abc":
        moved(table, name, 3)
    table.unconverted.add(np.ones(1, UNCONVERTED_DTYPE))
    table.release(np.array([1]))
    assert (len(table), table.find("b"), ids_of(table)) == (2, None, ["a", "", "c"])
    assert (table.rows["events"].tolist(), table.changed.tolist()) == ([3, 0, 3], [True, False, True])
    assert not len(table.unconverted)
    assert 1 not in table.in_order()
    assert moved(table, "d", 1) == 1
    assert table.rows["events"].tolist() == [3, 1, 3]
    assert sorted(table.names.take(table.in_order())) == ["a", "c", "d"]
    assert moved(table, "e", 1) == 3


def test_a_cleared_row_keeps_its_id() -> None:
    table = ProfileTable()
    at = np.array([moved(table, "a", 3)])
    table.clear(at)
    assert (table.find("a"), table.rows["events"].tolist(), table.changed.tolist()) == (0, [0], [False])
    assert table.keys.tolist() == [xxh3_64_intdigest(b"a")]


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


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=30))
def test_a_table_is_a_mapping_of_ids(steps: list[tuple[str, bool]]) -> None:
    table = ProfileTable()
    expected: dict[str, int] = {}
    for name, adds in steps:
        if adds:
            moved(table, name, 1)
            expected[name] = expected.get(name, 0) + 1
        elif name in expected:
            table.release(table.locate([name]))
            del expected[name]
    order = table.in_order()
    keys = sorted(expected, key=lambda name: xxh3_64_intdigest(name.encode()))
    assert table.names.take(order).tolist() == keys
    assert table.rows["events"][order].tolist() == [expected[name] for name in keys]
    assert len(table.rows) <= 8


class Shop:
    """A table to which anything is done, and the frames that a store would hold of it."""

    def __init__(self) -> None:
        self.table = ProfileTable()
        self.frames = [encode({"table": self.table.whole()})]

    def do(self, what: str, names: Sequence[str], number: int) -> None:
        table = self.table
        known = np.array([table.find(name) for name in names if table.find(name) is not None], np.int64)
        if what == "save":
            self.frames.append(encode({"table": table.changes()}))
        elif what == "rebase":
            self.frames = [encode({"table": table.whole()})]
        elif what == "locate":
            table.locate(names)
        elif what == "add":
            at = table.locate(names)
            table.add(at, made(len(at), number), DAY)
            table.touch(at, np.full(len(at), number))
        elif what == "wait":
            entries = np.zeros(len(names), UNCONVERTED_DTYPE)
            entries["row"], entries["amount"], entries["currency"] = table.locate(names), number, EURO
            table.unconverted.add(entries)
        elif what == "convert":
            table.convert(Rates("USD", {"EUR": ((0, 2.0),)}), number, DAY)
        else:
            getattr(table, what)(np.unique(known))

    def restored(self) -> ProfileTable:
        table = ProfileTable()
        for frame in self.frames:
            for parts in decode(memoryview(frame)):
                table.apply(parts["table"])
        return table


def made(count: int, number: int) -> RowArray:
    """Rows with events."""
    rows = blank_rows(count)
    rows["slot"], rows["events"], rows["orders"] = number, number, 1
    return rows


def everything(table: ProfileTable) -> tuple[object, ...]:
    return (
        ids_of(table), table.rows.tobytes(), table.changed.tolist(), table.entered.tolist(),
        table.unpublished().tolist(), table.in_order().tolist(), len(table), table.unconverted.entries.tolist(),
    )  # fmt: skip


ACTIONS = ("save", "rebase", "add", "add", "add", "locate", "wait", "convert", "release", "release", "clear",
           "given_out", "save")  # fmt: skip
steps = st.tuples(
    st.sampled_from(ACTIONS), st.lists(st.sampled_from("abcdefghäöü€"), min_size=1, max_size=4), st.integers(1, 9)
)


@settings(max_examples=100)
@given(done=st.lists(steps, max_size=25), later=st.lists(steps, max_size=8))
def test_a_table_from_its_whole_and_its_changes_is_the_same_now_and_later(
    done: list[tuple[str, list[str], int]], later: list[tuple[str, list[str], int]]
) -> None:
    shop = Shop()
    for what, names, number in done:
        shop.do(what, names, number)
    shop.do("save", (), 0)
    other = Shop()
    other.table = shop.restored()
    assert everything(other.table) == everything(shop.table)
    for each in (shop, other):
        each.do("rebase", (), 0)
        for what, names, number in later:
            each.do(what, names, number)
        each.do("save", (), 0)
    assert everything(other.table) == everything(shop.table)
    assert everything(other.restored()) == everything(shop.restored()) == everything(shop.table)
    assert shop.table.changes() == {}


def test_changes_hold_only_what_changed() -> None:
    table = ProfileTable()
    table.locate([f"c{number}" for number in range(1_000)])
    table.changes()
    moved(table, "c7", 1)
    columns = table.changes()
    assert [np.asarray(columns[name]).tolist() for name in ("at", "named", "freed")] == [[7], [], []]
    table.release(np.array([7, 9]))
    columns = table.changes()
    assert [np.asarray(columns[name]).tolist() for name in ("at", "named", "freed")] == [[7, 9], [7, 9], [7, 9]]
    assert table.changes() == {}

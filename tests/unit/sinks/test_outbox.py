"""What the outbox keeps, and what the next run finds: killed anywhere, with torn ends, damage, and two runs at once."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import StateError
from contracts.metrics import OUTBOX_BYTES, OUTBOX_ROWS
from sinks import outbox_file
from sinks.outbox import Outbox
from sinks.outbox_folder import files_in


def table(*numbers: int) -> pa.Table:
    return pa.table({"x": pa.array(numbers, pa.int64()), "name": [f"n{number}" for number in numbers]})


def found(outbox: Outbox) -> list[tuple[str, list[int]]]:
    return [(ticket.piece.table, ticket.read()["x"].to_pylist()) for ticket in outbox.left_over]


def killed(outbox: Outbox) -> None:
    """Let go of the files as the death of a process does."""
    for file in outbox._owned:
        os.close(file.handle)
    outbox._owned.clear()


def test_what_is_not_stored_is_found_by_the_next_run(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "outbox")
    one, two = first.put([("t", table(1, 2)), ("u", table(3))])
    three = first.put([("t", table(4))])[0]
    first.done([two])
    killed(first)
    second = Outbox(tmp_path / "outbox")
    assert found(second) == [("t", [1, 2]), ("t", [4])]
    assert second.left_over[0].read().schema == table(1).schema
    second.done(second.left_over[:1])
    killed(second)
    third = Outbox(tmp_path / "outbox")
    assert found(third) == [("t", [4])]
    third.done(third.left_over)
    assert files_in(tmp_path / "outbox") == []
    assert str(one) == str(three)


def test_a_file_is_of_its_owner_only(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox")
    outbox.put([("t", table(1))])
    (file,) = files_in(tmp_path / "outbox")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700


def test_a_run_leaves_the_files_of_a_living_one_alone(tmp_path: Path) -> None:
    first, second = Outbox(tmp_path), Outbox(tmp_path)
    first.put([("t", table(1))])
    second.put([("t", table(2))])
    third = Outbox(tmp_path)
    assert third.left_over == []
    killed(first)
    fourth = Outbox(tmp_path)
    assert found(fourth) == [("t", [1])]
    assert Outbox(tmp_path).left_over == []


def test_the_files_of_several_runs_are_found_in_their_order(tmp_path: Path) -> None:
    for number in range(5):
        outbox = Outbox(tmp_path)
        outbox.put([("t", table(number))])
        killed(outbox)
    assert found(Outbox(tmp_path)) == [("t", [number]) for number in range(5)]


def test_the_disk_that_is_used_is_bounded(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, file_bytes=5_000)
    kept = outbox.put([("t", table(7))])
    for number in range(300):
        outbox.done(outbox.put([("t", table(number))]))
    assert len(files_in(tmp_path)) == 2, "one has rows that wait, one is written to"
    assert outbox.rows == 1
    outbox.done(kept)
    assert sum(file.stat().st_size for file in files_in(tmp_path)) < 10_000
    outbox.close()
    assert files_in(tmp_path) == []


def test_an_empty_put_syncs_the_notes_before_and_nothing_else(tmp_path: Path) -> None:
    synced: list[int] = []
    outbox = Outbox(tmp_path, sync_files=lambda handles: synced.append(len(handles)))
    outbox.put([])
    assert synced == []
    assert files_in(tmp_path) == []
    tickets = outbox.put([("t", table(1))])
    outbox.put([])
    assert synced == [1]
    outbox.done(tickets)
    outbox.put([])
    assert synced == [1, 1]


def test_puts_are_stored_in_any_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path)
    assert outbox.is_stored(outbox.last_put)
    first = outbox.put([("t", table(1)), ("u", table(2))])
    one = outbox.last_put
    second = outbox.put([("t", table(3))])
    two = outbox.last_put
    outbox.done([*second, first[0]])
    assert not outbox.is_stored(one)
    assert not outbox.is_stored(two)
    outbox.done(first[1:])
    assert outbox.is_stored(one)
    assert outbox.is_stored(two)


def test_rows_of_earlier_runs_hold_every_put(tmp_path: Path) -> None:
    first = Outbox(tmp_path)
    first.put([("t", table(1))])
    killed(first)
    second = Outbox(tmp_path)
    assert not second.is_stored(second.last_put)
    second.done(second.left_over)
    assert second.is_stored(second.last_put)


def test_metrics_say_what_waits(tmp_path: Path) -> None:
    rows, size = OUTBOX_ROWS._value.get(), OUTBOX_BYTES._value.get()
    outbox = Outbox(tmp_path)
    one, _two = outbox.put([("t", table(1, 2)), ("u", table(3))])
    assert OUTBOX_ROWS._value.get() == rows + 3
    assert OUTBOX_BYTES._value.get() == size + outbox.bytes > size
    outbox.done([one])
    assert OUTBOX_ROWS._value.get() == rows + 1
    outbox.close()
    assert OUTBOX_ROWS._value.get() == rows
    assert OUTBOX_BYTES._value.get() == size


STEPS = st.lists(st.tuples(st.integers(1, 4), st.lists(st.integers(0, 30), max_size=4)), max_size=6)


@given(steps=STEPS, cut=st.floats(0, 1))
def test_cut_anywhere_behind_the_last_sync_nothing_that_was_put_is_missing(
    steps: list[tuple[int, list[int]]], cut: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("outbox")
    outbox = Outbox(folder)
    waiting, number = {}, 0
    for size, stored in steps:
        tickets = outbox.put([("t", table(*range(number + at * 10, number + at * 10 + 3))) for at in range(size)])
        waiting |= {ticket: number + at * 10 for at, ticket in enumerate(tickets)}
        number += size * 10
        every = list(waiting)
        now = [every[at] for at in sorted(set(stored)) if at < len(every)]
        outbox.done(now)
        for ticket in now:
            del waiting[ticket]
    (file,) = files_in(folder) or [None]
    synced = outbox._owned[0].synced if outbox._owned else 0
    killed(outbox)
    if file is None:
        return
    length = file.stat().st_size
    with file.open("ab") as end:
        end.write(b"".join(map(bytes, outbox_file.rows_frame(99, synced, [("t", 3, stream(1, 2, 3))])))[:-1])
        end.truncate(synced + int(cut * (file.stat().st_size - synced)))
    again = {rows[0] for _, rows in found(Outbox(folder))}
    assert again >= set(waiting.values())
    if synced + int(cut * (length - synced)) >= length:
        assert again == set(waiting.values()), "all notes are there"


def stream(*numbers: int) -> pa.Buffer:
    return outbox_file.stream_of(table(*numbers))


def written(folder: Path, puts: Sequence[int]) -> Path:
    outbox = Outbox(folder)
    for number in puts:
        outbox.put([("t", table(number))])
    (file,) = files_in(folder)
    killed(outbox)
    return file


def test_damage_before_rows_that_were_put_later_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, [1, 2, 3])
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(StateError, match=rf"{file} is damaged at byte \d+: .*restore the folder `recovery`"):
        Outbox(tmp_path)
    assert file.read_bytes() == data, "it is left as it is"


def test_a_broken_end_is_left_out_and_written_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    file = written(tmp_path, [1, 2])
    with file.open("ab") as end:
        end.write(b"\0" * 100)
    outbox = Outbox(tmp_path)
    assert found(outbox) == [("t", [1]), ("t", [2])]
    assert "100 bytes of an epoch that was not committed" in caplog.text
    outbox.done(outbox.left_over[:1])
    killed(outbox)
    assert found(Outbox(tmp_path)) == [("t", [2])]


def test_a_run_that_died_before_the_first_row_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "00000001-abc.outbox").write_bytes(b"crmo")
    assert Outbox(tmp_path).left_over == []
    assert files_in(tmp_path) == []


def test_another_format_and_foreign_bytes_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "00000001-abc.outbox"
    file.write_bytes(outbox_file.HEAD.pack(b"crmoutbx", 2, 0, 0))
    with pytest.raises(StateError, match=r"is of format 2; this crmstream reads format 1"):
        Outbox(tmp_path)
    file.write_bytes(b"something else altogether")
    with pytest.raises(StateError, match="is damaged at byte 0"):
        Outbox(tmp_path)


def test_a_disk_that_takes_nothing_ends_the_run_and_loses_nothing(tmp_path: Path) -> None:
    fails = False

    def sync(handles: Sequence[int]) -> None:
        if fails:
            raise OSError(5, "Input/output error")

    outbox = Outbox(tmp_path, sync_files=sync)
    outbox.put([("t", table(1))])
    fails = True
    with pytest.raises(StateError, match="cannot be written: Input/output error"):
        outbox.put([("t", table(2))])
    fails = False
    with pytest.raises(StateError, match="Input/output error"):
        outbox.put([("t", table(3))])
    killed(outbox)
    assert ("t", [1]) in found(Outbox(tmp_path))


def test_parts_that_cannot_be_written_whole_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    real = os.writev

    def full(handle: int, views: Sequence[memoryview]) -> int:
        real(handle, [views[0][:2]])
        raise OSError(28, "No space left on device")

    outbox_file.write_all(handle, [b"abc"])
    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(OSError, match="No space"):
        outbox_file.write_all(handle, [b"defg", b"hi"])
    monkeypatch.setattr(os, "writev", lambda handle, views: real(handle, [views[0][:2]]))
    outbox_file.write_all(handle, [b"defg", b"hi"])
    assert file.read_bytes() == b"abcdefghi"
    os.close(handle)

"""Which files of a watched folder are complete, and where they go."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from connectors.files import inbox as inbox_module
from connectors.files.inbox import Inbox
from connectors.files.replay import Rejection, Report, write_rejections
from connectors.look import Look, look_of
from contracts.errors import InputFileError, StoreUnavailableError

REJECTED = Report(rejections=[Rejection(7, "occurred_at", "is no time")])


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path, settle_seconds=2) as opened:
        yield opened


def put(inbox: Inbox, name: str, content: str = "a", changed: int = 1_000) -> Path:
    path = inbox.folder / name
    path.write_text(content)
    os.utime(path, (changed, changed))
    return path


def test_a_file_is_complete_when_it_has_not_changed_for_a_while(inbox: Inbox) -> None:
    path = put(inbox, "a.csv")
    assert inbox.complete(100.0) == []
    assert inbox.complete(101.9) == []
    assert inbox.complete(102.0) == [path]


@pytest.mark.parametrize(("content", "changed"), [("longer", 1_000), ("b", 1_001)])
def test_a_file_that_changes_starts_to_wait_anew(inbox: Inbox, content: str, changed: int) -> None:
    path = put(inbox, "a.csv")
    inbox.complete(100.0)
    put(inbox, "a.csv", content, changed)
    assert inbox.complete(102.0) == []
    assert inbox.complete(104.0) == [path]


def test_files_come_in_the_order_in_which_they_were_changed(inbox: Inbox) -> None:
    second, third, first = put(inbox, "a", changed=2), put(inbox, "b", changed=2), put(inbox, "c", changed=1)
    assert list(inbox.waiting()) == [first, second, third]


@pytest.mark.parametrize("name", [".hidden", "a.csv.tmp", "a.PART", "b.crdownload"])
def test_unfinished_and_hidden_files_are_left_alone(inbox: Inbox, name: str) -> None:
    put(inbox, name)
    assert inbox.waiting() == {}


def test_folders_and_what_has_been_read_are_no_files(inbox: Inbox) -> None:
    (inbox.folder / "sub").mkdir()
    inbox.finish(put(inbox, "a.csv"), Report())
    inbox.refuse(put(inbox, "b.csv"), "is none")
    assert inbox.waiting() == {}


def test_a_file_that_is_gone_again_is_forgotten(inbox: Inbox) -> None:
    path = put(inbox, "a.csv")
    inbox.complete(100.0)
    path.unlink()
    assert inbox.complete(102.0) == []
    put(inbox, "a.csv")
    assert inbox.complete(103.0) == []


@pytest.mark.parametrize("put_away", [lambda inbox, path: inbox.finish(path, Report()),
                                      lambda inbox, path: inbox.refuse(path, "is cut off")])  # fmt: skip
def test_a_file_that_has_changed_since_it_was_complete_waits_again(inbox: Inbox, put_away: Any) -> None:
    path = put(inbox, "a.csv")
    inbox.complete(100.0)
    assert inbox.complete(102.0) == [path]
    other = put(inbox, ".new", "b")
    other.rename(path)  # of the same size and time
    assert put_away(inbox, path) is None
    assert inbox.complete(103.0) == []
    assert inbox.complete(105.0) == [path]
    assert put_away(inbox, path).name == "a.csv"
    assert inbox.waiting() == {}


def test_a_file_that_changes_whenever_it_is_read_is_left_alone_for_longer_each_time(inbox: Inbox) -> None:
    path, read = put(inbox, "a.csv"), []
    for now in range(0, 2_000, 2):
        if path in inbox.complete(now):
            read.append(now)
            put(inbox, "a.csv", "a" * len(read))
            assert inbox.finish(path, Report()) is None
    pauses = [later - before for before, later in pairwise(read)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (4, 602)  # 2 more, for it is looked at every 2 seconds
    inbox.complete(2_000)
    assert inbox.complete(3_000) == [path]
    assert inbox.finish(path, Report()) is not None
    put(inbox, "a.csv")
    inbox.complete(3_010)
    assert inbox.complete(3_012) == [path]  # another file, without a past


@pytest.fixture
def replaced(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete file whose place another one takes at the last moment."""
    path = put(inbox, "a.csv")
    inbox.complete(100.0)
    assert inbox.complete(102.0) == [path]

    def write(beside: Path, rejections: Any) -> None:
        write_rejections(beside, rejections)
        put(inbox, ".new", "b").rename(path)

    monkeypatch.setattr(inbox_module, "write_rejections", write)
    return path


def test_a_file_that_takes_the_place_of_one_that_is_put_away_is_not_lost(inbox: Inbox, replaced: Path) -> None:
    assert inbox.finish(replaced, REJECTED) is None
    assert list((inbox.folder / "done").iterdir()) == []
    assert replaced.read_text() == "b"
    inbox.complete(104.0)
    assert inbox.complete(106.0) == [replaced]


def test_putting_it_back_replaces_none(inbox: Inbox, replaced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(path: Path) -> Look | None:
        if path.parent.name == "done":
            replaced.write_text("c")
        return look_of(path)

    monkeypatch.setattr(inbox_module, "look_of", look)
    assert inbox.finish(replaced, REJECTED) is None
    assert {path.name: path.read_text() for path in inbox.waiting()} == {"a.csv": "c", "2-a.csv": "b"}


def test_a_published_file_lies_in_done_beside_its_rejected_rows(inbox: Inbox) -> None:
    done = inbox.finish(put(inbox, "a.csv"), REJECTED)
    assert done is not None
    assert done == inbox.folder / "done" / "a.csv"
    told = done.with_name("a.csv.rejected.csv").read_text().splitlines()
    assert told == ["line,field,problem", "7,occurred_at,is no time"]


def test_a_refused_file_lies_in_failed_beside_the_reason(inbox: Inbox) -> None:
    failed = inbox.refuse(put(inbox, "a.csv"), "has no column 'x'")
    assert failed is not None
    assert failed == inbox.folder / "failed" / "a.csv"
    assert failed.with_name("a.csv.problem.txt").read_text() == "has no column 'x'\n"


def test_a_second_file_of_a_name_replaces_none(inbox: Inbox) -> None:
    for content in "xyz":
        inbox.finish(put(inbox, "a.csv", content), Report())
    assert {path.name for path in (inbox.folder / "done").iterdir()} == {"a.csv", "2-a.csv", "3-a.csv"}
    assert (inbox.folder / "done" / "a.csv").read_text() == "x"


def test_a_folder_is_watched_by_one_only(inbox: Inbox) -> None:
    with pytest.raises(InputFileError, match="watched by another"), Inbox(inbox.folder):
        pytest.fail("two watch it")


def test_it_can_be_watched_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with Inbox(tmp_path):
            pass


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="gone can't be watched: No such file"), Inbox(tmp_path / "gone"):
        pytest.fail("it is not there")


def test_a_file_stays_where_it_is_when_it_cannot_be_put_away(inbox: Inbox) -> None:
    path = put(inbox, "a.csv")
    (inbox.folder / "done").rmdir()
    with pytest.raises(StoreUnavailableError, match="can't be written"):
        inbox.finish(path, Report())
    assert path.exists()

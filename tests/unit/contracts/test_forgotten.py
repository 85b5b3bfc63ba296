"""The list of forgotten people says whether, not who."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from contracts.errors import SettingsError
from contracts.forgotten import FOR_EVER, NEVER, Forgotten, change_forgotten, microseconds, read_forgotten

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_nobody_is_left_out_by_an_empty_list(tmp_path: Path) -> None:
    forgotten = read_forgotten(tmp_path / "none.json")
    assert not forgotten
    assert forgotten.until("c-1") == NEVER


def test_a_list_is_read_as_it_was_written_and_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "forgotten.json"

    def change(forgotten: Forgotten) -> None:
        forgotten.add(["c-1", "anonymous:ä\ud800"], microseconds(NOW), NOW)
        forgotten.add(["c-2"], FOR_EVER, NOW)
        forgotten.pending = frozenset({"c-1"})

    written = change_forgotten(path, change)
    found = read_forgotten(path)
    assert found == written
    assert [found.until(each) for each in ("c-1", "anonymous:ä\ud800", "c-2", "c-3")] == [
        microseconds(NOW), microseconds(NOW), FOR_EVER, NEVER,
    ]  # fmt: skip
    change_forgotten(path, lambda forgotten: setattr(forgotten, "pending", frozenset()), quietly=True)
    assert "c-" not in path.read_text()
    assert read_forgotten(path).request == written.request
    assert path.stat().st_mode & 0o077 == 0, "others may not read it"


def test_hashes_of_two_installations_differ() -> None:
    lists = [Forgotten(), Forgotten()]
    for each in lists:
        each.add(["c-1"], 5, NOW)
    assert lists[0].people.keys() != lists[1].people.keys()


def test_what_leaves_out_more_counts_and_an_end_of_suppression_keeps_the_past_out() -> None:
    forgotten, later = Forgotten(), NOW + timedelta(days=1)
    assert forgotten.lift(["c-1"], NOW) == 0
    assert forgotten.until("c-1") == NEVER
    forgotten.add(["c-1"], FOR_EVER, NOW)
    forgotten.add(["c-1"], 5, later)
    assert forgotten.until("c-1") == FOR_EVER
    assert forgotten.lift(["c-1", "c-2"], later) == 1
    assert forgotten.until("c-1") == microseconds(later)
    forgotten.add(["c-1"], microseconds(later) + 1, later)
    assert forgotten.until("c-1") == microseconds(later) + 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"version": 2}', '{"version": 1, "salt": "", "people": [{"id": "a"}], "pending": []}',
     json.dumps({"version": 1, "salt": "zz", "request": "", "people": [], "pending": []}),
     json.dumps({"version": 1, "salt": "", "request": "", "pending": [],
                 "people": [{"id": "a", "until": 1, "asked_at": ""}]})],
)  # fmt: skip
def test_a_damaged_list_is_an_error_that_says_what_to_do(text: str, tmp_path: Path) -> None:
    path = tmp_path / "forgotten.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match="Restore its newest backup"):
        read_forgotten(path)
    with pytest.raises(SettingsError):
        change_forgotten(path, lambda _: None)
    assert path.read_text() == text


def test_several_at_once_lose_nobody(tmp_path: Path) -> None:
    path = tmp_path / "forgotten.json"
    threads = [
        Thread(target=change_forgotten, args=(path, lambda found, each=each: found.add([f"c-{each}"], 5, NOW)))
        for each in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_forgotten(path).people) == 20

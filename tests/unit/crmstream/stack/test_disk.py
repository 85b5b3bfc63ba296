"""How much room a disk has, by its limits, and what is said of it."""

from pathlib import Path

import pytest

from contracts.settings import Settings
from crmstream.stack import disk
from crmstream.stack.disk import DiskWatch, Room, judge, limits_of, size

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("total", "limits"),
    [
        (1_000 * GIB, (2 * GIB, 512 * MIB)),
        (20 * GIB, (2 * GIB, 512 * MIB)),
        (1 * GIB, (int(0.1 * GIB), int(0.04 * GIB))),
        (0, (0, 0)),
    ],
)
def test_the_defaults_fit_small_disks(total: int, limits: tuple[int, int]) -> None:
    assert limits_of(Settings(), total) == limits
    assert limits_of(Settings(), total, closes=False) == (limits[0], 0)


def test_limits_that_are_set_hold_as_they_are() -> None:
    assert limits_of(Settings(disk_warn_bytes=7, disk_stop_bytes=5), GIB) == (7, 5)


@pytest.mark.parametrize(
    ("free", "before", "room"),
    [
        (1_000, Room.WELL, Room.WELL),
        (999, Room.WELL, Room.LOW),
        (500, Room.LOW, Room.LOW),
        (499, Room.LOW, Room.FULL),
        (549, Room.FULL, Room.FULL),  # a little more than the limit is needed
        (550, Room.FULL, Room.LOW),
        (0, Room.WELL, Room.FULL),
    ],
)
def test_the_room_follows_from_the_limits(free: int, before: Room, room: Room) -> None:
    assert judge(Path("/data"), (10_000, free), (1_000, 500), before).room is room


def test_each_change_is_news_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0)
    free = 5 * GIB
    watch = DiskWatch(tmp_path, Settings(), lambda _: (100 * GIB, free))
    assert watch.news() is None
    free = GIB
    assert watch.news() == (
        f"the disk of {tmp_path} has 1.0 GiB of 100.0 GiB free, less than 2.0 GiB (CRM_DISK_WARN_BYTES); "
        "below 512 MiB no events are taken"
    )
    assert watch.news() is None
    free = 100 * MIB
    assert str(watch.news()).startswith(
        f"DISK FULL: the disk of {tmp_path} has 100 MiB of 100.0 GiB free, and 512 MiB are needed (CRM_DISK_STOP_BYTES)"
    )
    assert watch.full
    free = 50 * GIB
    assert watch.news() == f"events are taken again: the disk of {tmp_path} has 50.0 GiB of 100.0 GiB free"


def test_a_disk_that_cannot_be_asked_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0)

    def usage(_: Path) -> tuple[int, int]:
        raise OSError("gone")

    assert not DiskWatch(tmp_path, Settings(), usage).full


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (2_048, "2 KiB"), (512 * MIB, "512 MiB"), (3 * GIB // 2, "1.5 GiB")]
)
def test_sizes_are_written_for_a_person(value: int, text: str) -> None:
    assert size(value) == text

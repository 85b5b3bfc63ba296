"""A full disk is recognised behind whatever error it causes."""

import errno
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from contracts.errors import StateError
from crmstream.stack import no_room
from crmstream.stack.no_room import LEAST_BYTES, lacks_room
from streams.state.background import not_written

FULL = OSError(errno.ENOSPC, "No space left on device")


def behind(cause: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except BaseException as error:
            raise RuntimeError("something else") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize("error", [
    FULL,
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    not_written("state", FULL),
    behind(not_written("state", FULL)),
    sqlite3.OperationalError("database or disk is full"),
    RuntimeError("error writing snapshot: database or disk is full: Error code 13: Insertion failed"),
])  # fmt: skip
def test_a_full_disk_is_recognised(error: BaseException, tmp_path: Path) -> None:
    assert lacks_room(error, tmp_path)


@pytest.mark.parametrize("error", [
    OSError(errno.EIO, "Input/output error"), not_written("state", OSError(errno.EIO, "Input/output error")),
    StateError("damaged"), behind(ValueError("full")),
])  # fmt: skip
def test_other_errors_are_not_the_disks(error: BaseException, tmp_path: Path) -> None:
    assert not lacks_room(error, tmp_path)


@pytest.mark.parametrize(("free", "lacks"), [(LEAST_BYTES - 1, True), (LEAST_BYTES, False)])
def test_without_any_free_space_every_error_is_the_disks(
    free: int, lacks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(no_room.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert lacks_room(RuntimeError("panic"), tmp_path) is lacks
    assert not lacks_room(RuntimeError("panic"), tmp_path / "gone") or lacks

"""Errors that another start would meet again end a worker for good; all others let it be started again."""

from pathlib import Path

import pytest

from contracts.errors import LogMismatchError, StateError, StoreUnavailableError, UnreadableStateError
from crmstream import worker
from crmstream.stack.dataflow import WILL_NOT_START
from streams import error_boundary


@pytest.mark.parametrize(("kind", "for_good"), [
    (UnreadableStateError, True), (LogMismatchError, True), (StateError, False), (StoreUnavailableError, False),
])  # fmt: skip
def test_only_what_lasts_ends_a_worker_for_good(
    kind: type[Exception], for_good: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_boundary, "failures", [])
    fatal = tmp_path / "logs" / "worker-0.fatal"
    code = worker._explain(kind("part-0.sqlite3 is damaged"), tmp_path, 0)
    assert (code == WILL_NOT_START) is for_good
    assert fatal.exists() is for_good
    assert not for_good or fatal.read_text() == "part-0.sqlite3 is damaged\n"

"""When the dataflow's processes are started again."""

import sys
import time
from pathlib import Path

import pytest

from contracts.errors import StackError
from crmstream.stack.dataflow import COMPANION_GONE, NO_ROOM, WILL_NOT_START, ProcessGroup
from crmstream.stack.process import ChildProcess
from crmstream.stack.restarts import MAX_RESTARTS, RestartPolicy

REFUSES = [sys.executable, "-c", f"print('the file is broken'); raise SystemExit({WILL_NOT_START})"]


def test_each_wait_doubles_and_the_sixth_death_in_five_minutes_is_the_last() -> None:
    policy = RestartPolicy()
    starts = [policy.next_start(now) for now in (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)]
    assert starts == [0.5, 2.0, 4.0, 7.0, 12.0, None]


def test_old_deaths_are_forgotten() -> None:
    policy = RestartPolicy()
    for now in (0.0, 1.0, 2.0, 3.0, 4.0):
        policy.next_start(now)
    assert policy.next_start(302.5) == pytest.approx(302.5 + 2.0)  # those at 3 and 4 still count
    assert policy.next_start(900.0) == pytest.approx(900.5)


def test_what_is_vital_and_will_not_start_is_an_error(tmp_path: Path) -> None:
    child = ChildProcess("part", REFUSES, tmp_path)
    group = ProcessGroup("group", [child], tmp_path, print)
    group.start()
    assert child.wait(10)
    with pytest.raises(StackError, match="the file is broken"):
        group.poll()
    group.poll()  # given up


def test_what_is_not_vital_is_told_once_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    child = ChildProcess("part", REFUSES, tmp_path)
    group = ProcessGroup("group", [child], tmp_path, told.append, vital=False)
    group.start()
    before = child.pid
    for _ in range(2):
        assert child.wait(10)
        group.poll()
        group.poll()
        assert child.pid == before  # it waits for its time
        monkeypatch.setattr("crmstream.stack.dataflow.time.monotonic", lambda: float("inf"))
        group.poll()
        monkeypatch.undo()
        assert child.pid != before
        before = child.pid
    assert len(told) == 1
    assert "the file is broken" in told[0]
    group.stop()


ENDS_LATE = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


def test_a_restart_waits_for_nobody_and_kills_who_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = ChildProcess("part", [sys.executable, "-c", ENDS_LATE], tmp_path)
    group = ProcessGroup("group", [child], tmp_path, print)
    group.start()
    while "up" not in child.log_path.read_text():
        assert child.alive
    first = child.pid
    group.restart({"CHANGED": "1"})
    group.poll()
    assert group.restarting
    assert child.pid == first
    monkeypatch.setattr("crmstream.stack.dataflow.STOP_SECONDS", 0.0)
    group.restart()
    group.poll()
    assert child.wait(10)
    group.poll()
    assert not group.restarting
    assert child.alive
    assert child.pid != first
    group.stop()


def test_a_worker_that_another_host_has_left_starts_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    leaves = [sys.executable, "-c", f"raise SystemExit({COMPANION_GONE})"]
    monkeypatch.setattr("crmstream.stack.dataflow.COMPANION_WAIT_SECONDS", 0.0)
    child = ChildProcess("worker-0", leaves, tmp_path)
    group = ProcessGroup("dataflow", [child], tmp_path, told.append)
    group.start()
    for _ in range(MAX_RESTARTS + 2):
        before = child.pid
        assert child.wait(10)
        group.poll()
        group.poll()
        assert child.pid != before
    assert set(told) == {"a worker of another host has gone or stops: worker-0 starts again and waits for it"}
    group.stop()


UNTIL_THERE_IS_ROOM = """
import pathlib, sys, time
if pathlib.Path(sys.argv[1]).exists():
    time.sleep(60)
raise SystemExit({code})
"""


def test_a_worker_that_finds_no_room_is_started_again_until_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where another worker of the group, which misses it, ends a moment before."""
    told: list[str] = []
    monkeypatch.setattr("crmstream.stack.dataflow.NO_ROOM_WAIT_SECONDS", 0.0)
    room = tmp_path / "room"
    children = [
        ChildProcess(
            f"worker-{index}", [sys.executable, "-c", UNTIL_THERE_IS_ROOM.format(code=code), str(room)], tmp_path
        )
        for index, code in enumerate((1, NO_ROOM))
    ]
    group = ProcessGroup("dataflow", children, tmp_path, told.append)
    group.start()
    for _ in range(MAX_RESTARTS + 2):
        before = children[0].pid
        assert children[0].wait(10)
        group.poll()
        group.poll()
        assert children[0].pid != before
    assert [line.partition(":")[0] for line in told] == ["worker-1 ended because the disk is full"]
    room.touch()
    monkeypatch.setattr("crmstream.stack.dataflow.ANOTHER_TRY_SECONDS", 0.2)
    deadline = time.monotonic() + 10
    while len(told) < 2:
        group.poll()
        assert time.monotonic() < deadline
    assert told[1] == "there is room on the disk again: the dataflow goes on"
    group.stop()

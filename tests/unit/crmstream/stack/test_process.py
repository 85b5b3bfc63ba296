"""Child processes: logs, stopping, and no orphans."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from crmstream.stack.process import ChildProcess, clear_leftovers, record_children, stop_all


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


SLEEP = python("import time; print('ready', flush=True); time.sleep(60)")
STUBBORN = python("""
    import signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('ready', flush=True)
    time.sleep(60)
""")


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 20) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def test_output_goes_to_the_log_and_the_previous_log_is_kept(tmp_path: Path) -> None:
    for text in ("one", "two"):
        child = ChildProcess("part", python(f"print('{text}'); import sys; print('err', file=sys.stderr)"), tmp_path)
        child.start()
        assert child.wait(20)
    assert set(child.log_tail().split()) == {"two", "err"}
    assert "one" in (tmp_path / "part.log.1").read_text(encoding="utf-8")


def test_a_restart_appends_to_the_log(tmp_path: Path) -> None:
    child = ChildProcess("part", python("print('line')"), tmp_path)
    for _ in range(2):
        child.start()
        assert child.wait(20)
    assert child.log_tail() == "line\nline"


def test_the_death_message_tells_how_and_quotes_the_log(tmp_path: Path) -> None:
    child = ChildProcess("part", python("import sys; print('the reason'); sys.exit(3)"), tmp_path)
    child.start()
    child.wait(20)
    assert "part ended with exit code 3" in child.death_message()
    assert "the reason" in child.death_message()
    assert str(tmp_path / "part.log") in child.death_message()


def test_a_missing_log_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file", encoding="utf-8")
    with pytest.raises(OSError, match="logs"):
        ChildProcess("part", SLEEP, tmp_path / "logs").start()


def test_stopping_asks_first_and_then_kills(tmp_path: Path) -> None:
    children = [ChildProcess("polite", SLEEP, tmp_path), ChildProcess("stubborn", STUBBORN, tmp_path)]
    for child in children:
        child.start()
    wait_until(lambda: all("ready" in child.log_tail() for child in children))
    stop_all(children, timeout_seconds=0.5)
    assert [child.poll() for child in children] == [-signal.SIGTERM, -signal.SIGKILL]


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
        import time
        from pathlib import Path
        from crmstream.stack.process import ChildProcess
        child = ChildProcess("part", {STUBBORN!r}, Path({str(tmp_path)!r}))
        child.start()
        print(child.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_leftovers_of_a_crash_are_killed_and_strangers_are_not(tmp_path: Path) -> None:
    leftover, path = ChildProcess("part", STUBBORN, tmp_path), tmp_path / "children.json"
    leftover.start()
    record_children(path, [leftover])
    stranger = f"[[{os.getpid()}, 1.0]"  # our own process id, with another process's start time
    path.write_text(path.read_text(encoding="utf-8").replace("[[", f"{stranger}, [", 1), encoding="utf-8")
    clear_leftovers(path, patience_seconds=0.1)
    assert leftover.wait(10)
    assert leftover.poll() == -signal.SIGKILL
    assert not path.exists()


def test_a_nice_program_is_nice(tmp_path: Path) -> None:
    child = ChildProcess("part", python("import os; print('niceness', os.nice(0))"), tmp_path, niceness=3)
    child.start()
    assert child.wait(10)
    assert child.log_tail() == f"niceness {os.nice(0) + 3}"

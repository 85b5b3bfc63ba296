"""A process that falls silent is named with its time and state; one that stays silent is killed."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crmstream.stack import probing
from crmstream.stack.beat import BeatingEvent
from crmstream.stack.probing import FileBeat, http_answers
from crmstream.stack.process import ChildProcess
from crmstream.stack.pulse import Patience
from crmstream.stack.watching import Watch

SERVER = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1"]
QUICK = Patience(tell_seconds=0.2, restart_seconds=2, start_seconds=20)


@pytest.fixture
def watched(
    tmp_path: Path, free: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Watch, ChildProcess, list[str]]]:
    """A small web server that is watched impatiently."""
    monkeypatch.setattr(probing, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(probing, "HTTP_TIMEOUT_SECONDS", 0.1)
    events: list[str] = []
    process = ChildProcess("server", [*SERVER, str(free)], tmp_path, None)
    watch = Watch(events.append, QUICK)
    process.start()
    watch.add("server", process, lambda: http_answers(f"http://127.0.0.1:{free}/"))
    yield watch, process, events
    watch.close()
    process.signal(signal.SIGKILL)
    process.wait(10)


@pytest.fixture
def free() -> int:
    from crmstream.stack.ports import free_port  # noqa: PLC0415

    return free_port()


def poll_until(watch: Watch, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        watch.poll()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_stopped_process_is_named_and_one_that_goes_on_is_left_alone(
    watched: tuple[Watch, ChildProcess, list[str]],
) -> None:
    watch, process, events = watched
    poll_until(watch, lambda: not watch.unready())
    process.signal(signal.SIGSTOP)
    poll_until(watch, lambda: bool(events))
    assert events[0].startswith("server does not answer since ")
    assert f"(process {process.pid} is stopped)" in events[0]
    (health,) = watch.health()
    assert (health.name, health.state, health.pid) == ("server", "silent", process.pid)
    process.signal(signal.SIGCONT)
    poll_until(watch, lambda: len(events) > 1)
    assert events[1:] == ["server answers again"]
    assert process.alive


def test_a_process_that_stays_stopped_is_killed(watched: tuple[Watch, ChildProcess, list[str]]) -> None:
    watch, process, events = watched
    poll_until(watch, lambda: not watch.unready())
    process.signal(signal.SIGSTOP)
    poll_until(watch, lambda: not process.alive)
    assert events[-1].endswith(f"(process {process.pid} is stopped): killing it")
    assert watch.health()[0].state == "down"
    process.start()
    poll_until(watch, lambda: not watch.unready())


def test_a_process_without_a_port_answers_by_its_file(tmp_path: Path) -> None:
    process = ChildProcess("beater", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    process.start()
    beat = FileBeat(tmp_path / "alive", process)
    with pytest.raises(FileNotFoundError):  # no answer yet
        beat.answers()
    event = BeatingEvent(tmp_path / "alive")
    assert not event.is_set()
    assert beat.answers()
    process.signal(signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while beat.answers():
        assert time.monotonic() < deadline
    process.signal(signal.SIGKILL)
    process.wait(10)


def test_a_process_that_does_not_touch_its_file_any_more_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = ChildProcess("beater", [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    process.start()
    (tmp_path / "alive").touch()
    beat = FileBeat(tmp_path / "alive", process)
    assert beat.answers()
    monkeypatch.setattr(probing, "BEAT_SECONDS", 0)
    assert not beat.answers()
    process.signal(signal.SIGKILL)
    process.wait(10)

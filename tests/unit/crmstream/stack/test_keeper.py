"""A server that dies is started again, waits for room on a full disk, and is given up after repeated deaths."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.errors import StackError
from contracts.settings import Settings
from crmstream.stack import disk, restarts
from crmstream.stack.disk import DiskWatch
from crmstream.stack.keeper import ServerKeeper
from crmstream.stack.parts import ServerPart
from crmstream.stack.pulse import Pulse


class Sleeper(ServerPart):
    """A server that sleeps."""

    name, title = "sleeper", "The sleeper"

    def command(self) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-c", "import time; time.sleep(60)"]

    def endpoint(self) -> str:
        """Return nothing."""
        return ""

    def answers(self) -> bool:
        """Say yes."""
        return True

    lives = answers


class Bench:
    """One server under a keeper."""

    def __init__(self, folder: Path):
        self.events: list[str] = []
        self.free = 50 << 30
        self.part, self.pulse = Sleeper(folder, 1), Pulse()
        watch = DiskWatch(folder, Settings(), lambda _: (100 << 30, self.free))
        self.keeper = ServerKeeper(self.part, self.pulse, watch, self.events.append)
        self.part.start()

    def answer(self) -> None:
        self.pulse.note(self.part.process.pid or 0, True, datetime.now(UTC), 1)

    def kill(self) -> None:
        self.part.process.signal(signal.SIGKILL)
        self.part.process.wait(10)

    def poll_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            self.keeper.poll()
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(restarts, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(disk, "LOOK_SECONDS", 0)
    made = Bench(tmp_path)
    yield made
    made.kill()


def test_a_dead_server_is_started_again_and_ready_when_it_answers(bench: Bench) -> None:
    bench.answer()
    assert bench.keeper.ready
    bench.kill()
    assert not bench.keeper.ready
    bench.poll_until(lambda: bench.part.process.alive)
    assert not bench.keeper.ready
    bench.answer()
    bench.keeper.poll()
    assert bench.keeper.ready
    assert bench.events[0].startswith("The sleeper was killed by signal 9: starting it again in ")
    assert bench.events[1:] == ["The sleeper is back"]


def test_the_sixth_death_is_the_last_and_is_explained(bench: Bench) -> None:
    for _ in range(5):
        bench.kill()
        bench.keeper.poll()
        bench.poll_until(lambda: bench.part.process.alive)
    bench.kill()
    with pytest.raises(StackError, match=r"The sleeper died 6 times within 300 s: sleeper was killed by signal 9"):
        bench.keeper.poll()


def test_a_server_that_the_full_disk_ended_waits_for_room(bench: Bench) -> None:
    for _ in range(7):  # these are no deaths of its own
        bench.free = 1 << 20
        bench.kill()
        for _ in range(3):
            bench.keeper.poll()
        assert not bench.part.process.alive
        bench.free = 50 << 30
        bench.poll_until(lambda: bench.part.process.alive)
    assert len(bench.events) == 7
    assert "ended because the disk is full" in bench.events[0]
    assert "1 MiB of 100.0 GiB free, and 512 MiB are needed" in bench.events[0]


def test_a_log_that_speaks_of_a_full_disk_is_believed(bench: Bench) -> None:
    bench.kill()
    with bench.part.process.log_path.open("a", encoding="utf-8") as log:
        log.write("java.io.IOException: No space left on device\n\tat kafka.Log.append(Log.scala:1)\n")
    bench.keeper.poll()
    assert "ended because the disk is full" in bench.events[0]

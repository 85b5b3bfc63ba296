"""Ask processes in the background, each in its own protocol, whether they answer."""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import psutil

from crmstream.stack.process import ChildProcess
from crmstream.stack.pulse import Pulse

INTERVAL_SECONDS = 2.0
START_INTERVAL_SECONDS = 0.1
HTTP_TIMEOUT_SECONDS = 2.0
BEAT_SECONDS = 120.0
"""A heartbeat that waits for Kafka makes a round at least this often."""
_direct = build_opener(ProxyHandler({}))
_log = logging.getLogger(__name__)

Ask = Callable[[], bool]
"""Asks a process once, within seconds; it may raise, which counts as no answer."""


class Prober:
    """One thread for each process that is watched, so that a frozen one delays no other."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def watch(self, process: ChildProcess, ask: Ask, pulse: Pulse) -> None:
        """Ask the process every few seconds from now on, more often until its first answer."""
        thread = threading.Thread(
            target=self._follow, args=(process, ask, pulse), name=f"probe-{process.name}", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """End; questions that are under way are not waited for long."""
        self._stop.set()
        for thread in self._threads:
            thread.join(0.2)
        self._threads = []

    def _follow(self, process: ChildProcess, ask: Ask, pulse: Pulse) -> None:
        settled_at, asked_pid, pause = time.monotonic(), None, 0.0
        while not self._stop.wait(pause):
            pid = process.pid if process.alive else None
            if pid is None:
                pause = START_INTERVAL_SECONDS
                continue
            if pid != asked_pid:
                asked_pid, settled_at, pause = pid, time.monotonic(), START_INTERVAL_SECONDS
            asked_at, answered = datetime.now(UTC), _answers(ask)
            before, settled_at = settled_at, time.monotonic()
            pulse.note(pid, answered, asked_at, settled_at - before)
            pause = INTERVAL_SECONDS if answered else pause


def _answers(ask: Ask) -> bool:
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - whatever a broken part answers, it is no answer
        _log.debug("a probe failed: %s", error)
        return False


def http_answers(url: str) -> bool:
    """Whether an HTTP server answers, even with an error."""
    try:
        with _direct.open(url, timeout=HTTP_TIMEOUT_SECONDS) as answer:
            answer.read(1)
    except HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def is_stopped(pid: int | None) -> bool:
    """Whether the process is stopped by a signal or a debugger."""
    try:
        return pid is not None and psutil.Process(pid).status() in {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
    except psutil.Error:
        return False


class FileBeat:
    """A process without a port answers by touching a file."""

    def __init__(self, path: Path, process: ChildProcess):
        self._path = path
        self._process = process
        self._seen: tuple[int | None, int] | None = None
        self._moved_at = time.monotonic()

    def answers(self) -> bool:
        """Whether the process runs, is not stopped, and has touched the file lately."""
        pid = self._process.pid
        seen = (pid, self._path.stat().st_mtime_ns)
        if seen != self._seen:
            self._seen, self._moved_at = seen, time.monotonic()
        return not is_stopped(pid) and time.monotonic() - self._moved_at < BEAT_SECONDS

"""Child processes that never become orphans, each with a log of its own.

Start them from the main thread: the kernel kills a child when the *thread* that started it ends.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from contracts.errors import StackError
from crmstream.stack.logs import plain_end

LAUNCHER = Path(__file__).with_name("launch.py")
TAIL_LINES = 15
LEFTOVER_SECONDS = 5.0


class ChildProcess:
    """One program of the stack in a session of its own, its output in ``<log_dir>/<name>.log``.

    The log of the previous run is kept as ``.log.1``; restarts within a run append. ``niceness`` above 0 lets others
    go first where cores are scarce.
    """

    def __init__(
        self, name: str, command: Sequence[str], log_dir: Path, environment: Mapping[str, str] | None = None,
        niceness: int = 0,
    ):  # fmt: skip
        self.name = name
        self.command = list(command)
        self.log_path = log_dir / f"{name}.log"
        self._environment = None if environment is None else dict(environment)
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._rotated = False

    def start(self) -> None:
        """Start the program. Raises a StackError when it is not there."""
        self._rotate_log()
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(self._niceness)]
        with self.log_path.open("ab") as log:
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
                    [*launcher, *self.command],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                    env=self._environment, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise StackError(f"{self.name} cannot be started: {error}", part=self.name) from error

    def change_environment(self, changes: Mapping[str, str]) -> None:
        """Give variables of the environment another value, from the next start on."""
        if changes:
            self._environment = {**(os.environ if self._environment is None else self._environment), **changes}

    def _rotate_log(self) -> None:
        if not self._rotated:
            self.log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.log_path.exists():
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
            self._rotated = True

    @property
    def pid(self) -> int | None:
        """The process id, or None before the start."""
        return None if self._process is None else self._process.pid

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None while it runs or was never started."""
        return None if self._process is None else self._process.poll()

    @property
    def alive(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the program and what it may have started; nothing if it has ended."""
        if self.alive and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end; return False if it still runs after the timeout."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def log_tail(self, lines: int = TAIL_LINES) -> str:
        """Return the last lines of the log that a person can use: without stack traces."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(0, self.log_path.stat().st_size - 16_384))
                text = log.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return plain_end(text, lines)

    def how_it_ended(self) -> str:
        """Say how the program ended."""
        code = self.poll()
        return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"

    def death_message(self) -> str:
        """Say how the program ended, quote the end of its log, and name the log."""
        tail = self.log_tail() or "(nothing)"
        return f"{self.name} {self.how_it_ended()}. The end of its log ({self.log_path}):\n{tail}"


def ask_to_stop(processes: Iterable[ChildProcess]) -> None:
    """Ask all to stop (SIGTERM), without waiting."""
    for process in processes:
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGCONT)  # one that is stopped takes no other signal


def stop_all(processes: Iterable[ChildProcess], timeout_seconds: float) -> None:
    """Ask all to stop (SIGTERM), wait together, kill (SIGKILL) those that have not stopped by then."""
    started = list(processes)
    ask_to_stop(started)
    deadline = time.monotonic() + timeout_seconds
    for process in started:
        if not process.wait(max(0.0, deadline - time.monotonic())):
            process.signal(signal.SIGKILL)
            process.wait(timeout_seconds)


def record_children(path: Path, processes: Iterable[ChildProcess]) -> None:
    """Write down who runs (process id and start time), for the next start after a crash."""
    children = []
    for pid in (process.pid for process in processes if process.alive):
        with contextlib.suppress(psutil.NoSuchProcess):
            children.append([pid, psutil.Process(pid).create_time()])
    fresh = path.with_suffix(".new")
    with contextlib.suppress(OSError):  # a full disk; the kernel ends the children with their supervisor anyway
        fresh.write_text(json.dumps(children), encoding="utf-8")
        fresh.replace(path)


def clear_leftovers(path: Path, patience_seconds: float = LEFTOVER_SECONDS) -> None:
    """Wait until the children of a crashed run are gone, and kill those that are not.

    The kernel kills them with their supervisor, but a moment later; their files and ports must be free first.
    """
    leftovers = list(_recorded(path))
    if not _ended(leftovers, patience_seconds):
        for process in filter(_lives, leftovers):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _ended(leftovers, LEFTOVER_SECONDS)
    path.unlink(missing_ok=True)


def _ended(processes: Sequence[psutil.Process], timeout_seconds: float) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while any(map(_lives, processes)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _lives(process: psutil.Process) -> bool:
    """Whether it holds files and ports: a zombie that nobody has waited for does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _recorded(path: Path) -> Iterable[psutil.Process]:
    try:
        children = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    for pid, created in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if abs(process.create_time() - created) < 0.05:
                yield process

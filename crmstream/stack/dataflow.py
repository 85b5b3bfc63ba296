"""The processes of the dataflow: workers that live and die as a group; heartbeat and collector beside them."""

import secrets
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.errors import StackError
from crmstream.stack.process import ChildProcess, ask_to_stop, stop_all
from crmstream.stack.restarts import MAX_RESTARTS, RESTART_WINDOW_SECONDS, RestartPolicy

WILL_NOT_START = 78
"""Exit code of a worker that must not be started again (``EX_CONFIG`` of sysexits)."""
NO_ROOM = 73
"""Exit code of a worker that ends because the disk is full (``EX_CANTCREAT``): no failure of it either."""
NO_ROOM_WAIT_SECONDS = 10.0
COMPANION_GONE = 75
"""Exit code of a worker that ends because one of another host has gone or stops (``EX_TEMPFAIL``): no failure of it."""
COMPANION_WAIT_SECONDS = 0.5
STOP_SECONDS = 20.0
END_SECONDS = 1.0
"""How long the others of a group that lost one may take to end by themselves: their exit codes may say why."""
ANOTHER_TRY_SECONDS = 60.0
"""After how long something the rest can do without is tried again when it was given up."""
RUN: Final = "CRM_WORKER_RUN"
"""The variable with the name that all processes have in common that are started together."""


@dataclass(frozen=True)
class DataflowCommands:
    """The command lines of the dataflow's processes."""

    worker: tuple[str, ...] = (sys.executable, "-m", "crmstream.worker")
    """``--index N`` is appended."""
    heartbeat: tuple[str, ...] = (sys.executable, "-m", "crmstream.heartbeat")
    collector: tuple[str, ...] = ()
    """Without one no collector is started."""


COLLECTOR = (sys.executable, "-m", "crmstream.collector")
"""The command line of the collector."""
WATCH_DISK = "--watch-disk"
"""Its option where Kafka keeps its data on this machine."""


class ProcessGroup:
    """Processes that are started, stopped and restarted together. ``poll`` must be called regularly.

    If it is not ``vital``, no death of it is an error: it is told, and tried again every minute.
    """

    def __init__(
        self, name: str, processes: Sequence[ChildProcess], log_dir: Path, on_event: Callable[[str], None],
        *, vital: bool = True,
    ):  # fmt: skip
        self._name = name
        self.processes = list(processes)
        self._log_dir = log_dir
        self._on_event = on_event
        self._vital = vital
        self._told: list[str] = []
        self._policy = RestartPolicy()
        self._start_at: float | None = None
        self._ends_at: float | None = None
        self._started_at = 0.0
        self._wanted = False
        self._lacks_room = False

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of those that run."""
        return tuple(process.pid for process in self.processes if process.alive and process.pid is not None)

    def start(self) -> None:
        """Start all."""
        self._wanted, self._start_at, self._ends_at, self._started_at = True, None, None, time.monotonic()
        run = {RUN: secrets.token_hex(6)}
        for process in self.processes:
            self._fatal_file(process).unlink(missing_ok=True)
            process.change_environment(run)
            process.start()

    def stop(self) -> None:
        """Ask all to stop, and wait: they finish their epoch first."""
        self._wanted, self._start_at, self._ends_at = False, None, None
        stop_all(self.processes, STOP_SECONDS)

    @property
    def restarting(self) -> bool:
        """Whether processes are still stopping that are started again then."""
        return self._ends_at is not None

    def restart(self, changes: Mapping[str, str] | None = None) -> None:
        """Ask all to stop (they finish their epoch); ``poll`` starts them again then. It does not count as a death.

        ``changes`` are variables of their environment that get another value.
        """
        self._start_at, self._ends_at = None, time.monotonic() + STOP_SECONDS
        for process in self.processes:
            process.change_environment(changes or {})
        ask_to_stop(self.processes)

    def poll(self, hold: str = "") -> None:
        """Restart the group if one of it died.

        Args:
            hold: why nothing can run now, such as "Kafka is down". A death does not count then, and the group is
                started again when there is no such reason any more.

        Raises:
            StackError: a process will not start, or the group dies again and again; only if it is vital.

        """
        try:
            self._look_after(hold)
        except StackError as error:
            if self._vital:
                self._wanted = False
                raise
            self._start_at = time.monotonic() + ANOTHER_TRY_SECONDS
            reasons = [process.log_tail(1) for process in self.processes]
            if reasons != self._told:
                self._told = reasons
                self._on_event(f"the {self._name} does not run, and is tried again every minute: {error}")

    def _look_after(self, hold: str) -> None:
        if not self._wanted:
            return
        if self._ends_at is not None:
            self._await_end(self._ends_at)
        elif self._start_at is not None:
            if time.monotonic() >= self._start_at and not hold:
                self.start()
        elif dead := [process for process in self.processes if not process.alive]:
            self._bury(dead, hold)
        elif self._lacks_room and time.monotonic() - self._started_at > ANOTHER_TRY_SECONDS:
            self._lacks_room = False
            self._on_event(f"there is room on the disk again: the {self._name} goes on")
        elif self._told and time.monotonic() - self._started_at > ANOTHER_TRY_SECONDS:
            self._told = []  # it runs again: another death is news

    def _await_end(self, ends_at: float) -> None:
        """Start all again when they have ended; kill those that have not in time."""
        alive = [process for process in self.processes if process.alive]
        if not alive:
            self.start()
        elif time.monotonic() >= ends_at:
            for process in alive:
                process.signal(signal.SIGKILL)

    def _bury(self, dead: list[ChildProcess], hold: str) -> None:
        until = time.monotonic() + END_SECONDS
        for process in self.processes:
            process.wait(max(0.0, until - time.monotonic()))
        dead += [process for process in self.processes if not process.alive and process not in dead]
        for process in self.processes:  # a group that lost one cannot go on
            process.signal(signal.SIGKILL)
            process.wait(STOP_SECONDS)
        self._raise_if_fatal()
        if hold:
            self._start_at = time.monotonic()
            self._on_event(f"{dead[0].name} {dead[0].how_it_ended()}; the {self._name} starts again later: {hold}")
            return
        if full := [process for process in dead if process.poll() == NO_ROOM]:
            self._await_room(full[0])
            return
        if all(process.poll() == COMPANION_GONE for process in dead):
            self._start_at = time.monotonic() + COMPANION_WAIT_SECONDS
            self._on_event(f"a worker of another host has gone or stops: {dead[0].name} starts again and waits for it")
            return
        self._start_at = self._policy.next_start(time.monotonic())
        if self._start_at is None:
            raise StackError(
                f"the {self._name} died {MAX_RESTARTS + 1} times within {RESTART_WINDOW_SECONDS:g} s: "
                f"{dead[0].death_message()}",
                part=dead[0].name,
            )
        self._on_event(
            f"{dead[0].name} died ({dead[0].how_it_ended()}): starting the {self._name} again. The end of its log: "
            f"{dead[0].log_tail(1) or '(nothing)'}"
        )

    def _await_room(self, process: ChildProcess) -> None:
        self._start_at = time.monotonic() + NO_ROOM_WAIT_SECONDS
        if not self._lacks_room:
            self._lacks_room = True
            self._on_event(
                f"{process.name} ended because the disk is full: the {self._name} is started again every "
                f"{NO_ROOM_WAIT_SECONDS:g} s until there is room. The end of its log: "
                f"{process.log_tail(1) or '(nothing)'}"
            )

    def _raise_if_fatal(self) -> None:
        for process in self.processes:
            if process.poll() == WILL_NOT_START:
                fatal = self._fatal_file(process)
                message = fatal.read_text(encoding="utf-8").strip() if fatal.exists() else process.death_message()
                raise StackError(message, part=process.name)

    def _fatal_file(self, process: ChildProcess) -> Path:
        return self._log_dir / f"{process.name}.fatal"


def worker_group(
    commands: DataflowCommands,
    environment: Mapping[str, str],
    metrics_ports: Mapping[int, int],
    log_dir: Path,
    on_event: Callable[[str], None],
) -> ProcessGroup:
    """Return the group of workers, one for each metrics port, by index."""
    workers = [
        ChildProcess(
            f"worker-{index}", [*commands.worker, "--index", str(index)], log_dir,
            {**environment, "CRM_WORKER_METRICS_PORT": str(port)},
        )
        for index, port in metrics_ports.items()
    ]  # fmt: skip
    return ProcessGroup("dataflow", workers, log_dir, on_event)


def heartbeat_group(
    commands: DataflowCommands, environment: Mapping[str, str], log_dir: Path, on_event: Callable[[str], None]
) -> ProcessGroup:
    """Return the heartbeat as a group of its own, so that its death does not touch the workers."""
    process = ChildProcess("heartbeat", commands.heartbeat, log_dir, environment)
    return ProcessGroup("heartbeat", [process], log_dir, on_event)


def collector_group(
    commands: DataflowCommands, environment: Mapping[str, str], log_dir: Path, on_event: Callable[[str], None]
) -> ProcessGroup:
    """Return the collector as a group of its own: it takes events whatever becomes of the dataflow, and conversely."""
    process = ChildProcess("collector", commands.collector, log_dir, environment)
    return ProcessGroup("collector", [process], log_dir, on_event, vital=False)

"""Worker processes of the dataflow as the stack starts them, watched from outside: metrics, memory, CPU, disk."""

import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import IO, Any, Final

import psutil
from prometheus_client.parser import text_string_to_metric_families
from stacks import RUN_SECONDS, Stack, cpu_seconds

from crmstream.stack.ports import free_port

MEGABYTE: Final = 1_000_000
_PREPARE: Final = """
from contracts.settings import load_settings
from streams.recovery import prepare_recovery
prepare_recovery(load_settings())
"""
_READ: Final = ("crm_events_total", "crm_ticks_total", "crm_dead_letters_total")
_STARTED_SECONDS: Final = 60.0
_NOTED_SECONDS: Final = 10.0
"""How often a long wait says how far it is."""
SLOWEST: Final = 1_000.0
"""Records per second below which a catch-up counts as stuck."""
_FORGET_PEAK: Final = "5"
"""What the kernel takes for it (``man proc_pid_clear_refs``)."""
_LOADED: Final = 0.2
"""A worker that uses less of a core for a while has nothing left to do."""


class Fleet:
    """The workers of one stack. ``start`` may be called again after ``stop`` or ``kill``: they resume."""

    def __init__(self, stack: Stack, workers: int = 1):
        self._stack = stack
        self._count = workers
        self._metrics: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._log: IO[Any] | None = None

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def folder(self) -> Path:
        """Where the state is."""
        return Path(self._stack.facts["data_dir"]) / "recovery"

    def start(self) -> None:
        """Start all workers, and wait until their metrics answer."""
        addresses = ";".join(f"127.0.0.1:{free_port()}" for _ in range(self._count))
        environment = self._stack.environment | {
            "CRM_WORKERS": str(self._count), "CRM_WORKER_ADDRESSES": addresses, "CRM_WORKER_RUN": token_hex(6),
        }  # fmt: skip
        subprocess.run([sys.executable, "-c", _PREPARE], env=environment, check=True)
        self._metrics = [free_port() for _ in range(self._count)]
        log = self.folder.parent / "bench-workers.log"
        self._log = log.open("ab")
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "crmstream.worker", "--index", str(index)], stderr=self._log, stdout=self._log,
                env=environment | {"CRM_WORKER_METRICS_PORT": str(port)}, start_new_session=True,
            )
            for index, port in enumerate(self._metrics)
        ]  # fmt: skip
        self.wait(lambda: bool(self.metrics()), _STARTED_SECONDS)

    def wait(self, done: Callable[[], bool], seconds: float = RUN_SECONDS, every: float = 0.1) -> float:
        """Wait until something is done; return for how long. Raises RuntimeError if a worker dies or it lasts."""
        began = time.monotonic()
        while not done():
            if any(process.poll() is not None for process in self._processes):
                raise RuntimeError(f"a worker died:\n{self.log_tail()}")
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"not done after {seconds:.0f} s:\n{self.log_tail()}")
            time.sleep(every)
        return time.monotonic() - began

    def log_tail(self) -> str:
        """The end of what the workers wrote."""
        return (self.folder.parent / "bench-workers.log").read_text(encoding="utf-8", errors="replace")[-3_000:]

    def metrics(self) -> Counter[str]:
        """All figures of all workers, added up over workers and labels; none if one does not answer.

        By the label ``le`` or ``file`` each is there once more, as ``name|value``.
        """
        figures: Counter[str] = Counter()
        for port in self._metrics:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                    text = answer.read().decode()
            except OSError:
                return Counter()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    figures[sample.name] += sample.value  # type: ignore[assignment]
                    for label in {"le", "file"} & set(sample.labels):
                        figures[f"{sample.name}|{sample.labels[label]}"] += sample.value  # type: ignore[assignment]
        return figures

    def records_read(self) -> float:
        """How many records they have read since they started, ticks too."""
        figures = self.metrics()
        return sum(figures[name] for name in _READ)

    def catch_up(self, records: int, note: Callable[[str], object] = lambda _: None) -> float:
        """Wait until so many records are read and all have rested for a while; return the seconds until read."""
        told = [time.monotonic()]

        def done() -> bool:
            read = self.records_read()
            if time.monotonic() - told[0] > _NOTED_SECONDS:
                told[0] = time.monotonic()
                note(f"{read:,.0f} of {records:,} records")
            return read >= records

        seconds = self.wait(done, max(RUN_SECONDS, records / SLOWEST), every=0.5)
        self.rest()
        return seconds

    def rest(self, seconds: float = RUN_SECONDS) -> None:
        """Wait until the workers have had next to nothing to do for three seconds."""
        quiet, deadline = 0, time.monotonic() + seconds
        while quiet < 3 and time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(1)
            quiet = quiet + 1 if self.cpu() - before < _LOADED * self._count else 0

    def cpu(self) -> float:
        """CPU seconds of all workers so far."""
        return sum(cpu_seconds(psutil.Process(process.pid)) for process in self._processes)

    def resident(self) -> float:
        """Megabytes of memory that all workers hold now."""
        return sum(psutil.Process(process.pid).memory_info().rss for process in self._processes) / MEGABYTE

    def peak(self) -> float:
        """Most megabytes that all workers held since they started or since :meth:`forget_peak`, each on its own."""
        return sum(_high_water(process.pid) for process in self._processes) / MEGABYTE

    def forget_peak(self) -> None:
        """Let :meth:`peak` begin anew."""
        for process in self._processes:
            Path(f"/proc/{process.pid}/clear_refs").write_text(_FORGET_PEAK, encoding="ascii")

    def written(self) -> int:
        """Bytes that the workers have sent to the disk."""
        return sum(psutil.Process(process.pid).io_counters().write_bytes for process in self._processes)

    def state_bytes(self) -> int:
        """Bytes of the state folder on the disk."""
        total = 0
        for path in self.folder.rglob("*"):
            with suppress(FileNotFoundError):  # a file may go away in between
                total += path.lstat().st_blocks * 512
        return total

    def stop(self) -> float:
        """Ask all to end, and wait; return the CPU seconds of their whole lives. Raises RuntimeError if one fails."""
        for process in self._processes:
            process.terminate()
        spent = 0.0
        for process in self._processes:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            spent += usage.ru_utime + usage.ru_stime
            if process.returncode:
                raise RuntimeError(f"a worker ended with {process.returncode}:\n{self.log_tail()}")
        self._close()
        return spent

    def kill(self) -> None:
        """Kill all at once."""
        for process in self._processes:
            process.kill()
            process.wait()
        self._close()

    def _close(self) -> None:
        self._processes, self._metrics = [], []
        if self._log is not None:
            self._log.close()
            self._log = None


def _high_water(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1_024
    return 0

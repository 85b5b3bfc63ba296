"""From the producer's send to the score in Redis and to the row in ClickHouse, while events come at a steady rate.

One worker of the dataflow first works off a history; then the shop goes on at the wall clock's time. Probes among its
events (at most 50 a second) are customers whose scores are watched for. The producer, the servers, the worker and the
watcher share this machine. A heartbeat ticks as in ``crmstream up``. Beside latency: what the worker uses of a core
when nothing happens, and what a batch of one event costs it.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil
from probing import Probing, delays, summary
from stacks import RUN_SECONDS, Stack, Version, cpu_seconds, end, loaded_stack, read_json
from workload import Workload

SETTLE_SECONDS: Final = 6.0
"""How long a worker that has caught up is left alone, so that what follows is not its catching up."""
LONGEST_WAIT: Final = 30.0
"""Seconds after a load within which its last probes must have been seen."""
SINGLE_RATE: Final = 4.0
"""Single events a second: far enough apart that each is a batch of its own; several share an epoch."""
QUIET_RATE: Final = 0.4
"""Events a second of a quiet shop: each has an epoch of its own, so it pays for a snapshot and for inserts too."""
LAST_EPOCH_SECONDS: Final = 3.5
"""After how long the epoch of the last event is through."""


@dataclass
class Pace:
    """One steady rate: milliseconds of latency, and shares of a core. ``sent_rate`` is what the producer achieved."""

    version: str
    workload: str
    name: str
    rate: float
    sent_rate: float
    redis: Mapping[str, float | int | None]
    clickhouse: Mapping[str, float | int | None]
    worker_share: float
    servers_share: Mapping[str, float]


@dataclass
class Idle:
    """A worker to which nothing comes but ticks, and one to which single events come, several or one in an epoch.

    What idling would have cost in the same time is not part of an event.
    """

    version: str
    workload: str
    idle_share: float
    idle_servers: Mapping[str, float]
    milliseconds_per_single_event: float
    milliseconds_per_quiet_event: float


def measure_paces(
    workload: Workload, version: Version, rates: Mapping[str, float], seconds: float, note: Callable[[str], None]
) -> tuple[Idle, list[Pace]]:
    """Start a stack and one worker; measure what idling costs, then each rate in turn."""
    note(f"{workload.name}: publishing for the {version.name}")
    with loaded_stack(version, workload.name) as stack:
        note(f"{workload.name}: {version.name} works off the history")
        with _worker(stack) as worker:
            note(f"{workload.name}: {version.name}, idle and single events")
            idle = _idle(stack, worker, seconds)
            paces = []
            for name, rate in rates.items():
                note(f"{workload.name}: {version.name} at {rate:,.0f} events/s")
                paces.append(_pace(stack, worker, name, rate, seconds))
    return idle, paces


@contextmanager
def _worker(stack: Stack) -> Iterator[psutil.Process]:
    """One worker that has worked the log off, and a heartbeat."""
    process = stack.start("engine_run.py", str(stack.facts["records"]), "stay")
    beating = [sys.executable, "-m", "crmstream.heartbeat"]
    heartbeat = subprocess.Popen(beating, env=stack.environment, stderr=subprocess.DEVNULL)
    try:
        read_json(process)
        time.sleep(SETTLE_SECONDS)
        yield psutil.Process(process.pid)
    finally:
        heartbeat.terminate()
        heartbeat.wait(RUN_SECONDS)
        end(process)


class _Shares:
    """CPU of the worker and of the servers since it was made."""

    def __init__(self, stack: Stack, worker: psutil.Process):
        self._stack, self._worker = stack, worker
        self._began, self._own, self._servers = time.monotonic(), cpu_seconds(worker), stack.servers_cpu()

    def worker(self) -> float:
        """CPU seconds of the worker."""
        return cpu_seconds(self._worker) - self._own

    def seconds(self) -> float:
        """How long it has been."""
        return time.monotonic() - self._began

    def servers(self) -> dict[str, float]:
        """Shares of a core, by server."""
        now, elapsed = self._stack.servers_cpu(), self.seconds()
        return {name: round((now[name] - self._servers.get(name, 0.0)) / elapsed, 4) for name in now}


def _idle(stack: Stack, worker: psutil.Process, seconds: float) -> Idle:
    nothing = _Shares(stack, worker)
    time.sleep(seconds)
    share, servers = nothing.worker() / nothing.seconds(), nothing.servers()
    single, quiet = (_event(stack, worker, share, rate, seconds) for rate in (SINGLE_RATE, QUIET_RATE))
    return Idle(stack.version.name, stack.facts["workload"], round(share, 4), servers, single, quiet)


def _event(stack: Stack, worker: psutil.Process, share: float, rate: float, seconds: float) -> float:
    """Milliseconds of CPU of one event at a steady rate, without what idling costs."""
    count = max(1, int(rate * seconds))
    stack.load(rate, seconds)
    shares = _Shares(stack, worker)
    stack.loaded()
    time.sleep(max(0.0, seconds - shares.seconds()) + LAST_EPOCH_SECONDS)
    return round((shares.worker() - share * shares.seconds()) / count * 1e3, 3)


def _pace(stack: Stack, worker: psutil.Process, name: str, rate: float, seconds: float) -> Pace:
    with Probing(stack) as watched:
        stack.load(rate, seconds)
        shares = _Shares(stack, worker)
        sent = stack.loaded()
        own, servers = shares.worker() / shares.seconds(), shares.servers()
        _wait_for(sent["probes"], watched)
    probes = sent["probes"]
    return Pace(
        stack.version.name, stack.facts["workload"], name, rate, round(sent["sent"] / sent["seconds"], 1),
        summary(delays(probes, watched.redis), len(probes)),
        summary(delays(probes, watched.clickhouse), len(probes)), round(own, 4), servers,
    )  # fmt: skip


def _wait_for(probes: Sequence[Sequence[float | str]], watched: Probing) -> None:
    """Wait until the last probes were seen in both stores, but not for ever."""
    deadline = time.monotonic() + LONGEST_WAIT
    while time.monotonic() < deadline:
        if all(len(delays(probes, seen)) == len(probes) for seen in (watched.redis, watched.clickhouse)):
            return
        time.sleep(0.5)

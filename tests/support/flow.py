"""One installation under test, ``crmstream up`` as a user would start it, and its log in Kafka."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import psutil
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from contracts.settings import Settings
from contracts.topics import CONSUMER_GROUP, INPUT_TOPICS
from crmstream.observe.lanes import CLOCK, Pages
from crmstream.observe.metrics import read_samples
from crmstream.stack.endpoints import Endpoints, running_stack
from crmstream.stack.environment import settings_environment
from sinks.outbox_folder import waiting_in
from streams.recovery import outbox_folder

CRMSTREAM = str(Path(sys.executable).with_name("crmstream"))
NewSettings = Callable[..., Settings]
"""Makes the settings of a fresh installation; keyword arguments are settings that differ."""
INPUTS = tuple(topic.name for topic in INPUT_TOPICS)
NOT_YET = {
    KafkaError._TIMED_OUT,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
}
Place = tuple[str, int]
T = TypeVar("T")


def wait_until(condition: Callable[[], bool], what: str, timeout_seconds: float = 90, pause: float = 0.05) -> None:
    """Wait for a condition; fail with its name when it takes too long."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting until {what}"
        time.sleep(pause)


def answered(ask: Callable[[], T]) -> T:
    """Ask Kafka; a broker that has just started says for a moment that it can't tell yet."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in NOT_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


class Log:
    """The input topics of one Kafka, and how far the dataflow has come in them."""

    def __init__(self, bootstrap_servers: str, partitions: int):
        self._servers = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self._places = [TopicPartition(name, number) for name in INPUTS for number in range(partitions)]
        self._consumer = Consumer(self._servers | {"group.id": CONSUMER_GROUP, "enable.auto.commit": False})

    def progress(self) -> float:
        """The part of the log whose results are durable, 0 to 1."""
        return sum(self._committed().values()) / sum(self.ends().values())

    def ends(self) -> dict[Place, int]:
        """The end offset of every input partition."""
        ask = self._consumer.get_watermark_offsets
        limits = {place: answered(partial(ask, place, timeout=5)) for place in self._places}
        return {(place.topic, place.partition): high for place, (_, high) in limits.items()}

    def drained(self) -> bool:
        """Whether the results of everything in the log are durable."""
        return self._committed() == {place: end for place, end in self.ends().items() if end}

    def forget_progress(self) -> None:
        """Remove the position that an earlier run published; the dataflow itself never reads it."""
        admin = AdminClient(self._servers)
        if self._committed():
            admin.delete_consumer_groups([CONSUMER_GROUP])[CONSUMER_GROUP].result(20)
            assert not self._committed()

    def delete_older_part(self, share: float) -> None:
        """Delete the first records of every topic-partition, as Kafka does when they get too old."""
        cuts = [TopicPartition(*place, int(end * share)) for place, end in self.ends().items()]
        admin = AdminClient(self._servers)
        for done in admin.delete_records(cuts).values():
            done.result(20)

    def _committed(self) -> dict[Place, int]:
        """Read the group's position."""
        found = answered(partial(self._consumer.committed, self._places, timeout=5))
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}


def clocks_of(pages: Pages) -> dict[str, float]:
    """The event clocks of lanes, in Unix seconds, by partition, by the metrics of workers."""
    samples = [each for page in pages for each in page or ()]
    return {each.labels["partition"]: each.value for each in samples if each.name == CLOCK}


class Flow:
    """``crmstream up`` with the given settings. Use it as a context manager; it may be stopped and started inside."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.output = settings.data_dir.parent / f"{settings.data_dir.name}.out"
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which any ``crmstream`` command works on this installation."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
        own = inherited | settings_environment(self.settings)
        if self.settings.clickhouse_url is not None:
            own["CRM_CLICKHOUSE_URL"] = self.settings.clickhouse_url.get_secret_value()
        if self.settings.redis_url is not None:
            own["CRM_REDIS_URL"] = self.settings.redis_url.get_secret_value()
        return own

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers are."""
        found = running_stack(self.settings.data_dir)
        assert found is not None, self.told()
        return found

    @property
    def worker_pids(self) -> list[int]:
        """The process ids of the dataflow's workers, in the order of their index."""
        return [pid for _, pid in sorted(self._children("crmstream.worker"))]

    @property
    def collector_pid(self) -> int:
        """The process id of the collector; 0 while there is none."""
        return next((pid for _, pid in self._children("crmstream.collector")), 0)

    def clocks(self) -> dict[str, float]:
        """The event clocks of the lanes, in Unix seconds, by partition; of workers that answer and have one."""
        return clocks_of([read_samples(url) for url in self.endpoints.worker_metrics])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(60)
            self.kill()

    def start(self, **changes: object) -> None:
        """Start it and return when it is up; ``changes`` are settings that are new from now on."""
        self.settings = self.settings.model_copy(update=changes)
        with self.output.open("ab") as output:
            self._started_at = output.tell()
            self._process = subprocess.Popen([CRMSTREAM, "up"], env=self.environment, stdout=output, stderr=output)
        wait_until(self._is_up, "the stack is up")

    def fails(self) -> str:
        """Start it where it must refuse, and return what it says."""
        return self.refuses("up")

    def refuses(self, *arguments: str) -> str:
        """Run a command that must refuse, and return what it says, as one line."""
        done = subprocess.run(
            [CRMSTREAM, *arguments], env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return " ".join(done.stderr.split())

    def stop(self) -> None:
        """Stop it cleanly."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0, self.told()
        self._process = None

    def kill(self) -> None:
        """Kill the supervisor with -9, which takes everything with it."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.kill()
        self._process.wait(20)
        psutil.wait_procs(children, timeout=20)
        self._process = None

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def told(self) -> str:
        """What it has printed so far, and the ends of its workers' logs."""
        logs = [self.output, *sorted((self.settings.data_dir / "logs").glob("worker-*.log"))]
        return "\n".join(path.read_text(errors="replace")[-3_000:] for path in logs if path.exists())

    def run(self, *arguments: str) -> str:
        """Run another ``crmstream`` command on this installation; return what it prints."""
        done = subprocess.run(
            [CRMSTREAM, *arguments], env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def drain(self, log: Log, timeout_seconds: float = 120) -> None:
        """Wait until the results of everything in the log are durable."""
        self.await_that(log.drained, "the log is drained", timeout_seconds)
        outbox = outbox_folder(self.settings)
        left = waiting_in(outbox)
        self.await_that(lambda: not left & waiting_in(outbox), "the outbox of all workers is sent", timeout_seconds)

    def await_that(self, condition: Callable[[], bool], what: str, timeout_seconds: float = 90) -> None:
        """Wait for a condition, but not for longer than the installation lives."""

        def fulfilled() -> bool:
            assert self.is_alive(), self.told()
            return condition()

        wait_until(fulfilled, what, timeout_seconds)

    def _is_up(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.told()
        return b"Up." in self.output.read_bytes()[self._started_at :]

    def _children(self, module: str) -> list[tuple[list[str], int]]:
        """The command lines and ids of the processes that run a module; one that ends meanwhile is not among them."""
        if self._process is None:
            return []
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                line = process.cmdline()
                if module in line:
                    found.append((line, process.pid))
        return found

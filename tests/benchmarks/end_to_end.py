"""The whole way, measured: one worker of the dataflow and the hand-written loop on the same log, in turns.

Every run starts from nothing (tables and keyspace emptied, no state) and ends when everything is in the stores. What is
compared is what the reading process costs, in CPU and wall-clock seconds; the servers' CPU is shown beside it.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import psutil
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, TopicPartition
from workload import Workload, publish

from connectors.kafka.topics import ensure_topics
from contracts.settings import Settings
from contracts.stored import TABLES
from contracts.topics import INPUT_TOPICS
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.environment import dataflow_environment
from crmstream.stack.supervisor import LocalStack
from sinks.clients import clickhouse_client, redis_client
from sinks.migrations import migrate

HERE: Final = Path(__file__).parent
RUN_SECONDS: Final = 600
DATAFLOW, LOOP = "dataflow", "hand-written loop"


@dataclass
class Run:
    """One pass over the log: seconds of the process and of the servers, and what is in the stores afterwards."""

    wall_seconds: float
    cpu_seconds: float
    servers_cpu_seconds: float
    stored: dict[str, int]


@dataclass
class Comparison:
    """All passes over one log."""

    workload: str
    about: str
    events: dict[str, int]
    runs: dict[str, list[Run]] = field(default_factory=lambda: {DATAFLOW: [], LOOP: []})

    @property
    def total(self) -> int:
        """Records without ticks."""
        return sum(self.events.values())

    def per_event(self, which: str, measure: str) -> list[float]:
        """Microseconds per event of every pass."""
        return [getattr(run, measure) / self.total * 1e6 for run in self.runs[which]]

    def ratios(self, measure: str) -> tuple[float, float, float]:
        """Dataflow against loop, round by round: least, median, greatest."""
        pairs = zip(self.runs[DATAFLOW], self.runs[LOOP], strict=True)
        ratios = [getattr(ours, measure) / getattr(loop, measure) for ours, loop in pairs]
        return min(ratios), median(ratios), max(ratios)


@contextmanager
def loaded_stack(workload: Workload) -> Iterator[tuple[Settings, Endpoints, dict[str, int]]]:
    """A throw-away local stack whose log holds the workload."""
    folder = Path(tempfile.mkdtemp(prefix="crm-bench-"))
    settings = Settings(
        base_currency="USD",
        data_dir=folder, kafka_bootstrap_servers=None, clickhouse_url=None, redis_url=None, workers=1,
        live_backlog_events=workload.live_backlog_events,
    )  # fmt: skip
    try:
        with LocalStack(settings, with_dataflow=False) as stack:
            endpoints, database = stack.endpoints, settings.clickhouse_database
            ensure_topics(endpoints.kafka, settings.partitions)
            migrate(clickhouse_client(endpoints.clickhouse_url, database), database)
            yield settings, endpoints, publish(workload, endpoints.kafka, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def compare(workload: Workload, rounds: int, note: Callable[[str], None]) -> Comparison:
    """Work the log off ``rounds`` times each way, taking turns in who goes first."""
    note(f"{workload.name}: publishing")
    with loaded_stack(workload) as (settings, endpoints, events):
        comparison = Comparison(workload.name, workload.about, events)
        for number in range(rounds):
            order = (DATAFLOW, LOOP) if number % 2 == 0 else (LOOP, DATAFLOW)
            for which in order:
                note(f"{workload.name}: round {number + 1} of {rounds}, {which}")
                comparison.runs[which].append(_run(which, settings, endpoints))
    return comparison


def _run(which: str, settings: Settings, endpoints: Endpoints) -> Run:
    database = clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)
    _empty(database, endpoints, settings)
    records = str(records_in(endpoints.kafka))
    servers = [process for process in psutil.Process().children(recursive=True) if process.is_running()]
    before = sum(map(_cpu, servers))
    command = [sys.executable, str(HERE / "engine_run.py"), records]
    if which == LOOP:
        command = [
            sys.executable, str(HERE / "handwritten_loop.py"), endpoints.kafka, endpoints.clickhouse_url,
            endpoints.redis_url, settings.clickhouse_database, records,
        ]  # fmt: skip
    figures = _execute(command, dataflow_environment(settings, endpoints, []))
    stored = {table: _count(database, table) for table in TABLES}
    stored["hashes"] = int(redis_client(endpoints.redis_url).dbsize())
    return Run(**figures, servers_cpu_seconds=sum(map(_cpu, servers)) - before, stored=stored)


def _execute(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    path = os.pathsep.join([str(HERE.parent.parent), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, env=environment | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=RUN_SECONDS,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{command[1]} failed:\n{done.stderr[-2_000:]}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def _empty(database: Client, endpoints: Endpoints, settings: Settings) -> None:
    """Take away what an earlier pass left."""
    for table in TABLES:
        database.command("TRUNCATE TABLE {table:Identifier}", parameters={"table": table})
    redis_client(endpoints.redis_url).flushdb()
    shutil.rmtree(settings.data_dir / "recovery", ignore_errors=True)


def records_in(kafka: str) -> int:
    """All records of the input topics, ticks too."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "bench"})
    known = consumer.list_topics().topics
    places = [TopicPartition(topic.name, part) for topic in INPUT_TOPICS for part in known[topic.name].partitions]
    marks = [consumer.get_watermark_offsets(place) for place in places]
    consumer.close()
    return sum(high - low for low, high in marks)


def _count(database: Client, table: str) -> int:
    query = "SELECT count() FROM {table:Identifier} FINAL"
    return int(database.query(query, parameters={"table": table}).result_rows[0][0])


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)

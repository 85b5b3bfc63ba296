"""The whole dataflow without servers: logs, tables and hashes in memory, Bytewax in this process."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main
from clickhouse_connect.driver.exceptions import OperationalError
from confluent_kafka import murmur2
from support.consumer import FakeConsumer, FakeMessage, Place
from support.hashes import FakeClient, Server
from support.killed import kill
from support.records import Record, event
from support.tables import KEYS, Written

from connectors.kafka.publisher import tick_body
from connectors.simulator.config import DAY_US, ShopConfig
from connectors.simulator.shop import Shop
from contracts.events import TICK_KEY
from contracts.identity import placing_id
from contracts.settings import Settings
from contracts.stored import VERSION_FIELD
from contracts.topics import INPUT_TOPICS, TOPIC_OF_KIND
from sinks.clickhouse import ClickHouseWriter
from sinks.inserts import Limits
from sinks.outbox import Outbox
from sinks.redis import RedisWriter
from streams import dataflow, error_boundary
from streams.read.config import SourceConfig
from streams.read.consumer import SharedConsumer
from streams.read.source import LaneReader, LaneSource
from streams.recovery import forget_uncommitted, prepare_recovery

EPOCH = timedelta(seconds=0.02)
IDLE = 4
"""Polls without anything after which a log counts as read."""
COLUMN = {"visitor": "anonymous_id"}
"""From what ClickHouse computes a column of a key."""
STORES = dataflow.Stores("", "", "redis://nowhere")
Logs = dict[Place, list[Record]]


def logs_of(shop: ShopConfig, partitions: int) -> Logs:
    """The logs of a simulated shop, with a tick at every midnight, and one a day after its end."""
    places = [(topic.name, number) for topic in INPUT_TOPICS for number in range(partitions)]
    logs: Logs = {place: [] for place in places}
    day = shop.start_us
    for sent in Shop(shop).sent(shop.end_us):
        while day <= sent.received_at:
            _tick(logs, day)
            day += DAY_US
        record = sent.record
        place = record.topic, int(murmur2(record.key, partitions)) if record.key else 0
        logs[place].append(Record(record.value, 0, record.key, sent.received_at // 1_000))
    _tick(logs, shop.end_us + DAY_US)
    return logs


def logs_of_days(days: Sequence[Sequence[dict[str, Any]]], start: datetime, partitions: int) -> Logs:
    """Logs of bodies without times, a minute after each other from 6:00 of their day; a tick at every midnight."""
    logs: Logs = {(topic.name, number): [] for topic in INPUT_TOPICS for number in range(partitions)}
    for number, bodies in enumerate([*days, []]):
        midnight = start + timedelta(days=number)
        _tick(logs, int(midnight.timestamp()) * 1_000_000)
        for minute, body in enumerate(bodies):
            time = midnight + timedelta(hours=6, minutes=minute)
            whole = event(**({"customer_id": ...} | body), occurred_at=time.isoformat(), received_at=time.isoformat())
            key = placing_id(whole["kind"], whole.get("customer_id"), whole.get("anonymous_id")).encode()
            place = TOPIC_OF_KIND[whole["kind"]].name, int(murmur2(key, partitions))
            logs[place].append(Record(json.dumps(whole).encode(), 0, key, int(time.timestamp()) * 1_000))
    return logs


def _tick(logs: Logs, time_us: int) -> None:
    for log in logs.values():
        log.append(Record(tick_body(time_us, "test"), record_key=TICK_KEY, entered_ms=time_us // 1_000))


class Reading(FakeConsumer):
    """A consumer that counts how often nothing came in a row."""

    idle: int = 0

    def consume(self, most: int, timeout: float) -> list[FakeMessage]:
        found = super().consume(most, timeout)
        self.idle = 0 if found else self.idle + 1
        return found


class Lanes(LaneSource):
    """Reads logs in memory: each lane has a consumer of its own, since workers are threads here."""

    def __init__(self, config: SourceConfig, logs: Logs):
        super().__init__(config)
        self._logs = logs
        self._consumers: list[Reading] = []
        self._readers: list[LaneReader] = []

    def build_part(self, step_id: str, for_part: str, resume_state: Mapping[str, Any] | None) -> LaneReader:
        consumer = Reading({place: log for place, log in self._logs.items() if place[1] == int(for_part)})
        self._consumers.append(consumer)
        self._readers.append(LaneReader(int(for_part), self._config, SharedConsumer(consumer), resume_state))
        return self._readers[-1]

    def progress(self) -> float:
        """The part of the logs that is read, 0 to 1."""
        done = sum(position.offset for reader in self._readers for position in reader._state.topics.values())
        return done / sum(map(len, self._logs.values()))

    def are_through(self) -> bool:
        """Whether all lanes are read, and nothing more has come for a while."""
        if len(self._consumers) < len(self.list_parts()) or self.progress() < 1:
            for consumer in self._consumers:
                consumer.idle = 0
        return bool(self._consumers) and all(consumer.idle > IDLE for consumer in self._consumers)


@dataclass
class Tables:
    """Keeps the rows of ClickHouse tables."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _asked: Iterator[int] = field(default_factory=count)
    """Counts inserts of all clients: if each had its own count, the same insert of every run might fail."""

    def writer(self, split: Callable[[Any], Iterable[Any]]) -> Any:
        def write(batch: Sequence[Any]) -> None:
            for item in batch:
                for block in split(item):
                    self.rows.setdefault(block.table, []).extend(block.render([]).to_pylist())

        return _writer(write)

    def client(self) -> Any:
        """A client of a ClickHouse that keeps rows here, and is away every third time it is asked for an insert."""
        def insert(table: str, rows: pa.Table, settings: Mapping[str, Any]) -> None:
            assert settings
            if next(self._asked) % 3 == 1:
                raise OperationalError("away")
            self.rows.setdefault(table, []).extend(rows.to_pylist())

        return SimpleNamespace(insert_arrow=insert)

    def final(self, table: str) -> list[dict[str, Any]]:
        """One row of each key in the order of keys: the newest version, of equal ones the last."""
        keys = KEYS[table].split(", ")
        newest: dict[tuple[str, ...], dict[str, Any]] = {}
        for row in self.rows.get(table, []):
            key = tuple(str(row[COLUMN.get(name, name)]) for name in keys)
            if key not in newest or newest[key].get("version", 0) <= row.get("version", 0):
                newest[key] = row
        return [newest[key] for key in sorted(newest)]


def _writer(write: Callable[[Sequence[Any]], None]) -> Any:
    """A writer that has written when it is asked to."""
    return SimpleNamespace(
        write=write, begin_flush=lambda patient: None, flush=lambda: None, close=lambda: None,
        last_put=lambda: 0, is_stored=lambda _: True, waiting=0,
    )  # fmt: skip


@dataclass
class Watched(Server):
    """A server that notes the hashes of which a command has put back the version."""

    put_back: list[str] = field(default_factory=list)

    def apply(self, command: tuple[str, ...]) -> bytes:
        before = self._version(command[1])
        answer = super().apply(command)
        if command[0] == "HSET" and self._version(command[1]) < before:
            self.put_back.append(command[1])
        return answer

    def _version(self, key: str) -> int:
        return int(self.hashes.get(key, {}).get(VERSION_FIELD, 0))


class DiedError(Exception):
    """What ends a run in its middle."""


@dataclass
class Installation:
    """One dataflow over logs in memory; its stores and its recovery store stay from run to run."""

    settings: Settings
    logs: Logs
    monkeypatch: pytest.MonkeyPatch
    tables: Tables = field(default_factory=Tables)
    server: Watched = field(default_factory=Watched)
    letters: list[Any] = field(default_factory=list)
    with_outbox: bool = False
    """Whether rows go the way of production, through the writer with an outbox to a ClickHouse that is often away."""
    _rows: ClickHouseWriter | None = None
    _writer: RedisWriter = field(init=False)

    def run(
        self, workers: int = 1, *, stops_at: float = 2, dies_at: float = 2, epoch: timedelta = EPOCH,
        until: Callable[[], bool] = lambda: True,
    ) -> None:  # fmt: skip
        """Run until the logs are read and ``until()`` holds, or until a part of them (0 to 1) is read.

        A stop is clean. A death ends the run as a failure does: what was written since the last snapshot stays written.
        """
        made: list[Lanes] = []

        def stopping() -> bool:
            (lanes,) = made
            if lanes.progress() >= dies_at:
                raise DiedError
            return (lanes.are_through() and until()) or lanes.progress() >= stops_at

        def source(config: SourceConfig) -> Lanes:
            made.append(Lanes(config, self.logs))
            return made[0]

        with self.monkeypatch.context() as patch:
            patch.setattr(error_boundary, "failures", [])
            patch.setattr(error_boundary.log, "disabled", True)
            patch.setattr(dataflow, "LaneSource", source)
            patch.setattr(dataflow, "ClickHouseWriter", SimpleNamespace(to=self._clickhouse))
            patch.setattr(dataflow, "RedisWriter", SimpleNamespace(to=self._redis))
            patch.setattr(dataflow, "DeadLetterWriter", SimpleNamespace(to=self._kafka))
            flow = dataflow.build_dataflow(self.settings, STORES, stopping)
            recovery = RecoveryConfig(prepare_recovery(self.settings), timedelta(0))
            forget_uncommitted(self.settings)
            try:
                cluster_main(
                    flow, [], 0, epoch_interval=epoch, recovery_config=recovery, worker_count_per_proc=workers
                )
            except BytewaxRuntimeError as error:
                if not isinstance(error.__cause__, DiedError):
                    raise
            finally:
                self._writer.close()
                if self._rows is not None:
                    kill(self._rows)

    def written(self) -> Written:
        """Everything that the stores hold, to be compared."""
        lines = {table: [repr(row).encode() for row in self.tables.final(table)] for table in KEYS}
        hashes = {key: dict(fields) for key, fields in sorted(self.server.hashes.items())}
        profiles = [repr((key, sorted(each.items()))).encode() for key, each in hashes.items() if "profile" in key]
        ranked = {key: [name.encode() for name in sorted(top)] for key, top in sorted(self.server.tops.items())}
        scores = {key: each for key, each in hashes.items() if "score" in key}
        return Written(lines | ranked | {"crm:profile:*": profiles}, scores)

    def _redis(self, _url: str, split: Any) -> RedisWriter:
        client: Any = FakeClient(self.server)
        self._writer = RedisWriter(client, split)
        return self._writer

    def _clickhouse(self, _url: str, _database: str, split: Any, outbox: Path) -> Any:
        if not self.with_outbox:
            return self.tables.writer(split)
        limits = Limits(due_rows=200, grace_seconds=0)
        self._rows = ClickHouseWriter(self.tables.client, split, limits, Outbox(outbox))
        return self._rows

    def _kafka(self, _servers: str) -> Any:
        return _writer(self.letters.extend)


def installation(folder: Path, logs: Logs, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Installation:
    """A fresh installation over logs."""
    return Installation(Settings(data_dir=folder, **changes), logs, monkeypatch)

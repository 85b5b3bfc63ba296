"""What a batch of one event costs, step by step, without any server: python one_event.py. Prints JSON.

Milliseconds of CPU from the bytes of the record to the bytes for Redis, ClickHouse and the disk, through the dataflow's
own machines. Each event is a batch of its own with a snapshot of its own, as in a quiet shop. Three paces: one event
after the other; with other work in between that empties the processor's caches; and four events a second, where the
process sleeps in between, as a worker does.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
from steps import TOPICS, Flow, Lane, Meter

from contracts.blocks import Departures, LaneBatch, ProfileBlock, Verdicts
from contracts.events import TICK_KEY, Kind
from contracts.identity import placing_id
from contracts.model_blocks import BoundaryModel, BoundaryModels, LinearModels, ModelReport, Ranking, ScoredBlock
from contracts.outputs import HashBlock, TableBlock
from contracts.settings import Settings
from contracts.stored import FACT_TABLES
from contracts.times import DAY, HOUR, SECOND
from contracts.topics import TOPIC_OF_KIND
from sinks.coalesce import Newest
from sinks.quick_inserts import QuickInserts
from sinks.redis import FEW_HASHES
from sinks.resp import commands_of
from streams.profiles.features import FEATURES
from streams.publish.hashes import hash_blocks
from streams.publish.tables import table_blocks
from streams.read.places import place_of
from streams.state.frames import encode

CUSTOMERS: Final = 3_000
HISTORY: Final = 30_000
"""Events before the first that is measured, so that the tables and the windows of ids are filled."""
PACES: Final = {"hot": 1_000, "cold": 300, "4 a second": 60}
"""So many events at each pace."""
EMPTYING_BYTES: Final = 48 << 20
FACTS: Final = frozenset(FACT_TABLES.values())
PAUSE_SECONDS: Final = 0.25
START: Final = datetime(2024, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Record:
    """A message as decoding sees it."""

    name: str
    body: bytes
    its_key: bytes
    number: int
    at: int

    def value(self) -> bytes:
        return self.body

    def key(self) -> bytes:
        return self.its_key

    def topic(self) -> str:
        return self.name

    def offset(self) -> int:
        return self.number

    def timestamp(self) -> tuple[int, int]:
        return 1, self.at

    def headers(self) -> None:
        return None


class _Bytes:
    """Takes what the machines give out, and makes the bytes that the stores would get. ``meter`` measures."""

    def __init__(self, settings: Settings, meter: Meter):
        self._meter, self._currency, self._interval = meter, settings.base_currency, settings.sweep_hours * HOUR
        self._outcomes = [one.name for one in settings.outcomes]
        self._expires = settings.visitor_days * DAY // SECOND
        self._newest = Newest()
        no_client: Any = None
        self._inserts = QuickInserts(no_client, "http://127.0.0.1", "crm")

    def take(
        self, lanes: Sequence[LaneBatch], made: Sequence[Any], learned: Sequence[Any], scored: Sequence[Any]
    ) -> None:
        """Render hashes and rows."""
        for one in chain(made, scored):
            if isinstance(one, Departures | ScoredBlock):
                output = tuple(hash_blocks(one, self._outcomes, self._currency, self._expires))
                if not output:
                    continue
                count = len(output[0].ids)
                reduced = self._meter.run("coalesce", "id", count, partial(self._newest.reduce, [output]))
                for block in chain.from_iterable(reduced):
                    kind = f"{block.prefix.split(':')[1]} hash"
                    self._meter.run(kind, "hash", count, partial(self._commands, block))
        stored = (ScoredBlock, ProfileBlock, Departures, Verdicts, ModelReport)
        rows = [one for one in chain(made, learned, scored) if isinstance(one, stored)]
        for one in chain((each for lane in lanes for each in lane.facts), rows):
            for block in table_blocks(one, self._interval, self._currency):
                if len(block):
                    kind = "facts" if block.table in FACTS else block.table
                    self._meter.run(f"row of {kind}", "row", len(block), partial(self._insert, block))

    def _insert(self, block: TableBlock) -> bytes:
        """As the writer of ClickHouse makes it for a server on this machine."""
        return b"".join(self._inserts.body(block.table, block.render([])))

    @staticmethod
    def _commands(block: HashBlock) -> bytes:
        """As the writer of Redis makes them."""
        commands = commands_of(block.texts()) if len(block.ids) < FEW_HASHES else block.commands()
        return b"".join(commands.pieces)


class OneByOne:
    """The dataflow's machines, after a history, to which events come one by one."""

    def __init__(self) -> None:
        self._settings, self._number = Settings(), 0
        self.meter = Meter()
        written: Any = _Bytes(self._settings, self.meter)
        self._flow = Flow(self._settings, self.meter, written)
        partitions = range(self._settings.partitions)
        self._lanes = [Lane(number, self.meter, self._settings, fresh=True) for number in partitions]
        self._draw = np.random.default_rng(1)
        self._now = START
        self._tick()
        self._take([self._event() for _ in range(HISTORY)])
        self._now += timedelta(days=1)
        self._tick()
        model = _model(self._settings, self._draw)
        for (step, bucket), machine in self._flow.machines.items():
            if step == "Score.take":
                machine.take([BoundaryModels(int(bucket), [], model, _rankings(self._settings))])
        for _ in range(300):
            self.one()
        self.meter.steps.clear()

    def one(self) -> None:
        """Take one event."""
        self._now += timedelta(seconds=2)
        self._take([self._event()])

    def _take(self, records: Sequence[tuple[int, _Record]]) -> None:
        by_lane: dict[int, list[_Record]] = {}
        for lane, record in records:
            by_lane.setdefault(lane, []).append(record)
        self._flow.take([self._lanes[lane].batch(some) for lane, some in by_lane.items()])
        for key in self._flow.awake:
            step, machine = key[0].removesuffix(".take"), self._flow.machines[key]
            self.meter.run(f"snapshot of {step}", "snapshot", 1, partial(_saved, machine))

    def _tick(self) -> None:
        for name in TOPICS:
            for lane in range(self._settings.partitions):
                self._take([(lane, self._record(name, TICK_KEY, {"occurred_at": self._now, "source": "benchmark"}))])

    def _event(self) -> tuple[int, _Record]:
        """A visit of a visitor (3 of 8) or of a customer (3 of 8), or an order or a ticket of a customer."""
        kind, number = int(self._draw.integers(8)), int(self._draw.integers(CUSTOMERS))
        customer, device = f"c-{number:06}", f"d-{number:06}"
        page = {"session_id": f"s-{number}", "url": "https://shop.example/p/1", "product_id": "p-1"}
        if kind < 3:
            return self._placed("web", "Product Viewed", page, None, f"v-{number:06}")
        if kind < 6:
            return self._placed("web", "Page Viewed", page, customer, device)
        if kind == 6:
            order = {"order_id": f"o-{self._number}", "total": 49.9, "currency": "EUR", "items": 2}
            return self._placed("transaction", "Order Completed", order, customer, None)
        return self._placed("service", "Ticket Opened", {"ticket_id": f"t-{self._number}"}, customer, None)

    def _placed(
        self, kind: Kind, name: str, properties: Mapping[str, Any], customer: str | None, device: str | None
    ) -> tuple[int, _Record]:
        key = placing_id(kind, customer, device, None)
        body = {"event_id": f"e-{self._number}", "kind": kind, "name": name, "customer_id": customer,
                "anonymous_id": device, "occurred_at": self._now, "received_at": self._now, "source": "benchmark",
                "properties": properties}  # fmt: skip
        return place_of(str(key), self._settings.partitions), self._record(TOPIC_OF_KIND[kind].name, key, body)

    def _record(self, topic: str, key: str | bytes, body: Mapping[str, Any]) -> _Record:
        self._number += 1
        its_key = key if isinstance(key, bytes) else str(key).encode()
        data = orjson.dumps(body, option=orjson.OPT_UTC_Z)
        return _Record(topic, data, its_key, self._number, int(self._now.timestamp() * 1e3))


def _saved(machine: Any) -> bytearray | None:
    """What the store of a bucket would write for the snapshot of an epoch."""
    changes = {name: columns for name, part in machine.parts().items() if (columns := part.changes())}
    return encode(changes) if changes else None


def _model(settings: Settings, draw: np.random.Generator) -> BoundaryModel:
    """Models that give reasons and places, as trained ones do."""
    width = len(FEATURES)
    outcomes = {
        one.name: LinearModels(
            np.abs(draw.normal(1, 1, (2, width))), draw.normal(0, 0.3, (2, width)), np.array([-1.0, -2.0, -3.0]),
            np.sort(draw.random(100)),
        )
        for one in settings.outcomes
    }  # fmt: skip
    return BoundaryModel(2**30, "benchmark@1", outcomes)


def _rankings(settings: Settings) -> dict[str, Ranking]:
    values = np.linspace(0.01, 0.99, 200)
    return {one.name: Ranking(values, np.linspace(0, 1, 201)) for one in settings.outcomes}


def measure(paces: Mapping[str, int] = PACES) -> list[dict[str, Any]]:
    """Measure events at each pace: milliseconds of each step per event, and of all."""
    flow, emptying = OneByOne(), np.zeros(EMPTYING_BYTES, np.uint8)
    between: dict[str, Callable[[], object]] = {
        "hot": lambda: None,
        "cold": lambda: emptying.__iadd__(1),
        "4 a second": lambda: time.sleep(PAUSE_SECONDS),
    }
    results = []
    for pace, count in paces.items():
        flow.meter.steps.clear()
        for _ in range(count):
            between[pace]()
            flow.one()
        steps = {name: round(step.seconds / count * 1e3, 4) for name, step in flow.meter.steps.items()}
        results.append({"pace": pace, "events": count, "milliseconds": round(sum(steps.values()), 3), "steps": steps})
    return results


if __name__ == "__main__":
    print(json.dumps(measure()))

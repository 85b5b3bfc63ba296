"""What a demo shows at a moment, and the reader that collects it from stores and workers. Reads only."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors.kafka.publisher import Summary
from connectors.simulator.live import LiveProgress
from contracts.settings import Settings
from contracts.stored import top_key
from crmstream.commands.shared import as_time
from crmstream.commands.top import read_top
from crmstream.observe.metrics import Buckets, WorkerMetrics, observations, quantile, read_metrics, since
from crmstream.quality import Quality, read_quality
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client, redis_client
from sinks.queries import query

SPEED_SECONDS: Final = 5.0
ALL_TIMES: Final = 2**32 - 1
"""The last moment that a ClickHouse DateTime knows, in Unix seconds."""


@dataclass(frozen=True)
class HistoryView:
    """How far the history is: days of it, and what came of it."""

    days: int
    published_days: float
    published: Summary
    swept_days: float
    metrics: WorkerMetrics
    seconds: float


@dataclass(frozen=True)
class LiveView:
    """The live part. Latencies are in seconds, from a record's entry into Kafka to its score in Redis."""

    seconds: float = 0.0
    events: int = 0
    simulated_until: datetime | None = None
    events_per_second: float = 0.0
    latency: Buckets = field(default_factory=dict)
    live_scores: int = 0
    customers: int = 0
    dead_letters: int = 0
    quality: Sequence[Quality] = ()
    top: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def p50(self) -> float | None:
        """Half of the scored blocks were faster."""
        return quantile(self.latency, 0.50)

    @property
    def p99(self) -> float | None:
        """One scored block in a hundred was slower."""
        return quantile(self.latency, 0.99)

    @property
    def scored_blocks(self) -> int:
        """How many live blocks the latencies come from."""
        return observations(self.latency)


class Reader:
    """Asks stores and workers of one stack. Not for use by several threads at once."""

    def __init__(self, endpoints: Endpoints, settings: Settings, top: int):
        self._urls = endpoints.worker_metrics
        self._outcomes = [outcome.name for outcome in settings.outcomes]
        self._redis = redis_client(endpoints.redis_url)
        self._clickhouse = clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)
        self._top = top
        self._metrics = WorkerMetrics()
        self._before = WorkerMetrics()
        self._speeds: deque[tuple[float, int]] = deque()

    def metrics(self) -> WorkerMetrics:
        """The workers' figures; the last known ones while a worker does not answer."""
        self._metrics = read_metrics(self._urls) or self._metrics
        return self._metrics

    def begin_live(self) -> None:
        """Measure latencies from now on."""
        self._before = self.metrics()

    def live(self, progress: LiveProgress | None) -> LiveView:
        """Read everything for the live view."""
        metrics = self.metrics()
        customers, _, dead_letters, _ = self._clickhouse.query(query("status_counts")).result_rows[0]
        return LiveView(
            seconds=progress.seconds if progress else 0.0,
            events=progress.events if progress else 0,
            simulated_until=as_time(progress.now_us) if progress else None,
            events_per_second=self._speed(metrics.events),
            latency=since(metrics.latency, self._before.latency),
            live_scores=max(metrics.live_scores - self._before.live_scores, 0),
            customers=int(customers),
            dead_letters=int(dead_letters),
            quality=read_quality(self._clickhouse, ALL_TIMES),
            top={outcome: read_top(self._redis, outcome, self._top) for outcome in self._outcomes},
        )

    def ranked_customers(self) -> dict[str, int]:
        """How many customers are in the ranking of each outcome."""
        return {outcome: int(self._redis.zcard(top_key(outcome))) for outcome in self._outcomes}

    def close(self) -> None:
        """Leave the stores."""
        self._redis.close()
        self._clickhouse.close()

    def _speed(self, events: int) -> float:
        """Events per second over the last seconds."""
        now, speeds = time.monotonic(), self._speeds
        speeds.append((now, events))
        while now - speeds[0][0] > SPEED_SECONDS:
            speeds.popleft()
        elapsed = now - speeds[0][0]
        return max(events - speeds[0][1], 0) / elapsed if elapsed else 0.0

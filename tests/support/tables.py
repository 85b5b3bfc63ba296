"""Everything that the dataflow has written, as text, for comparing runs bit for bit."""

from dataclasses import dataclass

from redis import Redis

from contracts.settings import Settings
from sinks.clients import clickhouse_client, redis_client

KEYS = {
    "web_events": "customer_id, visitor, event_id",
    "transactions": "customer_id, visitor, event_id",
    "service_events": "customer_id, visitor, event_id",
    "identity_events": "customer_id, visitor, event_id",
    "dead_letters": "topic, log_partition, log_offset",
    "customers": "customer_id",
    "identity_links": "identity, person",
    "customer_daily": "as_of, customer_id",
    "model_quality": "outcome, as_of",
}
"""The tables that are a function of the log, and their keys. ``score_changes`` is not one of them: how many scores
between two sweeps are made depends on pace. The last of each customer counts again, in ``newest_scores``."""
SHOWN_DIFFERENCES = 5


@dataclass(frozen=True)
class Written:
    """By table (or key pattern of Redis): its lines, ordered by key."""

    lines: dict[str, list[bytes]]

    def count(self, table: str) -> int:
        """Rows of a table."""
        return len(self.lines[table])


def read_written(settings: Settings) -> Written:
    """Read all tables and hashes of an installation whose servers are named in its settings."""
    assert settings.clickhouse_url is not None
    assert settings.redis_url is not None
    client = clickhouse_client(settings.clickhouse_url, settings.clickhouse_database)
    # Tab-separated floats have as many digits as it takes to tell them from all others.
    queries = {table: f"SELECT * FROM {table} FINAL ORDER BY {key}" for table, key in KEYS.items()}
    queries["newest_scores"] = "SELECT * FROM newest_scores ORDER BY customer_id"
    lines = {name: client.raw_query(query, fmt="TabSeparated").splitlines() for name, query in queries.items()}
    with redis_client(settings.redis_url) as redis:
        return Written(lines | _read_redis(redis))


def differences(expected: Written, found: Written) -> list[str]:
    """Say in which tables two runs differ, with the first rows of each; empty when they are equal."""
    told = []
    for name, lines in expected.lines.items():
        others = found.lines[name]
        if lines != others:
            told.append(f"{name}: {len(lines)} rows expected, {len(others)} found")
            told += [f"  - {line!r}" for line in _first_of(lines, others)]
            told += [f"  + {line!r}" for line in _first_of(others, lines)]
    return told


def _first_of(lines: list[bytes], others: list[bytes]) -> list[bytes]:
    known = set(others)
    return [line for line in lines if line not in known][:SHOWN_DIFFERENCES]


def _read_redis(redis: Redis) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {}
    for pattern in ("crm:score:*", "crm:profile:*"):
        keys = sorted(redis.scan_iter(pattern, count=5_000))
        pipeline = redis.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key)
        hashes = pipeline.execute()
        found[pattern] = [repr((key, sorted(each.items()))).encode() for key, each in zip(keys, hashes, strict=True)]
    for key in sorted(redis.scan_iter("crm:top:*")):
        found[key] = [repr(pair).encode() for pair in sorted(redis.zrange(key, 0, -1, withscores=True))]
    return found

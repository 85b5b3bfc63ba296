"""Everything that the dataflow has written, as text, for comparing runs bit for bit."""

from dataclasses import dataclass, field

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
    """By table (or key pattern of Redis): its lines, ordered by key. ``scores`` are the score hashes of customers."""

    lines: dict[str, list[bytes]]
    scores: dict[str, dict[str, str]] = field(default_factory=dict)

    def count(self, table: str) -> int:
        """Rows of a table."""
        return len(self.scores) if table == "crm:score:*" else len(self.lines[table])


def without(written: Written, text: bytes) -> Written:
    """What does not name something."""
    lines = {table: [line for line in those if text not in line] for table, those in written.lines.items()}
    return Written(lines, {key: each for key, each in written.scores.items() if text not in key.encode()})


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
        profiles = [repr((key, sorted(each.items()))).encode() for key, each in _hashes(redis, "crm:profile:*").items()]
        ranked = {
            key: [member.encode() for member in sorted(redis.zrange(key, 0, -1))]
            for key in sorted(redis.scan_iter("crm:top:*"))
        }
        return Written(lines | ranked | {"crm:profile:*": profiles}, _hashes(redis, "crm:score:*"))


def differences(expected: Written, found: Written) -> list[str]:
    """Say in which tables two runs differ, with the first rows of each; empty when they are equal.

    Score hashes may differ by what is too little to be published (docs/adr/0004), and visitors' by the pace: they are
    scored by the newest model of the moment.
    """
    shown = []
    for name, lines in expected.lines.items():
        others = found.lines[name]
        if lines != others:
            shown.append(f"{name}: {len(lines)} rows expected, {len(others)} found")
            shown += [f"  - {line!r}" for line in _first_of(lines, others)]
            shown += [f"  + {line!r}" for line in _first_of(others, lines)]
    return shown + _score_differences(expected.scores, found.scores)


def _score_differences(expected: dict[str, dict[str, str]], found: dict[str, dict[str, str]]) -> list[str]:
    if expected.keys() != found.keys():
        return [f"crm:score:*: only in one of them: {sorted(expected.keys() ^ found.keys())[:SHOWN_DIFFERENCES]}"]
    apart = [key for key, score in expected.items() if not _alike(key, score, found[key])]
    return [f"{key}: {expected[key]} expected, {found[key]} found" for key in apart[:SHOWN_DIFFERENCES]]


def _alike(key: str, one: dict[str, str], other: dict[str, str]) -> bool:
    if one.get("merged_into") != other.get("merged_into"):
        return False
    if "{anonymous:" in key or "{email:" in key:
        return one.keys() == other.keys()
    same = all(one.get(name) == other.get(name) for name in ("segment", "lifecycle"))
    return same and all(_close(one[name], other[name]) for name in ("churn", "opportunity") if name in one)


def _close(one: str, other: str) -> bool:
    """Whether neither of two probabilities would have been published instead of the other (each twice the bound)."""
    low, high = sorted((float(one), float(other)))
    return high - low <= 2 * (0.001 + 0.05 * high)


def _hashes(redis: Redis, pattern: str) -> dict[str, dict[str, str]]:
    keys = sorted(redis.scan_iter(pattern, count=5_000))
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return dict(zip(keys, pipeline.execute(), strict=True))


def _first_of(lines: list[bytes], others: list[bytes]) -> list[bytes]:
    known = set(others)
    return [line for line in lines if line not in known][:SHOWN_DIFFERENCES]

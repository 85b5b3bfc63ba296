"""The part of the step table that ends in the stores: blocks become hashes and rows, and are written."""

from collections.abc import Callable, Sequence
from typing import Any

from contracts.blocks import Departures, LaneBatch
from contracts.settings import Settings
from sinks.clickhouse import ClickHouseWriter
from sinks.redis import RedisWriter
from streams.publish.hashes import hash_blocks

DAY_SECONDS = 86_400
Run = Callable[[str, str, int, Callable[[], Any]], Any]


class Publishing:
    """Renders and writes what the machines give out; ``run`` measures."""

    def __init__(self, settings: Settings, run: Run):
        assert settings.redis_url is not None
        assert settings.clickhouse_url is not None
        self._run = run
        outcomes, expires = [one.name for one in settings.outcomes], settings.visitor_days * DAY_SECONDS
        self._hashing = (outcomes, settings.base_currency, expires)
        self._redis = RedisWriter.to(settings.redis_url)
        self._clickhouse = ClickHouseWriter.to(settings.clickhouse_url, settings.clickhouse_database)

    def take(
        self, lanes: Sequence[LaneBatch], made: Sequence[Any], learned: Sequence[Any], scored: Sequence[Any]
    ) -> None:
        """Publish one activation."""
        published = [*scored, *(one for one in made if isinstance(one, Departures))]
        blocks = [block for one in published for block in hash_blocks(one, *self._hashing)]
        hashes = sum(len(block.ids) for block in blocks)
        self._run("render to Redis", "hash", hashes, lambda: [block.commands() for block in blocks])
        self._run("write to Redis, rendering again", "hash", hashes, lambda: self._send(blocks))

    def _send(self, blocks: Sequence[Any]) -> None:
        self._redis.write(blocks)
        self._redis.flush()

    def close(self) -> None:
        """Leave the stores."""
        self._redis.close()
        self._clickhouse.close()

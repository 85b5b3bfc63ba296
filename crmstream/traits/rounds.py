"""The rounds in which traits follow ClickHouse: all people once, then those that changed since.

Up to when changes have been published stands in Redis itself: a Redis that has lost its data gets everybody anew. A
row is visible some time after the time it carries, so each change is read twice, the second time a minute later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import orjson

from contracts.stored import PUBLISHED_KEY
from contracts.traits import Trait
from crmstream.traits.people import PeoplesTraits, Stores
from sinks.queries import query

SETTLED: Final = timedelta(seconds=60)
"""After so long a row that was stored is visible."""
KEPT: Final = timedelta(days=6)
"""Changes are kept for longer than this; after it everybody is published anew."""
MOST_IDS: Final = 20_000
"""When more ids have changed, everybody is published: for each of many ids ClickHouse reads a block of rows."""


@dataclass(frozen=True)
class Published:
    """Up to when changes have been published, and the digest of the declared traits with which."""

    until: datetime
    declared: str

    @classmethod
    def of(cls, stores: Stores) -> "Published | None":
        """Read it from Redis; None if it is not there, or not of this form."""
        found: Any = stores.redis.get(PUBLISHED_KEY)
        try:
            told = orjson.loads(found or b"")
            return cls(datetime.fromisoformat(told["until"]).astimezone(UTC), told["declared"])
        except (ValueError, KeyError, TypeError):
            return None

    def note(self, stores: Stores) -> None:
        """Write it to Redis."""
        stores.redis.set(PUBLISHED_KEY, orjson.dumps({"until": self.until.isoformat(), "declared": self.declared}))


class TraitRounds:
    """Publishes what changed since the round before."""

    def __init__(self, people: PeoplesTraits, declared: Mapping[str, Trait]):
        told = orjson.dumps({name: trait.model_dump() for name, trait in declared.items()}, option=orjson.OPT_SORT_KEYS)
        self._people, self._declared = people, blake2b(told, digest_size=8).hexdigest()
        self._resumed = False

    def once(self, stores: Stores) -> None:
        """Publish what changed. Raises an error of the client if a store does not answer; the next round repeats it."""
        now = stores.clickhouse.query("SELECT now64(3, 'UTC')").first_row[0].replace(tzinfo=UTC)
        before = Published.of(stores)
        known = before is not None and before.declared == self._declared and now - KEPT < before.until <= now
        ids = self._changed(stores, before.until, now) if before is not None and known else None
        if ids is None or len(ids) > MOST_IDS:
            self._people.publish_all(stores)
        else:
            self._people.publish(stores, ids)
        Published(now, self._declared).note(stores)
        self._resumed = True

    def _changed(self, stores: Stores, until: datetime, now: datetime) -> list[str]:
        """Return the ids that changed since ``until``, and again those from a minute before it on.

        Of more than :data:`MOST_IDS` only some.
        """
        since = until if self._resumed else until - SETTLED
        times = {"since": since, "until": now, "since_again": until - SETTLED, "until_again": now - SETTLED}
        asked = {**{name: _time(at) for name, at in times.items()}, "most": MOST_IDS + 1}
        return [str(row[0]) for row in stores.clickhouse.query(query("changed_traits"), parameters=asked).result_rows]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"

"""The rounds in which traits follow ClickHouse: all people once, then those that changed since.

Up to when changes have been published stands in Redis itself: a Redis that has lost its data gets everybody anew. A
row is visible some time after the time it carries, so each change is read twice, the second time a minute later.
"""

from collections.abc import Callable, Mapping, Sequence
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
MOST_IDS: Final = 50_000
"""Ids that are read at once."""
Page = Callable[[str], Sequence[str]]


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
            return cls(datetime.fromisoformat(told["until"]), told["declared"])
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
        if before is None or before.declared != self._declared or not now - KEPT < before.until <= now:
            self._publish(stores, lambda after: self._everybody(stores, after))
        else:
            first = before.until if self._resumed else before.until - SETTLED
            self._publish(stores, lambda after: self._changed(stores, after, first, before.until, now))
        Published(now, self._declared).note(stores)
        self._resumed = True

    def _publish(self, stores: Stores, page: Page) -> None:
        after = ""
        while ids := page(after):
            self._people.publish(stores, ids)
            after = ids[-1]

    @staticmethod
    def _everybody(stores: Stores, after: str) -> list[str]:
        return _ids(stores, "people_with_traits", {"after": after})

    @staticmethod
    def _changed(stores: Stores, after: str, since: datetime, until: datetime, now: datetime) -> list[str]:
        """Return ids that changed after ``since``, and again those from a minute before ``until`` on."""
        times = {"since": since, "until": now, "since_again": until - SETTLED, "until_again": now - SETTLED}
        return _ids(stores, "changed_traits", {"after": after, **{name: _time(at) for name, at in times.items()}})


def _ids(stores: Stores, name: str, asked: Mapping[str, object]) -> list[str]:
    rows = stores.clickhouse.query(query(name), parameters={**asked, "most": MOST_IDS}).result_rows
    return [str(row[0]) for row in rows]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"

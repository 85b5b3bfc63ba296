"""The rounds in which traits follow ClickHouse: all people once, then those that changed since.

Up to when changes have been published stands in Redis itself: a Redis that has lost its data gets everybody anew. A
row is visible some time after the time it carries, so each change is read twice, the second time a minute later.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Final

import orjson

from contracts.stored import PUBLISHED_KEY
from crmstream.stores import Stores
from crmstream.traits.people import PART, PeoplesTraits
from sinks.queries import query

SETTLED: Final = timedelta(seconds=60)
"""After so long a row that was stored is visible."""
BUSY: Final = timedelta(seconds=5)
BUSY_IDS: Final = 1_000
"""When so many ids changed within :data:`BUSY`, as in a catch-up, changes wait: the stores have enough to do."""
MOST_WAIT: Final = timedelta(seconds=60)
"""But not longer than this."""
KEPT: Final = timedelta(days=6)
"""Changes are kept for longer than this; after it everybody is published anew."""
MOST_IDS: Final = 20_000
"""So many ids that changed are published for themselves, and as many as :data:`SHARE` of all people."""
SHARE: Final = 0.05
"""When more changed, everybody is published: for each of many ids ClickHouse reads a block of rows."""


@dataclass(frozen=True)
class Published:
    """Up to when changes have been published, and the digest of the form in which.

    While everybody is published, ``part`` of ``parts`` is the next one to do.
    """

    until: datetime
    form: str
    part: int = 0
    parts: int = 0

    @classmethod
    def of(cls, stores: Stores) -> "Published | None":
        """Read it from Redis; None if it is not there, or not of this form."""
        found: Any = stores.redis.get(PUBLISHED_KEY)
        try:
            told = orjson.loads(found or b"")
            until = datetime.fromisoformat(told["until"]).astimezone(UTC)
            return cls(until, str(told["form"]), int(told["part"]), int(told["parts"]))
        except (ValueError, KeyError, TypeError):
            return None

    def note(self, stores: Stores) -> None:
        """Write it to Redis."""
        told = {"until": self.until.isoformat(), "form": self.form, "part": self.part, "parts": self.parts}
        stores.redis.set(PUBLISHED_KEY, orjson.dumps(told))


class TraitRounds:
    """Publishes what changed since the round before."""

    def __init__(self, people: PeoplesTraits):
        self._people = people
        self._form = blake2b(people.form.encode(), digest_size=8).hexdigest()
        self._resumed = False

    def once(self, stores: Stores) -> None:
        """Publish what changed. Raises an error of the client if a store does not answer; the next round goes on."""
        now = stores.clickhouse.query("SELECT now64(6, 'UTC')").first_row[0].replace(tzinfo=UTC)
        before = Published.of(stores)
        if before is None or before.form != self._form or not now - KEPT < before.until <= now:
            before = self._begin(stores, now)
        elif not before.parts:
            if now - before.until < MOST_WAIT and self._is_busy(stores, now):
                return
            ids = self._changed(stores, before.until, now)
            if ids is not None:
                self._people.publish(stores, ids)
                Published(now, self._form).note(stores)
                self._resumed = True
                return
            before = self._begin(stores, now)
        for part in range(before.part, before.parts):
            self._people.publish_part(stores, part, before.parts)
            Published(before.until, self._form, part + 1, before.parts).note(stores)
        Published(before.until, self._form).note(stores)

    def _begin(self, stores: Stores, now: datetime) -> Published:
        """Begin to publish everybody: what changes from now on is published after it."""
        begun = Published(now, self._form, 0, self._people.parts(stores))
        begun.note(stores)
        return begun

    @staticmethod
    def _is_busy(stores: Stores, now: datetime) -> bool:
        asked = {"since": _time(now - BUSY)}
        return int(stores.clickhouse.query(query("count_changed_traits"), parameters=asked).first_row[0]) > BUSY_IDS

    def _changed(self, stores: Stores, until: datetime, now: datetime) -> list[str] | None:
        """Return the ids that changed since ``until``, and again those from a minute before it on; None: too many."""
        since = until if self._resumed else until - SETTLED
        times = {"since": since, "until": now, "since_again": until - SETTLED, "until_again": now - SETTLED}
        asked = {name: _time(at) for name, at in times.items()}
        ids = self._ids(stores, asked, MOST_IDS)
        if len(ids) <= MOST_IDS:
            return ids
        most = int(SHARE * PART * self._people.parts(stores))
        ids = self._ids(stores, asked, most)
        return ids if len(ids) <= most else None

    @staticmethod
    def _ids(stores: Stores, times: dict[str, str], most: int) -> list[str]:
        answer = stores.clickhouse.query(query("changed_traits"), parameters={**times, "most": most + 1})
        return [str(row[0]) for row in answer.result_rows]


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"

"""The way of one request's messages: rate, door, Kafka.

Delivery: :meth:`Intake.take` returns only after Kafka holds every message of the request, those that were refused
included: they are on their way to the dead letters.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from connectors.collector.answers import rate_limited
from connectors.collector.auth import Sender
from connectors.collector.batch import Incoming, Item, read_item
from connectors.collector.delivery import Deliver
from connectors.collector.limits import RateLimits
from connectors.collector.messages import Arrival, draft_of
from connectors.collector.recent import Recent
from connectors.protocol import Record
from contracts.errors import StoreUnavailableError
from contracts.events import MAX_EVENT_BYTES
from contracts.metrics import COLLECTOR_EVENTS
from contracts.refused import REFUSED_KEY
from contracts.wire import RejectedError

_SLICE: Final = 25
"""So many messages are worked off before other requests have their turn."""
_MOST_KEPT: Final = 100_000
"""A message that cannot be read is kept up to here: Kafka takes no record over a megabyte, and as text it grows."""


class _Judged(NamedTuple):
    """A message that went through the door."""

    record: Record
    name: object
    item: Item


class Intake:
    """Takes requests in. ``clock`` gives seconds of a monotonic clock."""

    def __init__(self, deliver: Deliver, recent: Recent, clock: Callable[[], float] = time.monotonic):
        self._deliver = deliver
        self._recent = recent
        self._limits = RateLimits()
        self._clock = clock

    async def take(self, incoming: Incoming, sender: Sender, arrival: Arrival) -> None:
        """Take one request in.

        Raises :class:`AnswerError` (429) when the key sends too much, and
        :class:`contracts.errors.StoreUnavailableError` when Kafka does not hold all of it.
        """
        self._limit(sender, len(incoming.items))
        judged: list[_Judged] = []
        for number, item in enumerate(incoming.items, 1):
            judged.append(judge_item(item, incoming, sender, arrival))
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        try:
            await self._deliver([one.record for one in judged])
        except StoreUnavailableError:
            self._limits.give_back(sender.key_hash, len(incoming.items))
            raise
        self._note(judged, sender.source.name, arrival)

    def _limit(self, sender: Sender, events: int) -> None:
        wait = self._limits.wait(sender.key_hash, sender.source.events_per_second, events, self._clock())
        if wait:
            raise rate_limited(wait, "This key")

    def _note(self, judged: list[_Judged], source: str, arrival: Arrival) -> None:
        refused = sum(one.record.key == REFUSED_KEY for one in judged)
        for outcome, count in (("accepted", len(judged) - refused), ("refused", refused)):
            if count:
                COLLECTOR_EVENTS.labels(source, outcome).inc(count)
        for one in judged:
            # as it is stored, after the source's privacy rules
            self._recent.note(source, one.name, one.record, arrival.received_at, one.record.value or b"")


def judge_item(item: Item, incoming: Incoming, sender: Sender, arrival: Arrival) -> _Judged:
    """Let one message through the door, as an event or as a refusal."""
    original: Any = None
    name: object = None
    try:
        size = len(item.raw) + incoming.common_bytes  # before anything is copied into each of thousands
        if size > MAX_EVENT_BYTES:
            raise RejectedError("body", f"has {size:,} bytes; the limit is {MAX_EVENT_BYTES:,}")
        original, message = read_item(item, incoming)
        name = message.get("event") or message.get("type")
        draft = draft_of(message, sender.ids, item.fallback_id, arrival, sender.source.clock)
        name = draft["name"]
        return _Judged(sender.door.admit(draft, original), name, item)
    except RejectedError as why:
        kept = item.raw[:_MOST_KEPT].decode(errors="replace") if original is None else original
        return _Judged(sender.door.refuse(kept, why.field, why.problem), name, item)
    except RecursionError:
        kept = item.raw.decode(errors="replace")
        return _Judged(sender.door.refuse(kept, "body", "is nested too deeply"), name, item)

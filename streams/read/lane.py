"""The position of one lane: partition *p* of every input topic, read together.

All events of a device, and all orders of a customer, are in one lane. The lane's clock is the clock of its slowest
topic. The rules for choosing the next topic are here, without Kafka.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from contracts.errors import REBUILD, UnreadableStateError
from streams.read.breaker import Breaker
from streams.read.clock import TopicClock, lane_clock, lane_start
from streams.read.skew import FAR_AHEAD

SMALLEST_BATCH: Final = 50
FIRST_BATCH: Final = 500
MOST_BOUNDARIES: Final = 128
"""Maximum number of sweep boundaries per batch: a jump of the clock over years is passed on in parts, so that the
dataflow can take snapshots and answer in between."""
VERSION: Final = 1
"""The version of a stored position."""


@dataclass(frozen=True)
class LanePolicy:
    """Bounds of reading: event time in microseconds, sizes in records."""

    step: int
    epoch_allowance: int
    max_batch: int


@dataclass
class TopicPosition:
    """The position in one topic-partition. ``end`` is the end of the log when it was last reached."""

    offset: int = 0
    clock: TopicClock = field(default_factory=TopicClock)
    end: int | None = None
    batch: int = FIRST_BATCH
    breaker: Breaker | None = None

    @property
    def is_paused(self) -> bool:
        """Whether too many records were invalid, so that the topic is not read until it is resumed."""
        return self.breaker is not None and self.breaker.tripped_at is not None

    @property
    def at_end(self) -> bool:
        """Whether everything has been read, as far as is known."""
        return self.end == self.offset

    def resize(self, moved: int, read: int, policy: LanePolicy) -> None:
        """Read more at a time while batches are short in event time, less when one spans more than a step."""
        if moved > policy.step:
            smallest = min(SMALLEST_BATCH, policy.max_batch)
            self.batch = max(smallest, int(self.batch * max(0.25, policy.step / moved)))
        elif read >= self.batch and 2 * moved < policy.step:
            self.batch = min(policy.max_batch, self.batch * 2)


@dataclass
class LaneState:
    """The positions of a lane, by topic name, and the log that they belong to.

    ``slot`` is the slot last sent to the devices step: after a jump it is behind the slot of the lane's clock.
    ``ahead`` are the events read of slots that the slowest lane has not reached, by slot.
    """

    cluster_id: str
    topics: dict[str, TopicPosition]
    epoch_started_at: int | None = None
    slot: int | None = None
    ahead: dict[int, int] | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return the position as plain values, for the recovery store."""
        topics = {
            name: {
                "offset": each.offset, "first": each.clock.first, "now": each.clock.now, "end": each.end,
                "batch": each.batch, "breaker": None if each.breaker is None else each.breaker.to_plain(),
            }
            for name, each in self.topics.items()
        }  # fmt: skip
        return {
            "version": VERSION, "cluster_id": self.cluster_id, "topics": topics,
            "epoch_started_at": self.epoch_started_at, "slot": self.slot,
            "ahead": None if self.ahead is None else dict(self.ahead),
        }  # fmt: skip

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> "LaneState":
        """Return the position of plain values.

        Raises :class:`contracts.errors.UnreadableStateError` for another version.
        """
        if values["version"] != VERSION:
            raise UnreadableStateError(
                f"the stored position in the log is of version {values['version']}; this crmstream reads version "
                f"{VERSION}. Run the crmstream that wrote it, or {REBUILD}."
            )
        topics = {
            name: TopicPosition(
                each["offset"], TopicClock(each["first"], each["now"]), each["end"], each["batch"],
                None if each["breaker"] is None else Breaker.of_plain(each["breaker"]),
            )
            for name, each in values["topics"].items()
        }
        return cls(values["cluster_id"], topics, values["epoch_started_at"], values["slot"], values["ahead"])

    def copy(self) -> "LaneState":
        """Return a copy that reading on does not change."""
        topics = {name: replace(each, clock=replace(each.clock)) for name, each in self.topics.items()}
        return replace(self, topics=topics)

    def new_epoch(self) -> None:
        """Start the epoch's allowance of event time afresh."""
        self.epoch_started_at = self.clock

    def readable(self, policy: LanePolicy, horizon: int = FAR_AHEAD) -> list[str]:
        """Return the topics that may be read now, the one furthest behind first.

        A topic waits while it is a step ahead of a topic that has more to read, to bound memory, and while the lane has
        used up its epoch's allowance of event time, so that no lane runs far ahead of the others. The slowest lane of
        the flow sets the ``horizon`` (:mod:`streams.read.skew`). A topic that is paused is not read.
        """
        behind = [self._now(each) for each in self.topics.values() if not each.at_end and not each.is_paused]
        limit = min(min(behind, default=2**62) + policy.step, horizon)
        if self.epoch_started_at is not None:
            limit = min(limit, self.epoch_started_at + policy.epoch_allowance)
        ready = [
            (self._now(position), name) for name, position in self.topics.items()
            if self._now(position) <= limit and not position.is_paused
        ]  # fmt: skip
        return [name for _, name in sorted(ready)]

    def is_held(self, horizon: int) -> bool:
        """Whether a topic with more to read waits for the slowest lane."""
        unread = [each for each in self.topics.values() if not each.at_end and not each.is_paused]
        return any(self._now(each) > horizon for each in unread)

    def advance(self, interval: int) -> int | None:
        """Move ``slot`` towards the clock, by at most :data:`MOST_BOUNDARIES`; None before the clock starts."""
        clock, start = self.clock, self.start(interval)
        if clock is None or start is None:
            return None
        since = start if self.slot is None else self.slot
        self.slot = min(clock // interval, since + MOST_BOUNDARIES)
        return self.slot

    def is_behind(self, interval: int) -> bool:
        """Whether ``slot`` has not yet reached the clock's after a jump."""
        clock = self.clock
        return clock is not None and self.slot != clock // interval

    @property
    def clock(self) -> int | None:
        """The event clock of the lane; None before it starts."""
        return lane_clock([position.clock for position in self.topics.values()])

    def start(self, interval: int) -> int | None:
        """The first slot of the lane; None before it starts."""
        return lane_start([position.clock for position in self.topics.values()], interval)

    @property
    def at_end(self) -> bool:
        """Whether everything that the log holds has been read."""
        return all(position.at_end for position in self.topics.values())

    @staticmethod
    def _now(position: TopicPosition) -> int:
        return -(2**62) if position.clock.now is None else position.clock.now

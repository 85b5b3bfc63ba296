"""The breaker for dead letters: pauses a topic of a lane when too many of its newest records are invalid.

Without it, a sender that breaks every record is only seen in counts: all its records are diverted, and scores go on
without them. With it, the topic is read up to the record that is one too many, and no further until somebody says so.
That record and all after it stay in the log, so nothing is diverted that was not accepted, and nothing is lost.

Which record that is follows from the log alone. The state is a part of the lane's position, so it survives restarts.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class BreakerPolicy:
    """More than ``most`` invalid ones among the newest ``window`` records of a topic-partition are too many."""

    window: int
    most: int

    @classmethod
    def of(cls, share: float | None, records: int, partitions: int) -> "BreakerPolicy | None":
        """Return the policy of one of ``partitions`` lanes, which sees its part of the topic's newest ``records``.

        ``share`` (0 to 1) is the largest share that may be invalid; None: there is no breaker.
        """
        if share is None:
            return None
        window = max(1, -(-records // partitions))
        return cls(window, int(share * window + 1e-9))


class Records(NamedTuple):
    """What was read of a topic: the offsets of its records, ascending, and of those that are invalid. Without ticks."""

    offsets: Sequence[int]
    invalid: Sequence[int]


@dataclass
class Breaker:
    """The breaker of one topic-partition.

    ``bad`` are the ordinals of invalid records among the newest, of ``seen`` records in all. ``accepted``: records
    before this offset are not judged, because somebody has accepted them. ``tripped_at`` is the offset of the record
    before which the topic is paused, None while it is read.
    """

    seen: int = 0
    bad: deque[int] = field(default_factory=deque)
    accepted: int = 0
    tripped_at: int | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain values, for the recovery store."""
        return {"seen": self.seen, "bad": list(self.bad), "accepted": self.accepted, "tripped_at": self.tripped_at}

    @classmethod
    def of_plain(cls, values: Mapping[str, Any]) -> "Breaker":
        """Return the state of plain values."""
        return cls(values["seen"], deque(values["bad"]), values["accepted"], values["tripped_at"])

    def pass_valid(self, records: int, policy: BreakerPolicy) -> None:
        """Note records that are all valid."""
        self.seen += records
        while self.bad and self.bad[0] <= self.seen - policy.window:
            self.bad.popleft()

    def judge(self, read: Records, policy: BreakerPolicy) -> int | None:
        """Note records up to the one that is too many, if there is one, and return its offset: it is not to be read."""
        invalid = set(read.invalid)
        for offset in read.offsets:
            if offset < self.accepted:
                continue
            if offset not in invalid:
                self.seen += 1
                continue
            self.pass_valid(1, policy)
            if len(self.bad) >= policy.most:
                self.seen -= 1
                self.tripped_at = offset
                return offset
            self.bad.append(self.seen)
        return None

    def accept(self, before: int) -> None:
        """Go on: accept all records before an offset, and judge those from there on afresh."""
        self.accepted, self.tripped_at = before, None
        self.seen, self.bad = 0, deque()

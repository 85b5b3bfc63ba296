"""How the lanes of a process are read: one object for all of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from streams.read.breaker import BreakerPolicy
from streams.read.held import Rows
from streams.read.lane import LanePolicy
from streams.read.pausing import none_accepted
from streams.read.skew import LaneClocks
from streams.read.validation import DecodePolicy
from streams.read.warehouse import PastLog
from streams.state.owner import OWNER


@dataclass(frozen=True)
class SourceConfig:
    """How to read: brokers, partitions and policies. ``stopping`` is asked before every batch.

    ``on_money`` is called with each currency read while the base currency is undecided. ``on_epoch_end`` is called when
    all lanes of the process have read all of their epoch, before steps take its snapshot: with whether one is near the
    end of its log. ``may_wait`` says whether a source may wait for messages: no step has work of its own, and nothing
    can come from another process meanwhile. ``epoch_seconds`` is the length of an epoch, if several workers end it
    together (:mod:`streams.read.epoch_rest`). ``clocks`` hold lanes that are ahead. While ``is_held()``, steps of this
    process work off what they have, and nothing more is given to them.
    ``breaker`` (None: there is none) pauses topics whose records are invalid; ``accepted`` returns the offset before
    which somebody has accepted the records of a topic's partition in a Kafka cluster.
    ``past`` has the records that Kafka no longer has, while profiles are rebuilt from the warehouse.
    ``rows`` returns the rows that wait for ClickHouse: a position is published when they are stored.
    ``before_commit`` is called before a position is committed; it raises when another run has taken over.
    """

    bootstrap_servers: str
    decoding: DecodePolicy
    reading: LanePolicy
    live_backlog_events: int
    stopping: Callable[[], bool]
    on_money: Callable[[str], None] = lambda _: None
    on_epoch_end: Callable[[bool], None] = lambda _: None
    may_wait: Callable[[], bool] = lambda: False
    epoch_seconds: float = inf
    is_held: Callable[[], bool] = lambda: False
    clocks: LaneClocks = field(default_factory=LaneClocks)
    breaker: BreakerPolicy | None = None
    accepted: Callable[[str, str, int], int] = none_accepted
    past: PastLog | None = None
    rows: Callable[[], Rows | None] = lambda: None
    before_commit: Callable[[], None] = OWNER.check

"""Whether the event clock follows time, and if not why it stands. Reads only.

:func:`explain` is for ``status``. :func:`read_as_of` is cheap (one page of each worker) and for displays of scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from confluent_kafka import KafkaException

from connectors.kafka.publisher import EPOCH
from connectors.kafka.tail import TailReader
from connectors.kafka.tick_plan import DAY_US, STRIDE_US, PartitionState, TimePolicy, Timing, judge_time
from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import Offsets
from crmstream.observe.lanes import Pages

MANY_RECORDS: Final = 2_000
"""So many waiting records, or more, are a catch-up."""
MANY_INVALID: Final = 4
"""So many invalid records in a row, or more, are told."""
NAMED: Final = 3
"""So many partitions of them are named."""
HEARTBEAT_SECONDS: Final = 30.0
"""Clocks that stand for so long though time should move them have no heartbeat."""
_INPUTS: Final = frozenset(topic.name for topic in INPUT_TOPICS)
_SECOND_US: Final = 1_000_000

Reason = Literal["empty", "live", "publishing", "settling", "old", "history", "catching-up", "no-heartbeat"]
"""As in :data:`connectors.kafka.tick_plan.Reason`, and: records wait, or the heartbeat writes no ticks."""


@dataclass(frozen=True)
class TimeView:
    """Why the event clock moves or stands: a word for programs, a sentence for people.

    ``history_until`` is the newest time in the log while that is a history, ``moves_at`` when time moves on to now.
    """

    reason: Reason
    why: str
    history_until: datetime | None = None
    moves_at: datetime | None = None


@dataclass(frozen=True)
class AsOf:
    """The time that scores are as of, by the slowest worker (None: no worker says), and whether workers catch up."""

    event_clock: datetime | None
    catching_up: bool

    def __str__(self) -> str:
        """For a heading; empty where nothing is known."""
        if self.event_clock is None:
            return ""
        return f"as of {self.event_clock:%Y-%m-%d %H:%M} UTC{', catching up' if self.catching_up else ''}"


def read_as_of(pages: Pages) -> AsOf:
    """Read the workers' metrics (:func:`crmstream.observe.workers.read_pages`); a silent worker makes it unknown."""
    samples = [sample for page in pages if page is not None for sample in page]
    clocks = [sample.value for sample in samples if sample.name == "crm_event_clock_seconds"]
    behind = any(sample.value for sample in samples if sample.name == "crm_catching_up")
    known = bool(clocks) and None not in pages
    return AsOf(datetime.fromtimestamp(min(clocks), UTC) if known else None, behind)


def read_time(
    bootstrap_servers: str, offsets: Offsets, policy: TimePolicy, lag: int | None, now: datetime
) -> TimeView | None:
    """Read the ends of the log and explain them; None while Kafka does not answer."""
    ends = {place: end for place, end in offsets.end.items() if place[0] in _INPUTS}
    client = {"bootstrap.servers": bootstrap_servers, "log_level": 0, "error_cb": lambda _error: None}
    reader = TailReader(client, partitions=1 + max((number for _, number in ends), default=0))
    try:
        states = reader.read(ends)
    except (KafkaException, TimeoutError):
        return None
    finally:
        reader.close()
    view = explain(judge_time(states, (now - EPOCH) // timedelta(microseconds=1), policy), policy, lag, now)
    return replace(view, why=view.why + invalid_only(states))


def invalid_only(states: Sequence[PartitionState]) -> str:
    """Name the partitions whose newest records are all invalid; empty if there are none."""
    names = sorted(f"{state.topic}-{state.partition}" for state in states if state.invalid >= MANY_INVALID)
    if not names:
        return ""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f" The newest records of {', '.join(names[:NAMED])}{more} are all invalid: see `crmstream dead-letters`."


def explain(timing: Timing, policy: TimePolicy, lag: int | None, now: datetime) -> TimeView:
    """Say why clocks move or stand at ``now``. ``lag`` are the records that wait (None: unknown)."""
    until = None if timing.newest_us is None else EPOCH + timedelta(microseconds=timing.newest_us)
    moves_at = None if timing.moves_at_us is None else EPOCH + timedelta(microseconds=timing.moves_at_us)
    history = until if timing.reason not in ("live", "empty") else None
    reason = _reason(timing, policy, lag, now)
    why = {
        "empty": "The log is empty: time begins with the first event.",
        "live": "The clock follows the wall clock" + (": CRM_TIME=live." if policy.mode == "live" else "."),
        "catching-up": f"Catching up: {lag or 0:,} records behind.",
        "no-heartbeat": "The clock should follow the wall clock and stands: the heartbeat is down, or does not reach "
        "Kafka (logs/heartbeat.log).",
        "publishing": f"A history is being published, until {_day(until)} so far; "
        f"time moves on {_seconds(policy)} s after its end.",
        "settling": f"The log is history until {_day(until)}; time moves on {_seconds(policy)} s after the last "
        f"record, in {_left(moves_at, now)} s.",
        "old": f"The log is history until {_day(until)}, longer ago than CRM_DORMANT_DAYS "
        f"({policy.dormant_us // DAY_US}): time stays there until a live event comes, or CRM_TIME=live.",
        "history": f"CRM_TIME=history: the clock stays at the newest record ({_day(until)}).",
    }[reason]
    return TimeView(reason, why, history, moves_at)


def _reason(timing: Timing, policy: TimePolicy, lag: int | None, now: datetime) -> Reason:
    if lag is not None and lag >= MANY_RECORDS:
        return "catching-up"
    if timing.reason != "live":
        return timing.reason
    latest = EPOCH + timedelta(microseconds=timing.slowest_us or 0)
    allowed = timedelta(microseconds=policy.idle_us + STRIDE_US) + timedelta(seconds=HEARTBEAT_SECONDS)
    since = EPOCH + timedelta(microseconds=timing.live_since_us or 0)
    return "no-heartbeat" if now - max(latest, since) > allowed else "live"


def _day(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _seconds(policy: TimePolicy) -> str:
    return f"{policy.settles_us / _SECOND_US:g}"


def _left(moves_at: datetime | None, now: datetime) -> str:
    return "0" if moves_at is None else f"{max((moves_at - now).total_seconds(), 0):,.0f}"

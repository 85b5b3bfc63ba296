"""The live shop keeps pace with its clock, ticks truthfully and never runs ahead of ours."""

from dataclasses import dataclass, field
from threading import Event

import pytest

from connectors.protocol import Record
from connectors.simulator.config import DAY_US, ShopConfig
from connectors.simulator.live import LiveProgress, LiveRun, WallClock, publish_live
from connectors.simulator.shop import Shop
from contracts.errors import CrmError

SECOND_US = 1_000_000


@dataclass
class Log:
    """A publisher that keeps everything, records and ticks in their order."""

    entries: list[Record | int] = field(default_factory=list)
    flushed: int = 0

    def publish(self, record: Record) -> None:
        self.entries.append(record)

    def tick(self, time_us: int) -> None:
        self.entries.append(time_us)

    def poll(self) -> None:
        pass

    def flush(self) -> None:
        self.flushed = len(self.entries)

    @property
    def records(self) -> list[Record]:
        return [entry for entry in self.entries if isinstance(entry, Record)]

    @property
    def ticks(self) -> list[int]:
        return [entry for entry in self.entries if isinstance(entry, int)]


class HandClock:
    """Clocks that stand still until they are moved."""

    def __init__(self, now: float):
        self.seconds, self._now = 0.0, now

    def clock(self) -> WallClock:
        return WallClock(monotonic=lambda: self.seconds, now=lambda: self._now + self.seconds)


def shop_after_history(**changes: object) -> Shop:
    shop = Shop(ShopConfig(customers=300, history_days=30, **changes))
    for _ in shop.records(shop.config.end_us):
        pass
    return shop


def run_for(shop: Shop, hand: HandClock, *, acceleration: float, seconds: float) -> tuple[Log, LiveRun]:
    log = Log()
    run = LiveRun(shop, log, acceleration, hand.clock())
    steps = round(seconds / 0.25)
    for _ in range(steps):
        hand.seconds += 0.25
        run.step(Event())
    return log, run


def test_time_passes_as_fast_as_asked() -> None:
    shop = shop_after_history()
    expected = shop_after_history()
    begin = shop.now_us
    log, run = run_for(shop, HandClock(now=2e9), acceleration=7_200, seconds=20)
    end = begin + 20 * 7_200 * SECOND_US
    assert log.records == list(expected.records(end))
    assert len(log.records) > 100
    assert run.progress().now_us == end
    assert run.progress().events == len(log.records)


def test_it_ticks_about_twice_a_second_and_truthfully() -> None:
    shop = shop_after_history(late_share=0, duplicate_share=0)
    log, _ = run_for(shop, HandClock(now=2e9), acceleration=7_200, seconds=20)
    assert len(log.ticks) == 40
    assert log.ticks == sorted(log.ticks)
    told_until = 0
    for entry in log.entries:
        if isinstance(entry, int):
            told_until = entry
        elif entry.occurred_at is not None:
            assert entry.occurred_at >= told_until


def test_it_never_runs_ahead_of_the_wall_clock() -> None:
    shop = shop_after_history()
    now = shop.now_us / SECOND_US + 3 * 3_600
    log, run = run_for(shop, HandClock(now), acceleration=86_400, seconds=10)
    assert run.progress().now_us == int((now + 10) * SECOND_US)
    assert max(log.ticks) <= (now + 10) * SECOND_US


def test_a_step_is_at_most_a_day_however_fast() -> None:
    shop = shop_after_history()
    begin = shop.now_us
    _, run = run_for(shop, HandClock(now=2e9), acceleration=1e9, seconds=0.5)
    assert run.progress().now_us == begin + 2 * DAY_US


def test_it_stops_when_told_and_leaves_everything_in_kafka() -> None:
    log, stop = Log(), Event()

    def stop_at_some_events(progress: LiveProgress) -> None:
        if progress.events:
            stop.set()

    end = publish_live(shop_after_history(), log, acceleration=50_000, stop=stop, on_progress=stop_at_some_events)
    assert end.events == len(log.records) > 0
    assert log.flushed == len(log.entries)


def test_a_history_that_ends_in_the_future_is_refused() -> None:
    with pytest.raises(CrmError, match="future"):
        LiveRun(shop_after_history(), Log(), 1, HandClock(now=1_000).clock())


@pytest.mark.parametrize("acceleration", [0, -1, float("nan")])
def test_time_must_pass(acceleration: float) -> None:
    with pytest.raises(CrmError, match="acceleration"):
        LiveRun(shop_after_history(), Log(), acceleration)

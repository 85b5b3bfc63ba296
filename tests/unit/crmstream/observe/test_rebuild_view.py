"""What `crmstream rebuild --watch` shows: shares of what is read, and speeds that follow from positions."""

from rich.console import Console

from contracts.topics import INPUT_TOPICS
from crmstream.commands.progress import RebuildBars, event_progress
from crmstream.observe.kafka import Offsets
from crmstream.observe.rebuild import RebuildView, ends_now, rebuild_view

NAMES = [topic.name for topic in INPUT_TOPICS]


def offsets(low: int, end: int, committed: int | None) -> Offsets:
    """One partition; only the first topic has records."""
    place = (NAMES[0], 0)
    nothing = {(name, 0): 0 for name in NAMES}
    return Offsets(nothing | {place: low}, nothing | {place: end}, {} if committed is None else {place: committed})


def test_records_before_the_start_of_the_log_count_apart() -> None:
    ends = {NAMES[0]: [100]}
    for committed, expected in (
        (None, (0, 60, 0, 40)), (30, (30, 60, 0, 40)), (75, (60, 60, 15, 40)), (100, (60, 60, 40, 40)),
        (130, (60, 60, 40, 40)),
    ):  # fmt: skip
        view = rebuild_view(offsets(60, 150, committed), ends, from_warehouse=True)
        assert view == expected
        assert view.is_done == (committed is not None and committed >= 100)


def test_retention_moves_records_from_kafkas_bar_to_that_of_clickhouse() -> None:
    view = rebuild_view(offsets(120, 150, 90), {NAMES[0]: [100]}, from_warehouse=True)
    assert view == (90, 100, 0, 0)


def test_without_the_warehouse_what_the_log_has_lost_does_not_count() -> None:
    here = offsets(60, 100, 75)
    assert rebuild_view(here, ends_now(here, 1), from_warehouse=False) == (0, 0, 15, 40)


def test_the_speed_is_measured_from_step_to_step() -> None:
    """Positions are published once per epoch: the first step says nothing about how long it took."""
    now = [0.0]
    progress = event_progress(Console(quiet=True))
    bars = RebuildBars(progress, lambda: now[0])
    past, log = progress.tasks
    for seconds, read, speed in ((0, 100, 0), (5, 100, 0), (6, 300, 0), (8, 300, 0), (16, 1300, 100)):
        now[0] = seconds
        bars.show(RebuildView(read, 2_000, 0, 500))
        assert (past.completed, past.total, past.fields["speed"]) == (read, 2_000, speed)
        assert (log.completed, log.total, log.fields["speed"]) == (0, 500, 0)

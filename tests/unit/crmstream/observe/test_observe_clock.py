"""Why the event clock moves or stands, in words, and the time that scores are as of."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.samples import Sample

from connectors.kafka.heartbeat import policy_of
from connectors.kafka.publisher import EPOCH
from connectors.kafka.tick_plan import PartitionState, Reason, Timing
from contracts.settings import Settings
from crmstream.observe.clock import MANY_RECORDS, AsOf, TimeView, explain, invalid_only, read_as_of
from crmstream.observe.metrics import parse_samples

NOW = datetime(2026, 6, 10, 12, tzinfo=UTC)
END = datetime(2026, 5, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def explained(reason: Reason, lag: int | None = 0, slowest: datetime | None = END, **changes: object) -> TimeView:
    since = changes.pop("since", NOW - 60 * SECOND)
    assert isinstance(since, datetime)
    timing = Timing(reason, us(END), slowest and us(slowest), us(NOW + 23 * SECOND), us(since))
    return explain(timing, policy_of(Settings(**changes)), lag, NOW)  # type: ignore[arg-type]


def test_a_history_says_until_when_and_when_time_moves_on() -> None:
    view = explained("settling")
    assert view.why == (
        "The log is history until 2026-05-01 00:00 UTC; time moves on 60 s after the last record, in 23 s."
    )
    assert (view.reason, view.history_until, view.moves_at) == ("settling", END, NOW + 23 * SECOND)


def test_a_publisher_at_work_and_a_study_of_long_ago_are_named() -> None:
    assert explained("publishing", history_settles_seconds=9).why.endswith("so far; time moves on 9 s after its end.")
    assert "longer ago than CRM_DORMANT_DAYS (730): time stays there" in explained("old").why


def test_declarations_are_named() -> None:
    assert explained("history", time="history").why.startswith("CRM_TIME=history: the clock stays")
    assert explained("live", slowest=NOW, time="live").why.endswith("CRM_TIME=live.")
    assert explained("live", slowest=NOW).why == "The clock follows the wall clock."
    assert explained("empty").why == "The log is empty: time begins with the first event."


@pytest.mark.parametrize("reason", ["live", "settling", "publishing", "old"])
def test_a_catch_up_comes_first(reason: Reason) -> None:
    view = explained(reason, lag=12_345)
    assert (view.reason, view.why) == ("catching-up", "Catching up: 12,345 records behind.")
    assert explained(reason, lag=MANY_RECORDS - 1, slowest=NOW).reason == reason


def test_partitions_with_invalid_records_only_are_named() -> None:
    states = [PartitionState("t", number, invalid=number) for number in range(9)]
    assert invalid_only(states[:4]) == ""
    assert "newest records of t-4 are all invalid: see `crmstream dead-letters`" in invalid_only(states[:5])
    assert "t-4, t-5, t-6 and 2 more are" in invalid_only(states)


def test_clocks_that_should_move_and_do_not_have_no_heartbeat() -> None:
    assert explained("live", slowest=NOW - 30 * SECOND).reason == "live"
    assert explained("live", slowest=NOW - 60 * SECOND).reason == "no-heartbeat"
    assert explained("live", slowest=None).reason == "no-heartbeat"
    assert explained("live", slowest=None, since=NOW - SECOND).reason == "live"
    assert explained("live", slowest=None, lag=None).reason == "no-heartbeat"


def page(*lines: str) -> list[Sample]:
    return parse_samples("".join(f"{line}\n" for line in lines))


def test_scores_are_as_of_the_slowest_partition() -> None:
    one = page(f'crm_event_clock_seconds{{partition="0"}} {NOW.timestamp()}')
    two = page(f'crm_event_clock_seconds{{partition="1"}} {END.timestamp()}', "crm_catching_up 1.0")
    assert read_as_of([one, two]) == AsOf(END, True)
    assert str(read_as_of([one, two])) == "as of 2026-05-01 00:00 UTC, catching up"
    assert str(read_as_of([one])) == "as of 2026-06-10 12:00 UTC"


def test_without_all_workers_nothing_is_known() -> None:
    one = page(f"crm_event_clock_seconds {NOW.timestamp()}")
    assert str(read_as_of([])) == ""
    assert read_as_of([one, None]).event_clock is None

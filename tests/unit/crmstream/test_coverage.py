"""Which records of the log neither ClickHouse nor Kafka can give to a rebuild.

::

    offsets      0 ....... first ======= ClickHouse ======= reached ... stored
                                     low ======== Kafka ======== end
"""

import pytest

from contracts.errors import LogMismatchError
from contracts.topics import INPUT_TOPICS, WEB_EVENTS
from crmstream.coverage import (
    AFTER_ITS_LAST,
    BEFORE_ITS_FIRST,
    NOT_LISTED,
    NOT_STORED,
    NOTHING,
    Coverage,
    Gap,
    coverages,
    rebuild_ends,
)
from crmstream.observe.kafka import Offsets
from sinks.past_log import Extent

WEB = WEB_EVENTS.name


def look(
    extent: tuple[int, int] | None, *, low: int = 150, end: int = 280, committed: int | None = 200, unlisted: int = 0,
    noted: dict[str, list[int]] | None = None, begins: bool = False,
) -> Coverage:  # fmt: skip
    """Compare; the rows of ClickHouse are from the first to before the last of ``extent``."""
    nothing = {(topic.name, 0): 0 for topic in INPUT_TOPICS}
    offsets = Offsets(nothing | {(WEB, 0): low}, nothing | {(WEB, 0): end}, {(WEB, 0): committed} if committed else {})
    rows = [] if extent is None else [Extent(WEB, 0, extent[0], extent[1] - 1, begins, unlisted=unlisted)]
    (found,) = [each for each in coverages(offsets, rows, noted, 1) if each.topic == WEB]
    return found


def test_what_joins_has_no_gap() -> None:
    for found in (look((0, 200)), look((0, 150)), look((0, 280), committed=None), look(None, low=0, committed=None)):
        assert found.gaps == []


def test_an_empty_clickhouse_has_lost_what_kafka_has() -> None:
    assert look(None).gaps == [Gap(150, NOTHING, 0)]
    assert look(None, low=0).gaps == []


def test_a_clickhouse_that_was_made_later_lacks_the_first_records() -> None:
    assert look((40, 200)).gaps == [Gap(40, BEFORE_ITS_FIRST, 0)]
    assert look((170, 200)).gaps == [Gap(150, BEFORE_ITS_FIRST, 0)]


def test_a_few_invalid_records_before_the_first_valid_one_are_no_gap() -> None:
    """The first valid record begins the clock of a partition: no event is before the first clock."""
    assert look((40, 200), begins=True).gaps == []
    assert look((1_001, 5_000), low=3_000, end=6_000, committed=5_000, begins=True).gaps == [
        Gap(1_001, BEFORE_ITS_FIRST, 0)
    ]


def test_records_that_kafka_deleted_before_they_were_read_are_lost() -> None:
    """The dataflow stopped at 100; ClickHouse has all until then."""
    assert look((0, 100), committed=100).gaps == [Gap(50, NOT_STORED, 100)]
    assert look((0, 100), committed=None).gaps == [Gap(50, NOT_STORED, 100)]
    assert look((0, 90), committed=100).gaps == [Gap(60, NOT_STORED, 90)]


def test_rows_behind_the_position_prove_nothing_about_those_before() -> None:
    """Tables are written one by one: rows of one may be there when those of another were lost with the outbox."""
    assert look((0, 170), committed=100).gaps == [Gap(50, NOT_STORED, 100)]


def test_a_clickhouse_of_an_older_backup_lacks_the_last_records() -> None:
    assert look((0, 1_000), low=2_001, end=6_000, committed=5_000).gaps == [Gap(1_001, AFTER_ITS_LAST, 1_000)]


def test_a_few_ticks_at_the_end_of_all_rows_are_no_gap() -> None:
    assert look((0, 100)).gaps == []


def test_facts_that_are_not_in_log_events_are_a_gap() -> None:
    assert look((0, 200), unlisted=7).gaps == [Gap(7, NOT_LISTED)]


def test_a_second_rebuild_knows_what_the_first_one_had_noted() -> None:
    """Its own position is back at 20."""
    assert look((0, 200), committed=20).gaps == [Gap(130, NOT_STORED, 20)]
    assert look((0, 200), committed=20, noted={WEB: [200]}).gaps == []
    assert look((0, 200), committed=20, noted={WEB: [900]}).gaps == [Gap(130, NOT_STORED, 20)], "it is of another log"
    assert look((0, 200), committed=20, noted={"crm-other": [200]}).gaps == [Gap(130, NOT_STORED, 20)]


def test_another_log_is_refused() -> None:
    with pytest.raises(LogMismatchError, match="events of crm-web-events-0 up to offset 299, but that log ends at 280"):
        look((0, 300))
    with pytest.raises(LogMismatchError, match=r"the dataflow has stored everything of .* up to offset 499"):
        look((0, 100), committed=500)


def test_clickhouse_is_read_up_to_what_was_stored_not_to_the_end_of_the_log() -> None:
    assert rebuild_ends([look((0, 200))]) == {WEB: [200]}
    assert rebuild_ends([look((0, 190), committed=None)]) == {WEB: [190]}
    assert rebuild_ends([look((0, 100), committed=100)]) == {WEB: [150]}, "an accepted loss is passed"

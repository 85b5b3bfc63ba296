"""The lines of a worker's log: few, with counts, and without values of refused records."""

import logging

from contracts.outputs import DeadLetter
from streams.journal import LINE_SECONDS, Journal

DAY = 86_400_000_000


class Log:
    """A journal with a clock that tests move."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.lines: list[str] = []
        self.levels: list[int] = []
        self.journal = Journal(lambda: self.now, self._say)

    def _say(self, level: int, line: str) -> None:
        self.levels.append(level)
        self.lines.append(line)

    def clocks(self, day: int, *, fresh: bool, partitions: int = 2) -> None:
        for partition in range(partitions):
            self.journal.clock(partition, day * DAY + 5, DAY, fresh=fresh)


def letter(problem: str, customer: str = "secret@example.com") -> DeadLetter:
    return DeadLetter("crm-transactions", 0, 1, 2, customer.encode(), b"{}", "validate", "currency", problem, "shop")


def started(partitions: int = 2) -> Log:
    log = Log()
    for partition in range(partitions):
        log.journal.start(partition, "reads from the beginning of the log")
    return log


def test_the_start_of_each_partition_is_a_line() -> None:
    assert started().lines == [f"partition {n}: reads from the beginning of the log" for n in (0, 1)]


def test_live_each_boundary_is_one_line_when_the_slowest_lane_has_crossed_it() -> None:
    log = started()
    log.clocks(10, fresh=True)
    del log.lines[:]
    log.journal.read(7, [])
    log.journal.late(2)
    log.journal.clock(0, 11 * DAY, DAY, fresh=True)
    assert log.lines == []
    log.journal.clock(1, 11 * DAY, DAY, fresh=True)
    log.clocks(11, fresh=True)
    assert log.lines == ["boundary 1970-01-12 00:00 UTC: 1 boundary and 7 events since the last line, 2 of them late"]
    log.clocks(12, fresh=True)
    log.journal.beat()
    assert len(log.lines) == 1  # time is accelerated: one line in ten seconds
    log.now += LINE_SECONDS
    log.journal.beat()
    assert log.lines[1:] == ["boundary 1970-01-13 00:00 UTC: 1 boundary and 0 events since the last line"]


def test_a_catch_up_over_years_is_one_line_in_ten_seconds_and_one_at_its_end() -> None:
    log = started()
    del log.lines[:]
    for day in range(700):
        log.now += 0.05
        log.journal.read(10, [])
        log.clocks(day, fresh=False)
    log.clocks(700, fresh=True)
    log.now += LINE_SECONDS
    log.journal.beat()
    log.journal.beat()
    assert len(log.lines) < 700 * 0.05 / LINE_SECONDS + 3
    assert all("catching up" in line for line in log.lines[:-1])
    assert log.lines[-1].startswith("caught up, boundary 1971-12-02")


def test_refusals_are_counted_by_reason_at_most_once_in_ten_seconds_and_name_nobody() -> None:
    log = started()
    del log.lines[:], log.levels[:]
    log.journal.read(0, [letter("has no exchange rate")] * 3 + [letter("is missing")])
    log.journal.beat()
    log.journal.read(0, [letter("is missing")])
    log.journal.beat()
    assert log.lines == [
        "refused 4 records (dead letters): 3 × crm-transactions validate currency has no exchange rate; "
        "1 × crm-transactions validate currency is missing"
    ]
    assert log.levels == [logging.WARNING]
    log.now += LINE_SECONDS
    log.journal.beat()
    assert log.lines[1] == "refused 1 records (dead letters): 1 × crm-transactions validate currency is missing"
    assert "secret" not in "".join(log.lines)


def test_many_reasons_and_strange_ones_stay_one_short_line() -> None:
    log = started()
    del log.lines[:]
    log.journal.read(0, [letter(f"is\nodd {n}" + "x" * 500) for n in range(50)])
    log.journal.end()
    assert "\n" not in log.lines[0]
    assert len(log.lines[0]) < 1_000
    assert log.lines[0].endswith("45 other reasons")
    assert log.lines[1] == "stopped after 0 events, with a snapshot"


def test_a_backlog_that_comes_and_goes_is_no_flood_of_lines() -> None:
    log = started(1)
    del log.lines[:]
    for second in range(60):
        log.now += 1
        log.clocks(10, fresh=bool(second % 2), partitions=1)
    assert 0 < len(log.lines) <= 60 / LINE_SECONDS + 1


def test_a_trouble_that_lasts_is_one_line_a_minute_whoever_reports_it() -> None:
    log = started()
    del log.lines[:]
    for _ in range(600):
        log.now += 0.1
        log.journal.trouble("kafka: 1/1 brokers are down")
    log.journal.trouble("kafka: another")
    assert log.lines == ["kafka: 1/1 brokers are down", "kafka: another"]

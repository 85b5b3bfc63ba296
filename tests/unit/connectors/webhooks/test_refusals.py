"""Log lines about refused webhooks: at most two a minute for each source, whatever comes."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from connectors.collector.answers import AnswerError, rate_limited
from connectors.webhooks.refusals import MOST_REASONS, RefusalLog, why_failed, why_refused
from contracts.wire import RejectedError


@dataclass
class Timer:
    """Calls when it is told to."""

    calls: list[Callable[[], None]] = field(default_factory=list)

    def later(self, _seconds: float, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def ring(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def test_the_first_is_logged_and_the_others_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    timer = Timer()
    log = RefusalLog(timer.later)
    log.note("shop", "401 a")
    log.note("till", "401 a")
    assert told(caplog) == [f"Source {name}: a webhook was refused: 401 a." for name in ("shop", "till")]
    for _ in range(1_200):
        log.note("shop", "401 a")
    log.note("shop", "400 b")
    assert told(caplog) == []
    timer.ring()
    assert told(caplog) == ["Source shop: 1,201 more webhooks were refused: 401 a (1,200); 400 b (1)."]
    log.note("till", "401 a")  # its minute has passed without another
    log.note("shop", "401 a")  # the minute after the line has not
    assert told(caplog) == ["Source till: a webhook was refused: 401 a."]
    timer.ring()
    timer.ring()
    assert (told(caplog), timer.calls) == (["Source shop: 1 more webhooks were refused: 401 a (1)."], [])


def test_reasons_without_end_take_no_room(caplog: pytest.LogCaptureFixture) -> None:
    timer = Timer()
    log = RefusalLog(timer.later)
    for number in range(1_000):
        log.note("shop", f"reason {number}")
    caplog.clear()
    timer.ring()
    (line,) = told(caplog)
    assert line.count("reason ") == MOST_REASONS
    assert "other reasons (989)" in line


def test_a_reason_is_the_same_text_each_time_and_holds_no_odd_name() -> None:
    assert why_failed(rate_limited(3, "This source")) == why_failed(rate_limited(9, "This source"))
    assert why_failed(AnswerError(401, "bad_signature", "Not taken: it does not match.")) == "401 it does not match"
    refused = [RejectedError("properties.ada@example.com", "is not planned"), RejectedError("name", "is missing")]
    assert why_refused(refused) == "properties: is not planned (the body is in the dead letters)"
    assert why_refused(refused[1:]).startswith("name: is missing")

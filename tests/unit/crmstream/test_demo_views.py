"""The demo's screen and summary, from views that a test makes."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest
from rich.console import Console

from connectors.kafka.publisher import Summary
from connectors.simulator.config import ShopConfig
from crmstream.demo.screen import PlainScreen, TerminalScreen, live_page, make_screen, seconds
from crmstream.demo.summary import Ending, as_dictionary, as_lines
from crmstream.demo.views import HistoryView, LiveView
from crmstream.observe.metrics import WorkerMetrics
from crmstream.quality import Quality

NAN = float("nan")
ROW = {
    "customer_id": "c-[7]", "probability": 0.912, "percentile": 99.0, "reasons": "overdue +0.5",
    "segment": "champions", "lifecycle": "at_risk", "as_of": "2024-01-01T00:00:00Z",
}  # fmt: skip
COUNTED = WorkerMetrics(sweep_scores=99, customers=42)
HISTORY = HistoryView(730, 365.5, Summary(1_234, 5, 0, 9, 2.0), 100.2, COUNTED, 3.0)
LIVE = LiveView(
    seconds=4.0, events=200, simulated_until=datetime(2024, 1, 2, 3, 4, tzinfo=UTC), events_per_second=50.4,
    latency={0.1: 2.0, float("inf"): 2.0}, live_scores=180, customers=42, dead_letters=3,
    quality=[
        Quality("churn", datetime(2024, 1, 1, tzinfo=UTC), "m@1", 500, 0.5, 0.876, 0.4, 0.1, 0.02),
        Quality("opportunity", datetime(2024, 1, 1, tzinfo=UTC), "m@1", 0, NAN, NAN, NAN, NAN, NAN),
    ],
    top={"churn": [ROW], "opportunity": [ROW], "own": []},
)  # fmt: skip
SHOWN = ("2024-01-02 03:04 UTC", "50 events/s", "50 ms (p50)", "99 ms (p99)", "42 customers", "3 dead letters")


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=120, color_system=None), file


def test_the_screen_fits_its_output() -> None:
    assert isinstance(make_screen(console(terminal=True)[0]), TerminalScreen)
    assert isinstance(make_screen(console(terminal=False)[0]), PlainScreen)


def test_a_terminal_shows_bars_then_a_page() -> None:
    target, file = console(terminal=True)
    screen = make_screen(target)
    screen.say("starting [x]")
    screen.history(HISTORY)
    screen.live(LIVE)
    screen.close()
    shown = file.getvalue()
    for text in ("starting [x]", "Publishing", "1,234 events", "99 scores, 42 customers", *SHOWN):
        assert text in shown
    for text in ("Top risks (churn)", "Top opportunities", "Top own", "c-[7]", "91.2%", "overdue +0.5", "0.876", "–"):
        assert text in shown


def test_plain_output_is_a_line_every_few_seconds() -> None:
    target, file = console(terminal=False)
    screen = make_screen(target)
    screen.say("starting [x]")
    screen.history(HISTORY)
    screen.live(LIVE)  # too soon after the line before
    screen.close()
    lines = file.getvalue().splitlines()
    assert lines[0] == "starting [x]"
    assert lines[1:] == ["history: 366 of 730 days published, 1,234 events; 100 days scored, 42 customers"]
    target, file = console(terminal=False)
    make_screen(target).live(LIVE)
    assert all(text in file.getvalue() for text in SHOWN)


def test_the_summary_is_json_and_text() -> None:
    ending = Ending(ShopConfig(), HISTORY, LIVE, {"churn": 40}, 31.5, completed=True)
    summary = json.loads(orjson.dumps(as_dictionary(ending)))
    assert summary["live"]["events_per_second"] == 50.0
    assert summary["end_to_end_seconds"]["blocks"] == 2
    assert summary["end_to_end_seconds"]["p50"] == pytest.approx(0.05)
    assert summary["model_quality"][1]["auc"] is None
    text = "\n".join(as_lines(ending))
    assert "1,234 events of 366 days" in text
    assert "200 events in 4.0 s; 180 scores" in text
    assert "31.5 s after the start" in text


def test_a_demo_that_ends_early_says_so() -> None:
    ending = Ending(ShopConfig(), HISTORY, None, {}, None, completed=False)
    assert list(as_lines(ending))[-1] == "The demo ended before its live part."
    assert as_dictionary(ending)["live"]["events_per_second"] == 0.0


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.0421, "42 ms"), (1.26, "1.3 s")])
def test_durations_are_readable(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_the_page_fits_a_small_terminal() -> None:
    rows = [ROW | {"reasons": "days since last seen +1.44; visits this month +0.55; unsteady rhythm -0.52"}] * 5
    target, file = console(terminal=False)
    target.width = 80
    target.print(live_page(replace(LIVE, top={"churn": rows, "opportunity": rows})))
    assert len(file.getvalue().splitlines()) <= 24

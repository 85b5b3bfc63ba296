"""The demo's terminal view: bars and a live page on a terminal, else plain lines. All on standard error."""

import time
from typing import Any, Final, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from crmstream.commands.progress import add_bar, event_progress, move_bar
from crmstream.commands.shared import percent
from crmstream.demo.views import HistoryView, LiveView
from crmstream.quality import Quality, figure

PLAIN_SECONDS: Final = 2.0
"""Seconds between two plain lines."""
FIGURES: Final = 5
"""How many of :func:`live_facts` come before those of the models."""
TITLES: Final = {"churn": "Top risks (churn)", "opportunity": "Top opportunities"}


class Screen(Protocol):
    """What shows a demo. ``close`` leaves the terminal as it was."""

    def say(self, text: str) -> None:
        """Show one line."""

    def history(self, view: HistoryView) -> None:
        """Show how far the history is."""

    def live(self, view: LiveView) -> None:
        """Show the live part."""

    def close(self) -> None:
        """End the display."""


def make_screen(console: Console) -> Screen:
    """Choose the view that fits where the output goes."""
    return TerminalScreen(console) if console.is_terminal else PlainScreen(console)


class TerminalScreen:
    """Progress bars, then a page that is drawn anew at each view."""

    def __init__(self, console: Console):
        self._console = console
        self._progress: Progress | None = None
        self._bars: dict[str, Any] = {}
        self._page: Live | None = None

    def say(self, text: str) -> None:
        """Show one line above whatever is drawn."""
        self._console.print(f"[dim]{escape(text)}[/]")

    def history(self, view: HistoryView) -> None:
        """Move the bars."""
        progress = self._progress or self._begin_history(view.days)
        published, metrics = view.published, view.metrics
        move_bar(progress, self._bars["history"], view.published_days, published.events, published.seconds)
        move_bar(progress, self._bars["scoring"], view.swept_days, metrics.sweep_scores, view.seconds)
        progress.update(self._bars["scoring"], unit=f"scores, {metrics.customers:,} customers")

    def _begin_history(self, days: int) -> Progress:
        self._progress = progress = event_progress(self._console)
        self._bars = {
            "history": add_bar(progress, "Publishing", days),
            "scoring": add_bar(progress, "Scoring", days, unit="scores"),
        }
        progress.start()
        return progress

    def live(self, view: LiveView) -> None:
        """Draw the page."""
        if self._page is None:
            self._end_history()
            self._page = Live(console=self._console, auto_refresh=False)
            self._page.start()
        self._page.update(live_page(view), refresh=True)

    def close(self) -> None:
        """End bars and page; what they showed last stays."""
        self._end_history()
        if self._page is not None:
            self._page.stop()
            self._page = None

    def _end_history(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class PlainScreen:
    """One line every few seconds."""

    def __init__(self, console: Console):
        self._console = console
        self._told_at = float("-inf")

    def say(self, text: str) -> None:
        """Show one line."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def history(self, view: HistoryView) -> None:
        """Say how far the history is."""
        if self._is_time():
            self.say(
                f"history: {view.published_days:.0f} of {view.days} days published, {view.published.events:,} events; "
                f"{view.swept_days:.0f} days scored, {view.metrics.customers:,} customers"
            )

    def live(self, view: LiveView) -> None:
        """Say how the live part is."""
        if self._is_time():
            self.say("live: " + "; ".join(live_facts(view)))

    def close(self) -> None:
        """Nothing is drawn."""

    def _is_time(self) -> bool:
        if time.monotonic() - self._told_at < PLAIN_SECONDS:
            return False
        self._told_at = time.monotonic()
        return True


def live_facts(view: LiveView) -> list[str]:
    """The figures of the live part, one phrase each."""
    shop = f"{view.simulated_until:%Y-%m-%d %H:%M} UTC in the shop" if view.simulated_until else "the shop opens"
    return [
        shop,
        f"{view.events_per_second:,.0f} events/s",
        f"event to score {seconds(view.p50)} (p50), {seconds(view.p99)} (p99)",
        f"{view.customers:,} customers",
        f"{view.dead_letters:,} dead letters",
        *(quality_fact(one) for one in view.quality),
    ]


def quality_fact(one: Quality) -> str:
    """One model's quality in a phrase."""
    return (
        f"{one.outcome}: AUC {figure(one.auc)}, log loss {figure(one.log_loss)}, base rate {figure(one.base_rate)}, "
        f"{one.examples:,} examples"
    )


def live_page(view: LiveView) -> Group:
    """The page of the live part: at most 24 lines of 80 columns, or a terminal cuts it."""
    facts = live_facts(view)
    return Group(
        "; ".join(facts[:2]),
        "; ".join(facts[2:FIGURES]),
        *facts[FIGURES:],
        *(_top_table(outcome, rows) for outcome, rows in view.top.items()),
        "[dim]Ctrl-C ends it. Elsewhere: crmstream score ID, top churn, status[/]",
    )


def _top_table(outcome: str, rows: list[dict[str, Any]]) -> Table:
    title = TITLES.get(outcome, f"Top {outcome}")
    table = Table(title, "score", "lifecycle", "because", box=SIMPLE_HEAD, expand=True)
    for column in table.columns:
        column.no_wrap = True
    table.columns[3].ratio = 1
    for row in rows:
        because, lifecycle = escape(row["reasons"] or "–"), escape(row["lifecycle"] or "–")
        table.add_row(escape(row["customer_id"]), percent(str(row["probability"])), lifecycle, because)
    return table


def seconds(value: float | None) -> str:
    """A duration in milliseconds or seconds, or a dash."""
    if value is None:
        return "–"
    return f"{value * 1_000:,.0f} ms" if value < 1 else f"{value:,.1f} s"

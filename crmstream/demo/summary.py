"""The end of a demo in figures: for programs as a dictionary, for people as a few lines."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from connectors.simulator.config import ShopConfig
from crmstream.demo.screen import live_facts
from crmstream.demo.views import HistoryView, LiveView


@dataclass(frozen=True)
class Ending:
    """What a demo came to. ``seconds_to_scores`` is from the command's start to the first live view."""

    shop: ShopConfig
    history: HistoryView | None
    live: LiveView | None
    ranked: Mapping[str, int]
    seconds_to_scores: float | None
    completed: bool


def as_dictionary(ending: Ending) -> dict[str, Any]:
    """The summary for programs: times in seconds, probabilities in [0, 1], null where nothing is known."""
    live = ending.live or LiveView()
    return {
        "seed": ending.shop.seed,
        "completed": ending.completed,
        "seconds_to_scores": _rounded(ending.seconds_to_scores),
        "history": _history(ending.history),
        "live": {
            "events": live.events,
            "seconds": _rounded(live.seconds),
            "events_per_second": _rounded(live.events / live.seconds if live.seconds else 0.0),
            "simulated_until": live.simulated_until,
            "scores": live.live_scores,
        },
        "end_to_end_seconds": {"p50": _rounded(live.p50), "p99": _rounded(live.p99), "blocks": live.scored_blocks},
        "customers": live.customers,
        "ranked_customers": dict(ending.ranked),
        "dead_letters": live.dead_letters,
        "model_quality": [asdict(one) for one in live.quality],
        "top": {outcome: list(rows) for outcome, rows in live.top.items()},
    }


def _history(view: HistoryView | None) -> dict[str, Any] | None:
    if view is None:
        return None
    return {
        "days": view.days,
        "days_published": _rounded(view.published_days),
        "events": view.published.events,
        "publish_seconds": _rounded(view.published.seconds),
        "seconds": _rounded(view.seconds),
        "scores": view.metrics.sweep_scores,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def as_lines(ending: Ending) -> Iterator[str]:
    """The summary for people."""
    history, live = ending.history, ending.live
    if history is not None:
        yield (
            f"History: {history.published.events:,} events of {history.published_days:,.0f} days, published and worked "
            f"off in {history.seconds:,.1f} s; {history.metrics.sweep_scores:,} scores."
        )
    if live is None:
        yield "The demo ended before its live part."
        return
    yield f"Live: {live.events:,} events in {live.seconds:,.1f} s; {live.live_scores:,} scores followed them."
    yield from (f"  {fact}" for fact in live_facts(live))
    if ending.seconds_to_scores is not None:
        yield f"Live scores were there {ending.seconds_to_scores:,.1f} s after the start."

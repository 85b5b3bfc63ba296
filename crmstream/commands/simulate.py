"""``crmstream simulate``: a simulated shop's events into Kafka, first its history, then live.

Delivery: that of the publisher. The same options give the same event ids, so a second run doubles nothing.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Timer
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError

from connectors.kafka.at_work import at_work
from connectors.kafka.publisher import Publisher, Summary, publish_history
from connectors.simulator.compact.config import CompactConfig, start_before
from connectors.simulator.compact.shop import CompactShop
from connectors.simulator.config import DAY_US, DEFAULT_CURRENCY, ShopConfig
from connectors.simulator.live import LiveProgress, publish_live
from connectors.simulator.shop import Period, Shop
from connectors.simulator.truth import ShopTruth, to_datetime
from contracts.base_currency import BY_FIRST_ORDER, decide
from contracts.errors import InputFileError, SettingsError
from contracts.settings import load_settings
from crmstream.commands.progress import add_bar, event_progress, move_bar
from crmstream.commands.shared import as_time, console, new_app, notes, print_json
from crmstream.money.installation import installation_rates
from crmstream.publishing import RoomGate, new_publisher, usable_kafka

app = new_app()
ORDINARY_DAYS: Final = 730
COMPACT_DAYS: Final = 30

Seed = Annotated[int, typer.Option(help="Another seed is another shop.")]
Customers = Annotated[int, typer.Option(help="About how many customers join within the history.")]
Start = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d"], help="First day, UTC.", show_default="2022-01-01; compact: ends at the last midnight"
    ),
]
Days = Annotated[int | None, typer.Option(help="Days of history.", show_default="730; compact: 30")]
Rate = Annotated[float | None, typer.Option(min=0.001, help="Most events per second of the history.")]
Acceleration = Annotated[
    float | None, typer.Option(min=0.001, help="Then go on live, so many simulated seconds per second.")
]
Seconds = Annotated[float | None, typer.Option(min=0.1, help="End the live part after so many seconds.")]
Compact = Annotated[
    bool, typer.Option("--compact", help="Few events per customer, made in bulk: a million customers in minutes.")
]
Truth = Annotated[Path | None, typer.Option(help="File for the hidden truth, who left when, as JSON.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")]


@app.command(name="simulate")
def run(  # noqa: PLR0913, PLR0917 - one argument per option
    seed: Seed = 7,
    customers: Customers = 3_000,
    start: Start = None,
    days: Days = None,
    compact: Compact = False,
    rate: Rate = None,
    acceleration: Acceleration = None,
    seconds: Seconds = None,
    truth: Truth = None,
    as_json: AsJson = False,
) -> None:
    """Publish the history of a simulated shop, then let it go on live.

    The shop has customers with a rhythm of their own, who visit, buy, complain
    and at a hidden moment leave; seasons; and some events that come twice, late
    or broken. The same options give the same events with the same ids. Without
    --rate the history goes at full speed; without --acceleration it ends there.

    With --compact the customers are many and simple, for tests of scale: each
    joins with a visit, a sign-in and an order, about six events in 30 days, and
    goes on visiting. Nothing is late, broken or sent twice, and memory stays
    small. The history ends at the last midnight, so customers are active now;
    --start makes a run on another day the same.

    [bold]Examples[/bold]

    crmstream simulate
      [dim]two years of 3,000 customers at full speed[/dim]

    crmstream simulate --customers 500 --days 365 --truth truth.json
      [dim]a smaller shop, and the answers[/dim]

    crmstream simulate --acceleration 3600
      [dim]after the history an hour per second, until Ctrl-C[/dim]

    crmstream simulate --compact --customers 1000000 --seed 7
      [dim]a million customers, some 5.5 million events[/dim]
    """
    settings = load_settings()
    decision = installation_rates(settings)[1]
    currency = DEFAULT_CURRENCY if decision is None else decision.currency
    if compact and truth is not None:
        raise SettingsError("--truth: a compact shop has none; its customers do not leave.")
    first = None if start is None else start.replace(tzinfo=UTC)
    days = days if days is not None else COMPACT_DAYS if compact else ORDINARY_DAYS
    shop = _shop(compact, first, seed=seed, customers=customers, history_days=days, currency=currency)
    gate = RoomGate(settings, notes.print)
    kafka = usable_kafka(settings, gate)
    if decision is None:
        decide(settings.data_dir, currency, BY_FIRST_ORDER)
    with new_publisher(settings, kafka, gate, "simulator") as publisher:
        history = publish_past(shop, publisher, rate, live_follows=acceleration is not None)
        live = None if acceleration is None else _publish_live(shop, publisher, acceleration, seconds)
    summary = _summary(history, live, shop)
    if truth is not None and isinstance(shop, Shop):
        _write(truth, shop.truth())
    print_json(summary) if as_json else _show(summary)


def publish_past(
    shop: Shop | CompactShop, publisher: Publisher, rate: float | None = None, *, live_follows: bool = False
) -> Summary:
    """Publish the shop's history with a progress bar, at most ``rate`` events per second."""
    start, end = shop.config.start_us, shop.config.end_us
    with event_progress() as progress:
        bar = add_bar(progress, "History", total=(end - start) / DAY_US)

        def show(summary: Summary) -> None:
            days = (min(summary.last_us or start, end) - start) / DAY_US
            move_bar(progress, bar, days, summary.events, summary.seconds)

        summary = publish_history(
            Period(shop, end), publisher, rate=rate, on_progress=show, until=end, more_follows=live_follows
        )
        move_bar(progress, bar, (end - start) / DAY_US, summary.events, summary.seconds)
        return summary


def _shop(compact: bool, start: datetime | None, **fields: Any) -> Shop | CompactShop:
    """Build the shop; a wrong option becomes a readable error."""
    try:
        if compact:
            days = max(1, fields["history_days"])
            return CompactShop(CompactConfig(start=start or start_before(datetime.now(UTC), days), **fields))
        return Shop(ShopConfig(**fields if start is None else {"start": start, **fields}))
    except ValidationError as error:
        lines = (f"--{one['loc'][0]}: {one['msg']}" for one in error.errors())
        raise SettingsError("; ".join(lines).replace("history_days", "days")) from None


def _publish_live(
    shop: Shop | CompactShop, publisher: Publisher, acceleration: float, seconds: float | None
) -> LiveProgress:
    with _stop_event(seconds) as stop, notes.status("Live …") as status:

        def show(progress: LiveProgress) -> None:
            now = as_time(progress.now_us)
            status.update(
                f"Live: {now:%Y-%m-%d %H:%M} UTC in the shop, {progress.events:,} events. Ctrl-C ends it."
            )

        with at_work(publisher):
            return publish_live(shop, publisher, acceleration=acceleration, stop=stop, on_progress=show)


@contextmanager
def _stop_event(seconds: float | None) -> Iterator[Event]:
    """Give an event that Ctrl-C, SIGTERM or the end of the time sets."""
    stop = Event()
    previous = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    timer = Timer(seconds if seconds is not None else 0, stop.set)
    if seconds is not None:
        timer.start()
    try:
        yield stop
    finally:
        timer.cancel()
        for number, handler in previous.items():
            signal.signal(number, handler)


def _write(path: Path, truth: ShopTruth) -> None:
    try:
        path.write_text(truth.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputFileError(f"--truth: {path} can't be written: {error.strerror}.") from None


def _summary(history: Summary, live: LiveProgress | None, shop: Shop | CompactShop) -> dict[str, Any]:
    summary = {
        "history_events": history.events,
        "history_seconds": round(history.seconds, 3),
        "live_events": live.events if live else 0,
        "live_seconds": round(live.seconds, 3) if live else 0.0,
        "from": as_time(history.first_us),
        "until": to_datetime(shop.now_us),
    }
    if isinstance(shop, CompactShop):
        return summary | {"customers": shop.joined}
    truth = shop.truth()
    return summary | {
        "customers": len(truth.customers),
        "left": sum(customer.left_at is not None for customer in truth.customers),
        **truth.counts.model_dump(exclude={"records"}),
    }


def _show(summary: dict[str, Any]) -> None:
    events = summary["history_events"] + summary["live_events"]
    until = f"{summary['until']:%Y-%m-%d %H:%M} UTC"
    console.print(f"{events:,} events of {summary['customers']:,} customers until {until}.")
    if "left" in summary:
        console.print(
            f"{summary['left']:,} customers have left. {summary['duplicates']:,} events came twice, "
            f"{summary['late']:,} late, {summary['broken']:,} broken."
        )

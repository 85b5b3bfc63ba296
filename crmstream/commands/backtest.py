"""``crmstream backtest``: what the scores were worth on a history of purchases.

Delivery: a run leaves its predictions and nothing else; its stack and all its data are gone at the end, also after an
error or Ctrl-C.
"""

import csv
import os
import time
from collections.abc import Generator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer
from clickhouse_connect.driver.client import Client
from rich.progress import Progress

from connectors.files.replay import FileConnector, Report
from connectors.kafka.publisher import Publisher, Summary, publish_history
from connectors.protocol import Record
from connectors.rows.mapping import load_mapping
from contracts.errors import InputFileError
from contracts.settings import Settings, load_settings
from crmstream.backtest import (
    OUTCOMES,
    SECOND_US,
    History,
    count_unscored,
    csv_row,
    midnights,
    read_scores,
    throwaway_settings,
)
from crmstream.commands.progress import FileBars, add_bar, event_progress, move_bar
from crmstream.commands.replay import NOTHING_READ, report_table
from crmstream.commands.shared import as_time, console, new_app, notes
from crmstream.drain import Drained, wait_until_drained, wait_until_none
from crmstream.observe.kafka import KafkaView
from crmstream.quality import Quality, quality_table, read_quality
from crmstream.running import full_stack
from crmstream.stack.supervisor import LocalStack
from sinks.clients import clickhouse_client
from streams.recovery import outbox_folder

app = new_app()
HEADER: Final = ("customer_id", "t", *(f"{outcome}_score" for outcome in OUTCOMES))

File = Annotated[
    Path, typer.Argument(metavar="EVENTS.csv", help="Purchases: customer_id,kind,ts,amount,items; plain or gzip.")
]
At = Annotated[
    list[datetime], typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Score as of this midnight UTC. Repeat it.")
]
Out = Annotated[Path, typer.Option(help="CSV file for the predictions.")]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes; the scores are the same with any number.")]
Qualities = list[tuple[str, list[Quality]]]


@app.command(name="backtest")
def run(events: File, at: At, out: Out, workers: Workers = 1) -> None:
    """Score a purchase history as of dates in the past, to see what the scores are worth.

    Runs the history through the same dataflow that runs live, on a throw-away
    stack of its own, and writes for every customer known at each date the
    scores as of that midnight: `customer_id,t,churn_score,opportunity_score`.
    Nothing that happened later is used. Compare them with what the customers
    did then. A score is empty where the question is not asked: whoever has
    never bought can't churn.

    The file has a header line and the columns customer_id, kind (purchase or
    return), ts (ISO 8601; without a zone UTC), amount (USD) and items. Rows
    that are no events are reported and left out.

    [bold]Examples[/bold]

    crmstream backtest purchases.csv --at 2024-01-01 --out scores.csv

    crmstream backtest purchases.csv.gz --at 2024-01-01 --at 2024-02-01 --out scores.csv
    """
    settings = load_settings()
    moments = midnights([day.date() for day in at], settings, datetime.now(UTC))
    mapping = load_mapping("purchases")
    own = throwaway_settings(settings, Path(), workers, str(mapping.properties["total"].currency))
    _check_writable(out)
    with event_progress() as progress:
        bars = FileBars(progress)
        connector = FileConnector(events, mapping, on_progress=bars.reading)
        with closing(_rows(connector)) as records:
            history = History(records, moments[-1])
            _check(history, connector.report, moments)
            with TemporaryDirectory(prefix="crmstream-backtest-") as folder:
                summary, written, qualities = _Run(own, Path(folder), progress, bars).through(
                    history, connector.report, moments, out
                )
    console.print(report_table("Backtest", summary.events, connector.report))
    console.print(quality_table("Model quality by each date (of forecasts made before their answer)", qualities))
    if not written:
        raise InputFileError(_nothing_written(out, summary, moments))
    console.print(f"{written:,} predictions are in {out}.", soft_wrap=True)


def _nothing_written(out: Path, summary: Summary, moments: list[int]) -> str:
    days = ", ".join(f"{as_time(moment):%Y-%m-%d}" for moment in moments)
    return (
        f"not one prediction was made for {days}, though {summary.events:,} events were published: no customer was "
        f"known then, or the dataflow refused the events. {out} has a header only."
    )


class _Run:
    """One backtest on a stack in ``folder``."""

    def __init__(self, settings: Settings, folder: Path, progress: Progress, bars: FileBars):
        self._settings = settings.model_copy(update={"data_dir": folder})
        self._progress = progress
        self._bars = bars

    def through(
        self, history: History, report: Report, moments: list[int], out: Path
    ) -> tuple[Summary, int, Qualities]:
        """Publish, wait, write the predictions; returns what was published, rows written and the models' quality."""
        with full_stack(self._settings, on_event=lambda what: notes.print(f"[dim]{what}[/dim]")) as stack:
            summary = self._publish(stack, history, report, moments[-1])
            self._wait(stack)
            client = clickhouse_client(stack.endpoints.clickhouse_url, self._settings.clickhouse_database)
            with closing(client):
                wait_until_none(partial(count_unscored, client, moments[-1]), stack.poll)
                return summary, _write(out, client, moments), _qualities(client, moments)

    def _publish(self, stack: LocalStack, history: History, report: Report, until_us: int) -> Summary:
        settings = self._settings

        def show(summary: Summary) -> None:
            stack.poll()
            self._bars.publishing(summary, report)

        with Publisher(stack.endpoints.kafka, settings.partitions, settings.sweep_hours) as publisher:
            return publish_history(history, publisher, on_progress=show, until=until_us)

    def _wait(self, stack: LocalStack) -> None:
        bar = add_bar(self._progress, "Scoring", None, unit="records")
        began = time.monotonic()

        def show(state: Drained) -> None:
            self._progress.update(bar, total=max(state.total, 1))
            move_bar(self._progress, bar, state.done, state.done, time.monotonic() - began)

        wait_until_drained(
            KafkaView(stack.endpoints.kafka), stack.poll, show, outbox=outbox_folder(self._settings)
        )


def _rows(connector: FileConnector) -> Generator[Record, None, None]:
    """The connector's records; closing this removes what it sorts on disk."""
    yield from connector.records()


def _check(history: History, report: Report, moments: list[int]) -> None:
    """End here when there would be nothing to predict, and say which dates lie before the first event."""
    if history.first_us is None:
        console.print(report_table("Backtest", 0, report))
        notes.print("[bold red]No row of the file is an event.[/]")
        raise typer.Exit(NOTHING_READ)
    first = as_time(history.first_us)
    early = [f"{as_time(moment):%Y-%m-%d}" for moment in moments if moment <= history.first_us]
    if len(early) == len(moments):
        raise InputFileError(
            f"--at: nobody is known before the first event, which happened at {first:%Y-%m-%d %H:%M} UTC. "
            "Choose a later date.")
    if early:
        notes.print(f"Nobody is known at {', '.join(early)}: the first event happened at {first:%Y-%m-%d %H:%M} UTC.")


def _check_writable(out: Path) -> None:
    """Find out before the work and not after it."""
    if out.is_dir() or not os.access(out.parent, os.W_OK) or (out.exists() and not os.access(out, os.W_OK)):
        raise InputFileError(f"--out: {out} can't be written.")


def _write(out: Path, client: Client, moments: list[int]) -> int:
    """Write the predictions; returns their number."""
    count = 0
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(HEADER)
            for row in read_scores(client, moments):
                writer.writerow(csv_row(row))
                count += 1
    except OSError as error:
        raise InputFileError(f"--out: {out} can't be written: {error.strerror}.") from None
    return count


def _qualities(client: Client, moments: list[int]) -> Qualities:
    """How the models stood at each date."""
    return [(f"{as_time(moment):%Y-%m-%d}", read_quality(client, moment // SECOND_US)) for moment in moments]

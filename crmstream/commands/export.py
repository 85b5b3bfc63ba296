"""``crmstream export``: a table, a view or the answer of a query as a file. Reads only."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape

from contracts.settings import load_settings
from crmstream.commands.exporting import place_of, spinner, stoppable, target_of
from crmstream.commands.shared import new_app, notes
from crmstream.commands.status_view import plural
from crmstream.sql.body import Body, Form
from crmstream.sql.export import Moved, Target, Written, export_to_file, export_to_stream
from crmstream.sql.export_source import STDOUT, ExportError, Source, choose_form, find_source
from crmstream.stack.endpoints import resolve_endpoints
from sinks.clients import clickhouse_client

ANSWER_SECONDS = 3_600
"""How long ClickHouse may compute before the first row: the local server sends none before it has the last."""

app = new_app()


@app.command(name="export")
def run(
    what: Annotated[str, typer.Argument(metavar="TABLE|QUERY", help="A table, a view, or a query in quotes.")],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The file; - for standard output.")],
    form: Annotated[
        Form | None, typer.Option("--format", help="Default: by the suffix of FILE; csv for standard output.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write a table, a view or the answer of a query to a file: CSV, Parquet or JSON lines.

    The format follows the suffix of the file: .csv, .parquet, .jsonl or
    .ndjson. The file appears when it is complete. If the export fails or is
    stopped, no file appears, and one that was there stays as it was. Only its
    owner may read the file, since it may hold personal data.

    Each row of a table comes once, also where ClickHouse has not merged its
    copies yet. In a query, write FINAL after a table's name for that.
    `crmstream sql "SHOW TABLES"` lists the tables and views.

    [bold]Examples[/bold]

    crmstream export customers --out customers.parquet

    crmstream export "SELECT customer_id, orders FROM customers FINAL
    WHERE orders > 1" --out buyers.csv

    crmstream export newest_scores --out - --format jsonl | gzip > s.gz

    15 3 * * * crmstream export customers -o /srv/c.parquet --overwrite
      [dim]from cron, whose PATH and CRM_DATA_DIR the crontab sets[/dim]
    """
    chosen = choose_form(out, form)
    if out == STDOUT and chosen == "parquet" and sys.stdout.isatty():
        raise ExportError("Parquet is not for a terminal: name a file, or pipe standard output to a program.")
    target = target_of(out, overwrite=overwrite)  # before the connection
    with stoppable():
        written = _export(what, chosen, target)
    notes.print(escape(_summary(written, chosen, out)), highlight=False, soft_wrap=True)


def _export(what: str, form: Form, target: Target | None) -> Written:
    settings = load_settings()
    url = resolve_endpoints(settings).clickhouse_url
    client = clickhouse_client(url, settings.clickhouse_database, answer_seconds=ANSWER_SECONDS)
    try:
        source = find_source(client, what)
        with _progress(source) as moved:
            if target is None:
                return export_to_stream(client, source.query, form, sys.stdout.buffer, moved)
            return export_to_file(client, source.query, form, target, moved)
    finally:
        client.close()


def _summary(written: Written, form: Form, out: str) -> str:
    size = decimal(written.bytes)
    what = f"{size} ({form})" if written.rows is None else f"{plural(written.rows, 'row')} ({size}, {form})"
    return f"Wrote {what} to {place_of(out)} in {written.seconds:.1f} s."


@contextmanager
def _progress(source: Source) -> Iterator[Moved]:
    """Show bytes, speed, rows and time on standard error while it is a terminal; yields what moves it."""
    with spinner() as progress:
        task = progress.add_task("waiting for the first rows", total=None)
        began = time.monotonic()

        def moved(body: Body) -> None:
            progress.update(task, description=_state(body, source, time.monotonic() - began))

        yield moved


def _state(body: Body, source: Source, seconds: float) -> str:
    parts = [decimal(body.bytes), f"{decimal(int(body.bytes / max(seconds, 1e-3)))}/s"]
    if body.rows is not None:
        most = "" if source.most_rows is None else f" of at most {source.most_rows:,}"
        parts.append(f"{plural(body.rows, 'row')}{most}")
    return "  ".join(parts)

"""``crmstream top``: the customers, or visitors, with the highest score of an outcome. Reads only."""

import math
from collections.abc import Sequence
from datetime import UTC
from typing import Annotated, Any, Final

import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from redis import Redis

from contracts.errors import SettingsError, StoreRefusedError
from contracts.settings import Settings, load_settings
from contracts.stored import score_key, top_key
from crmstream.commands.aligned import aligned, indented
from crmstream.commands.shared import (
    connect_redis,
    console,
    new_app,
    notes,
    percent,
    print_json,
    print_lines,
)
from crmstream.observe.clock import read_as_of
from crmstream.observe.workers import read_pages
from crmstream.stack.endpoints import Endpoints, resolve_endpoints, stack_folder
from sinks.clients import clickhouse_client
from sinks.queries import query

app = new_app()
_FIELDS = ("", "_percentile", "_reasons")
_NEEDED: Final = 4
"""Columns that are shown however narrow the terminal is: number, id, probability, percentile."""


@app.command(name="top")
def run(
    outcome: Annotated[
        str, typer.Argument(help="churn, opportunity, or an outcome of your own (CRM_OUTCOMES).")
    ],
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many rows.")] = 10,
    wide: Annotated[bool, typer.Option("--wide", help="With reasons: lines wider than 80 columns.")] = False,
    visitors: Annotated[bool, typer.Option("--visitors", help="Visitors who are not identified.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the customers with the highest score of an outcome.

    The percentile compares customers who are asked the same question. Lapsed
    customers (silent for four times their own rhythm, and for 90 days at least)
    and dormant ones are not in the list. Reasons (--wide) say what raises (+)
    or lowers (-) the score. --visitors ranks visitors among visitors, each as
    of the last event.

    [bold]Examples[/bold]

    crmstream top churn

    crmstream top opportunity --visitors --wide

    crmstream top opportunity -n 500 --json | jq -r '.[].customer_id'
    """
    settings = load_settings()
    check_outcome(settings, outcome)
    endpoints = resolve_endpoints(settings)
    rows = (
        read_top_visitors(settings, endpoints, outcome, limit)
        if visitors
        else read_top(connect_redis(endpoints), outcome, limit)
    )
    if as_json:
        print_json(rows)
    elif rows:
        clock = str(read_as_of(read_pages(endpoints, stack_folder(settings)))) or _newest(rows)
        heading = f"Top {outcome} of {'visitors' if visitors else 'customers'}{f', {clock}' if clock else ''}"
        print_lines([*indented(heading, console.width, indent=""), ""])
        print_lines(top_lines(outcome, rows, console.width, wide=wide))
    else:
        notes.print(
            f"Nobody has a score for {outcome} yet; `crmstream status` shows how far the dataflow is."
        )


def check_outcome(settings: Settings, outcome: str) -> None:
    """Refuse an outcome that is not declared."""
    names = [declared.name for declared in settings.outcomes]
    if outcome not in names:
        raise SettingsError(f"There is no outcome {outcome!r}. CRM_OUTCOMES declares: {', '.join(names)}.")


def read_top(client: Redis, outcome: str, limit: int) -> list[dict[str, Any]]:
    """Read the ``limit`` customers with the highest score, highest first."""
    ranked: Any = client.zrevrange(top_key(outcome), 0, limit - 1, withscores=True)
    pipeline = client.pipeline(transaction=False)
    for customer_id, _ in ranked:
        fields = [f"{outcome}{end}" for end in _FIELDS]
        pipeline.hmget(score_key(customer_id), [*fields, "segment", "lifecycle", "as_of"])
    found = pipeline.execute()
    return [
        _row(customer_id, rank, fields) for (customer_id, rank), fields in zip(ranked, found, strict=True)
    ]


def _row(customer_id: str, rank: float, fields: list[str | None]) -> dict[str, Any]:
    probability, percentile, reasons, segment, lifecycle, as_of = fields
    return {
        "customer_id": customer_id,
        "probability": rank if probability is None else float(probability),
        "percentile": None if percentile is None else float(percentile),
        "reasons": reasons,
        "segment": segment,
        "lifecycle": lifecycle,
        "as_of": as_of,
    }


def read_top_visitors(settings: Settings, endpoints: Endpoints, outcome: str, limit: int) -> list[dict[str, Any]]:
    """Read the ``limit`` visitors with the highest score, highest first. Redis does not rank them, ClickHouse does."""
    client = clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)
    try:
        asked = {"outcome": outcome, "days": settings.visitor_days, "shown": limit}
        rows = client.query(query("top_visitors"), parameters=asked).result_rows
    except ClickHouseError as error:
        raise StoreRefusedError(f"ClickHouse has no scores: {str(error).splitlines()[0][:200]}") from None
    finally:
        client.close()
    return [_visitor_row(row) for row in rows]


def _visitor_row(row: Sequence[Any]) -> dict[str, Any]:
    visitor, chance, place, why, segment, lifecycle, as_of = row
    return {
        "customer_id": visitor,
        "probability": chance,
        "percentile": None if math.isnan(place) else round(place, 1),
        "reasons": why,
        "segment": segment,
        "lifecycle": lifecycle,
        "as_of": f"{as_of.replace(tzinfo=UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def top_lines(outcome: str, rows: list[dict[str, Any]], width: int, *, wide: bool = False) -> list[str]:
    """Lay out rows, a line for each; in a narrow terminal the last columns give way to long ids."""
    heads = ["", "customer", outcome, "percentile", "lifecycle", "segment", *(["reasons"] if wide else [])]
    cells = [
        [
            str(number), row["customer_id"], percent(str(row["probability"])),
            "–" if row["percentile"] is None else f"{row['percentile']:.1f}",
            row["lifecycle"] or "–", row["segment"] or "–", *([row["reasons"] or "–"] if wide else []),
        ]
        for number, row in enumerate(rows, 1)
    ]  # fmt: skip
    return aligned(heads, cells, right=frozenset({0, 2, 3}), width=width, needed=None if wide else _NEEDED)


def _newest(rows: list[dict[str, Any]]) -> str:
    """The newest time of which a score is, for where no worker says how far the dataflow is."""
    times = [row["as_of"] for row in rows if row["as_of"]]
    return f"as of {max(times)[:16].replace('T', ' ')} UTC" if times else ""

"""``crmstream top``: the customers with the highest score of an outcome, from Redis. Reads only."""

from typing import Annotated, Any

import typer
from redis import Redis
from rich.markup import escape
from rich.table import Table

from contracts.errors import SettingsError
from contracts.settings import Settings, load_settings
from contracts.stored import score_key, top_key
from crmstream.commands.as_of import print_as_of
from crmstream.commands.shared import (
    connect_redis,
    console,
    new_app,
    notes,
    percent,
    print_json,
)
from crmstream.stack.endpoints import resolve_endpoints

app = new_app()
_FIELDS = ("", "_percentile", "_reasons")


@app.command(name="top")
def run(
    outcome: Annotated[
        str, typer.Argument(help="churn, opportunity, or an outcome of your own (CRM_OUTCOMES).")
    ],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many customers.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the customers with the highest score of an outcome.

    Those who have lapsed (silent for four times their own rhythm, and for 90
    days at least) or are dormant are gone already, and not in the list.
    Reasons are log-odds: what moved the score most, up (+) or down (-).

    [bold]Examples[/bold]

    crmstream top churn

    crmstream top opportunity --limit 500 --json | jq -r '.[].customer_id'
    """
    settings = load_settings()
    check_outcome(settings, outcome)
    endpoints = resolve_endpoints(settings)
    rows = read_top(connect_redis(endpoints), outcome, limit)
    if as_json:
        print_json(rows)
    elif rows:
        console.print(top_table(outcome, rows))
        print_as_of(endpoints)
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


def top_table(outcome: str, rows: list[dict[str, Any]]) -> Table:
    """Lay out the rows of :func:`read_top`."""
    table = Table(
        "", "customer", outcome, "percentile", "segment", "lifecycle", "reasons", title=f"Top {outcome}"
    )
    for number, row in enumerate(rows, 1):
        place = "–" if row["percentile"] is None else f"{row['percentile']:.1f}"
        texts = (escape(row[name] or "–") for name in ("segment", "lifecycle", "reasons"))
        table.add_row(
            str(number), escape(row["customer_id"]), percent(str(row["probability"])), place, *texts
        )
    return table

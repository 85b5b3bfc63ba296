"""How good the models have proved to be: the newest ``model_quality`` of each outcome, as a table. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from clickhouse_connect.driver.client import Client
from rich.box import SIMPLE_HEAD
from rich.table import Table

from sinks.queries import query

FIGURES: Final = ("base_rate", "auc", "log_loss", "brier", "ece")
_TITLES: Final = ("base", "AUC", "log loss", "Brier", "ECE")


@dataclass(frozen=True)
class Quality:
    """One outcome's model as of a moment. The measures are NaN (None in JSON) where there is too little to tell.

    They are those of forecasts made before their answers were known, over the model's newest examples.
    """

    outcome: str
    as_of: datetime
    model_version: str
    examples: int
    base_rate: float
    auc: float
    log_loss: float
    brier: float
    ece: float


def read_quality(client: Client, until_seconds: int) -> list[Quality]:
    """Read how each outcome's model stood at a moment (Unix seconds)."""
    rows = client.query(query("quality_at"), parameters={"until": until_seconds}, tz_mode="aware").result_rows
    return [Quality(*row) for row in rows]


def quality_table(title: str, rows: Iterable[tuple[str, Sequence[Quality]]]) -> Table:
    """Lay out qualities, each group with a label such as its date."""
    table = Table("", "outcome", "examples", *_TITLES, title=title, box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns:
        column.no_wrap = True
    for label, qualities in rows:
        if not qualities:
            table.add_row(label, "–", "0", *["–"] * len(FIGURES))
        for number, one in enumerate(qualities):
            figures = (figure(getattr(one, name)) for name in FIGURES)
            table.add_row("" if number else label, one.outcome, f"{one.examples:,}", *figures)
    return table


def figure(value: float | None) -> str:
    """A measure with three digits, or a dash."""
    return "–" if value is None or value != value else f"{value:.3f}"  # noqa: PLR0124 - NaN differs from itself

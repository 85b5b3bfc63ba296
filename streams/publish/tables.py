"""Blocks as rows of ClickHouse tables, before they are columns of Arrow: what each kind of block writes."""

from collections.abc import Sequence

from contracts.blocks import Departures, ModelReport, ProfileBlock, ScoredBlock, Verdicts
from contracts.outputs import TableBlock, TableRows
from streams.publish.profile_rows import departed_rows, profile_rows
from streams.publish.score_rows import ChangeRows, DailyRows, QualityRows, verdict_rows

Stored = ScoredBlock | ProfileBlock | Departures | Verdicts | ModelReport | TableRows
"""What the dataflow hands to the writer of ClickHouse."""


def table_blocks(item: Stored, interval: int, currency: str | None) -> Sequence[TableBlock]:
    """The rows that an item writes.

    A sweep: ``customer_daily``. Live people: ``score_changes`` and ``customers``. Restated people: nothing, for what
    changed is written already. ``interval`` is the sweep's in microseconds, ``currency`` the base currency.
    """
    match item:
        case ScoredBlock():
            return _scored(item, interval, currency)
        case ProfileBlock():
            return [profile_rows(item, interval, currency)]
        case Departures():
            return [departed_rows(item, interval, currency)]
        case Verdicts():
            return [verdict_rows(item.verdicts)]
        case ModelReport():
            return [QualityRows(item, interval)]
    return [item]


def _scored(block: ScoredBlock, interval: int, currency: str | None) -> Sequence[TableBlock]:
    if block.people.kind == "live":
        return [ChangeRows(block), profile_rows(block.people, interval, currency)]
    return [DailyRows(block, interval)] if block.people.kind == "sweep" else []

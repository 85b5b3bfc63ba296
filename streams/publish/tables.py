"""Chooses the ClickHouse rows that each kind of block writes. They are rendered later, in the writer's thread."""

from collections.abc import Sequence

from contracts.blocks import Departures, ModelReport, ProfileBlock, ScoredBlock, Verdicts
from contracts.outputs import TableBlock, TableRows
from streams.publish.profile_rows import departed_rows, profile_rows
from streams.publish.score_rows import ChangeRows, DailyRows, QualityRows, verdict_rows

Stored = ScoredBlock | ProfileBlock | Departures | Verdicts | ModelReport | TableRows
"""The items that the writer of ClickHouse accepts."""


def table_blocks(item: Stored, interval: int, currency: str | None) -> Sequence[TableBlock]:
    """Return the rows that an item writes.

    A sweep writes ``customer_daily``; live people write ``score_changes`` and ``customers``; restated people write
    nothing, because their changes have been written. ``interval`` is the sweep interval in microseconds, ``currency``
    the base currency.
    """
    match item:
        case ScoredBlock() if item.people.kind == "live":
            return [ChangeRows(item), profile_rows(item.people, interval, currency)]
        case ScoredBlock():
            return [DailyRows(item, interval)] if item.people.kind == "sweep" else []
        case ProfileBlock():
            return [profile_rows(item, interval, currency)]
        case Departures():
            return [departed_rows(item, interval, currency)]
        case Verdicts():
            return [verdict_rows(item.verdicts)]
        case ModelReport():
            return [QualityRows(item, interval)]
    return [item]


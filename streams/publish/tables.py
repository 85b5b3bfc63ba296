"""Chooses the ClickHouse rows that each kind of block writes. They are rendered later, in the writer's thread."""

from collections.abc import Sequence

from contracts.blocks import Departures, ProfileBlock, Verdicts
from contracts.model_blocks import ModelReport, ScoredBlock
from contracts.outputs import FewRows, TableBlock, TableRows
from streams.publish.profile_rows import departed_rows, profile_rows
from streams.publish.score_rows import ChangeRows, DailyRows, QualityRows, verdict_rows

Stored = ScoredBlock | ProfileBlock | Departures | Verdicts | ModelReport | TableRows | FewRows
"""The items that the writer of ClickHouse accepts."""


def table_blocks(item: Stored, interval: int, currency: str | None) -> Sequence[TableBlock]:
    """Return the rows that an item writes.

    A sweep writes ``customer_daily``; live people write ``score_changes`` and ``customers``; restated people write
    nothing, because their changes have been written. ``interval`` is the sweep interval in microseconds, ``currency``
    the base currency.
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

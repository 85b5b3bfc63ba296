"""Routes the outputs of steps to sinks. Pure.

The key of an item chooses the partition of the sink. All items of one person have the key of the person's bucket, so
one writer gets them, in order.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from contracts.blocks import Departures, LaneBatch, Pointers, ProfileBlock, Verdicts
from contracts.model_blocks import ModelReport, ScoredBlock
from contracts.outputs import DeadLetter, FewRows, TableRows
from streams.publish.tables import Stored

_NO_FEATURES: Final = np.empty((0, 0), np.float32)


def for_redis(item: tuple[str, Any]) -> list[tuple[str, ScoredBlock | Departures | Pointers]]:
    """Route published scores and profiles, without the features, departed visitors, and pointers to owners."""
    value = item[1]
    if isinstance(value, Departures | Pointers):
        return [(str(value.bucket), value)]
    if not isinstance(value, ScoredBlock) or not value.people.publish:
        return []
    return [(str(value.people.bucket), replace(value, people=replace(value.people, features=_NO_FEATURES)))]


def for_clickhouse(item: tuple[str, Any]) -> list[tuple[str, Stored]]:
    """Route sweeps, live people, changed profiles, departed visitors, decisions about links, and models' reports.

    The last profiles of forgotten visitors stay on record.
    """
    value = item[1]
    if isinstance(value, ScoredBlock):
        return [(str(value.people.bucket), value)] if value.people.kind != "restated" else []
    if isinstance(value, ModelReport):
        return [(str(value.boundary), value)]
    if isinstance(value, Departures) and value.forgotten:
        return []
    if isinstance(value, ProfileBlock | Departures | Verdicts):
        return [(str(value.bucket), value)]
    return []


def facts(
    batch: LaneBatch, dead_letters_table: Callable[[Sequence[DeadLetter]], Any]
) -> list[tuple[str, TableRows | FewRows]]:
    """Route the events of a batch, the turns of its clocks and its dead letters, as rows."""
    key = str(batch.progress.source)
    rows: list[tuple[str, TableRows | FewRows]] = [(key, each) for each in (*batch.facts, *batch.clocks)]
    return [*rows, (key, TableRows("dead_letters", dead_letters_table(batch.dead)))] if batch.dead else rows


def letters(batch: LaneBatch) -> list[tuple[str, DeadLetter]]:
    """Route dead letters to their topic."""
    return [(str(batch.progress.source), letter) for letter in batch.dead]

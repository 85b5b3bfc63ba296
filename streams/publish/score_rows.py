"""Renders rows of ``customer_daily``, ``score_changes``, ``model_quality`` and ``identity_links``."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.blocks import Verdict
from contracts.ids import Ids, joined_ids
from contracts.model_blocks import ModelReport, OutcomeScores, ScoredBlock
from contracts.outputs import RowKind, TableBlock, TableRows
from streams.profiles.features import FEATURES
from streams.profiles.segments import LIFECYCLES, SEGMENTS
from streams.publish import columns
from streams.publish.columns import MICROSECONDS, ColumnMaker
from streams.publish.profile_rows import newest
from streams.publish.score_hashes import joined_numbers, joined_scores
from streams.publish.wording import reason_lines, reason_numbers, reason_texts

_TEXT: Final = pa.string()
CHANGES: Final = RowKind([
    ("as_of", MICROSECONDS), ("customer_id", _TEXT), ("version", pa.uint64()), ("segment", _TEXT),
    ("lifecycle", _TEXT), ("model_version", _TEXT), ("probability", pa.map_(_TEXT, pa.float64())),
    ("percentile", pa.map_(_TEXT, pa.float32())), ("reasons", pa.map_(_TEXT, _TEXT)),
])  # fmt: skip
"""The columns of the table ``score_changes``."""


@dataclass(frozen=True)
class DailyRows:
    """A scored sweep of boundaries; ``interval`` is the sweep's in microseconds."""

    block: ScoredBlock
    interval: int
    table: ClassVar[str] = "customer_daily"

    def __len__(self) -> int:
        return len(self.block.people)

    def fits(self, other: TableBlock) -> bool:
        """Whether the other has scores of the same outcomes."""
        return isinstance(other, DailyRows) and list(self.block.scores) == list(other.block.scores)

    def render(self, others: Sequence[TableBlock]) -> pa.Table:
        """All rows."""
        blocks = [self.block, *(each.block for each in others if isinstance(each, DailyRows))]
        scored = _Scored.of(blocks, joined_numbers)
        boundaries = np.concatenate([block.people.boundaries for block in blocks])
        features = np.concatenate([block.people.features for block in blocks])
        maps = scored.maps(columns)
        made = {"as_of": columns.boundary_column(boundaries, self.interval)} | scored.columns(columns, maps)
        made["reasons"] = maps.column([reason_numbers(each.reasons) for _, each in scored.answers])
        made |= {name: pa.array(np.ascontiguousarray(features[:, at])) for at, name in enumerate(FEATURES)}
        return pa.table(made)


@dataclass(frozen=True)
class ChangeRows:
    """Scores of live people. An insert has the newest row of each person."""

    block: ScoredBlock
    table: ClassVar[str] = "score_changes"

    def __len__(self) -> int:
        return len(self.block.people)

    def fits(self, other: TableBlock) -> bool:
        """Whether the other has scores of the same outcomes."""
        return isinstance(other, ChangeRows) and list(self.block.scores) == list(other.block.scores)

    def render(self, others: Sequence[TableBlock]) -> pa.Table:
        """The newest row of each person."""
        blocks = [self.block, *(each.block for each in others if isinstance(each, ChangeRows))]
        scored, as_of = _Scored.of(blocks, joined_scores), np.concatenate([block.people.as_of for block in blocks])
        if len(blocks) > 1:
            kept = newest(scored.ids, scored.versions)
            scored, as_of = scored.take(kept), as_of[kept]
        make = columns.maker_of(len(as_of))
        maps, phrased = scored.maps(make), reason_texts if make is columns else reason_lines
        made = {"as_of": make.time_column(as_of)} | scored.columns(make, maps)
        texts = [phrased(each.keys, each.usual, each.usual_of) for _, each in scored.answers]
        return make.table(made | {"reasons": maps.column(texts)}, CHANGES)


@dataclass(frozen=True)
class _Scored:
    """Scores of several blocks as columns of equal length."""

    ids: Ids
    versions: NDArray[np.int64]
    segment: NDArray[np.int8]
    lifecycle: NDArray[np.int8]
    models: list[str]
    model_of: NDArray[np.int32]
    answers: list[tuple[str, OutcomeScores]]

    @classmethod
    def of(
        cls, blocks: Sequence[ScoredBlock], joined: Callable[[Sequence[OutcomeScores]], OutcomeScores]
    ) -> "_Scored":
        """The rows of blocks that have scores of the same outcomes."""
        people = [block.people for block in blocks]
        places: dict[str, int] = {}
        known = [[places.setdefault(name, len(places)) for name in block.model_versions] for block in blocks]
        return cls(
            joined_ids([each.ids for each in people]), np.concatenate([each.versions for each in people]),
            np.concatenate([each.segment for each in people]), np.concatenate([each.lifecycle for each in people]),
            list(places),
            np.concatenate([np.array(at, np.int32)[block.model_of] if at else block.model_of
                            for at, block in zip(known, blocks, strict=True)]),
            [(name, joined([block.scores[name] for block in blocks])) for name in blocks[0].scores],
        )  # fmt: skip

    def maps(self, make: ColumnMaker) -> Any:
        """Return a maker of maps by outcome, with entries for the outcomes that apply to a person."""
        asked = np.stack([~np.isnan(each.probability) for _, each in self.answers], axis=1)
        return make.Maps([name for name, _ in self.answers], asked)

    def take(self, at: NDArray[np.int64]) -> "_Scored":
        """The rows at some positions."""
        answers = [(name, each.take(at)) for name, each in self.answers]
        return _Scored(self.ids[at], self.versions[at], self.segment[at], self.lifecycle[at], self.models,
                       self.model_of[at], answers)  # fmt: skip

    def columns(self, make: ColumnMaker, maps: Any) -> dict[str, Any]:
        """Return the columns that both tables have."""
        return {
            "customer_id": make.text_column(self.ids),
            "version": make.count_column(self.versions),
            "segment": make.coded_column(self.segment, SEGMENTS),
            "lifecycle": make.coded_column(self.lifecycle, LIFECYCLES),
            "model_version": make.coded_column(self.model_of, self.models),
            "probability": maps.column([make.number_column(each.probability) for _, each in self.answers]),
            "percentile": maps.column([make.number_column(each.percentile) for _, each in self.answers]),
        }


@dataclass(frozen=True)
class QualityRows:
    """A model's report, one row of ``model_quality``; ``interval`` is the sweep's in microseconds."""

    report: ModelReport
    interval: int
    table: ClassVar[str] = "model_quality"

    def __len__(self) -> int:
        return 1

    def fits(self, other: TableBlock) -> bool:
        """All reports can be in one insert."""
        return isinstance(other, QualityRows)

    def render(self, others: Sequence[TableBlock]) -> pa.Table:
        """A row for each report."""
        reports = [self.report, *(each.report for each in others if isinstance(each, QualityRows))]
        count, measure = pa.uint64(), pa.float64()
        return pa.table({
            "as_of": columns.boundary_column(np.array([report.boundary for report in reports]), self.interval),
            "outcome": [report.outcome for report in reports],
            "model_version": [report.model_version for report in reports],
            "examples": pa.array([report.examples for report in reports], count),
            "positives": pa.array([report.positives for report in reports], count),
            "examples_total": pa.array([report.examples_total for report in reports], count),
            "window": pa.array([int(report.quality["window"]) for report in reports], count),
            **{name: pa.array([report.quality[name] for report in reports], measure)
               for name in self.report.quality if name != "window"},
            "weights": _weights(reports),
            "digest": [report.digest for report in reports],
        })  # fmt: skip


def _weights(reports: Sequence[ModelReport]) -> pa.MapArray:
    """Return the weights of models by feature."""
    offsets = np.cumsum([0, *(len(report.weights) for report in reports)], dtype=np.int32)
    names = list(dict.fromkeys(chain.from_iterable(report.weights for report in reports)))
    codes = {name: code for code, name in enumerate(names)}
    keys = np.fromiter((codes[name] for report in reports for name in report.weights), np.int32, offsets[-1])
    values = np.fromiter(chain.from_iterable(each.weights.values() for each in reports), np.float64, offsets[-1])
    return pa.MapArray.from_arrays(pa.array(offsets), pa.array(names, _TEXT).take(pa.array(keys)), pa.array(values))


def verdict_rows(verdicts: Sequence[Verdict]) -> TableRows:
    """Return decisions as rows of ``identity_links``. An insert has the last decision about each pair of ids."""
    times = np.array([verdict.occurred for verdict in verdicts], np.int64)
    made = {
        "identity": [verdict.identity for verdict in verdicts],
        "person": [verdict.person for verdict in verdicts],
        "outcome": [verdict.outcome for verdict in verdicts],
        "occurred_at": columns.time_column(times),
    }
    return TableRows("identity_links", pa.table(made))

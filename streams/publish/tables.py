"""Blocks as rows of ClickHouse tables."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.blocks import CustomerBlock, ModelReport, OutcomeScores, ScoredBlock
from contracts.crossings import Moved, Verdict
from contracts.outputs import TableRows
from streams.profiles.bucket import ProfileBlock
from streams.read.facts import to_money, to_time
from streams.profiles.features import FEATURES
from streams.profiles.table import DECAYED, NEVER, NOT_YET, blank_rows
from streams.publish.reasons import reasons_of
from streams.profiles.segments import LIFECYCLES, SEGMENTS

SECOND: Final = 1_000_000
_LIFECYCLES: Final = pa.array(LIFECYCLES)
_SEGMENTS: Final = pa.array(SEGMENTS)
_TIMES: Final = ("first_seen", "last_seen", "first_order", "last_order", "last_web", "last_ticket")
_MONEY: Final = ("revenue", "refunded", "satisfaction_sum")
_COUNTS: Final = (
    "events", "orders", "items", "refunds", "cancelled", "web_events", "sessions", "product_views", "carts",
    "cart_views", "checkouts", "service_events", "tickets", "tickets_solved", "satisfaction_count", "gap_count",
    "gap_sum_squares",
)  # fmt: skip


def customers_rows(block: ProfileBlock) -> TableRows:
    """Profiles as rows of ``customers``."""
    return _profile_rows(block.ids, block.versions, block.rows, np.full(len(block.ids), "", object))


def moved_rows(moved: Moved) -> TableRows:
    """Visitors who are customers now, as rows of ``customers`` that say only that."""
    rows = blank_rows(len(moved.ids))
    rows["first_seen"] = rows["last_seen"] = 0
    return _profile_rows(moved.ids, moved.versions, rows, moved.persons)


def verdict_rows(verdicts: Sequence[Verdict], interval: int) -> TableRows:
    """Decisions as rows of ``identity_links``; ``interval`` is the sweep's in microseconds."""
    seconds = [verdict.boundary * interval // SECOND for verdict in verdicts]
    columns = {
        "identity": [verdict.identity for verdict in verdicts],
        "person": [verdict.person for verdict in verdicts],
        "outcome": [verdict.outcome for verdict in verdicts],
        "occurred_at": to_time(np.array([verdict.occurred for verdict in verdicts], np.int64)),
        "decided_at": pa.array(seconds, pa.int64()).view(pa.timestamp("s", tz="UTC")),
    }
    return TableRows("identity_links", pa.table(columns))


def _profile_rows(
    ids: NDArray[np.object_], versions: NDArray[np.int64], rows: NDArray[np.void], merged_into: NDArray[np.object_]
) -> TableRows:
    columns = {"customer_id": ids, "version": versions.astype(np.uint64), "merged_into": merged_into}
    columns |= {name: _time_or_null(rows[name]) for name in _TIMES}
    columns |= {name: to_money(rows[name]) for name in _MONEY}
    columns |= {name: rows[name].astype(np.uint64) for name in _COUNTS}
    columns |= {name: np.ascontiguousarray(rows[name]) for name in DECAYED}
    return TableRows("customers", pa.table(columns))


def _time_or_null(times: NDArray[np.int64]) -> pa.Array:
    missing = (times == NEVER) | (times == NOT_YET)
    return to_time(pa.array(np.where(missing, 0, times), pa.int64(), mask=missing))


def daily_rows(block: ScoredBlock, interval: int) -> TableRows:
    """A scored sweep as rows of ``customer_daily``; ``interval`` is the sweep's in microseconds."""
    customers = block.customers
    seconds = customers.boundary * interval // SECOND
    columns = {"as_of": pa.array(np.full(len(customers.ids), seconds, np.int64)).view(pa.timestamp("s", tz="UTC"))}
    columns |= _score_columns(block)
    columns |= {name: np.ascontiguousarray(customers.features[:, at]) for at, name in enumerate(FEATURES)}
    return TableRows("customer_daily", pa.table(columns))


def change_rows(block: ScoredBlock) -> TableRows:
    """A live block as rows of ``score_changes``."""
    columns = {"as_of": to_time(block.customers.as_of)} | _score_columns(block)
    people = block.customers
    reasons = {name: reasons_of(scores, people.features, people.buyers) for name, scores in block.scores.items()}
    columns["reasons"] = _map_column({name: pa.array(texts, pa.string()) for name, texts in reasons.items()},
                                     _asked(block.scores), pa.string())  # fmt: skip
    return TableRows("score_changes", pa.table(columns))


def quality_rows(report: ModelReport, interval: int) -> TableRows:
    """A model's report as a row of ``model_quality``."""
    seconds = report.boundary * interval // SECOND
    quality = dict(report.quality)
    row = {
        "as_of": pa.array([seconds], pa.int64()).view(pa.timestamp("s", tz="UTC")),
        "outcome": [report.outcome],
        "model_version": [report.model_version],
        "examples": pa.array([report.examples], pa.uint64()),
        "positives": pa.array([report.positives], pa.uint64()),
        "examples_total": pa.array([report.examples_total], pa.uint64()),
        "window": pa.array([int(quality.pop("window"))], pa.uint64()),
        **{name: pa.array([value], pa.float64()) for name, value in quality.items()},
        "weights": pa.array([list(report.weights.items())], pa.map_(pa.string(), pa.float64())),
        "digest": [report.digest],
    }
    return TableRows("model_quality", pa.table(row))


def _score_columns(block: ScoredBlock) -> dict[str, pa.Array]:
    customers, scores = block.customers, block.scores
    asked = _asked(scores)
    return {
        "customer_id": pa.array(customers.ids, pa.string()),
        "version": pa.array(customers.versions.astype(np.uint64)),
        **_stage_columns(customers),
        "model_version": pa.DictionaryArray.from_arrays(
            np.zeros(len(customers.ids), np.int32), pa.array([block.model_version])),
        "probability": _map_column({name: each.probability for name, each in scores.items()}, asked, pa.float64()),
        "percentile": _map_column({name: each.percentile for name, each in scores.items()}, asked, pa.float32()),
    }  # fmt: skip


def _stage_columns(customers: CustomerBlock) -> dict[str, pa.Array]:
    return {
        "segment": pa.DictionaryArray.from_arrays(customers.segment.astype(np.int32), _SEGMENTS),
        "lifecycle": pa.DictionaryArray.from_arrays(customers.lifecycle.astype(np.int32), _LIFECYCLES),
    }


def _asked(scores: Mapping[str, OutcomeScores]) -> NDArray[np.bool_]:
    """Which outcomes are asked of which customers: shape (customers, outcomes)."""
    return np.stack([~np.isnan(each.probability) for each in scores.values()], axis=1)


def _map_column(
    columns: Mapping[str, NDArray[np.generic] | pa.Array], asked: NDArray[np.bool_], kind: pa.DataType
) -> pa.Array:
    """A map per customer from outcome to value, with entries only where the outcome is asked."""
    names: Sequence[str] = list(columns)
    count, width = asked.shape
    flat = np.flatnonzero(asked.ravel())
    offsets = np.concatenate(([0], np.cumsum(asked.sum(axis=1)))).astype(np.int32)
    keys = pa.DictionaryArray.from_arrays((flat % width).astype(np.int32), pa.array(names)).cast(pa.string())
    joined = pa.concat_arrays([pa.array(column, kind) for column in columns.values()])
    values = joined.take(pa.array((flat % width) * count + flat // width))
    return pa.MapArray.from_arrays(pa.array(offsets), keys, values)

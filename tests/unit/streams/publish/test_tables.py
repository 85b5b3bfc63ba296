"""Rows have the columns of their ClickHouse table, exact money, and entries in maps only where a question was asked."""

import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rows import fill
from support.scored import DAY, random_scored

from contracts.blocks import Departures, ProfileBlock, Verdict, Verdicts
from contracts.model_blocks import ModelReport
from contracts.outputs import TableBlock, TableRows
from sinks.queries import migrations, statements
from streams.profiles.features import FEATURES
from streams.profiles.rows import DECAYED, MONEY, NEVER, NOT_YET, blank_rows
from streams.profiles.segments import LIFECYCLES, SEGMENTS
from streams.publish import few_columns
from streams.publish.reasons import signed_features
from streams.publish.score_rows import DailyRows, QualityRows
from streams.publish.tables import table_blocks
from streams.publish.wording import reason_lines

START = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = DAY // 24
ARROW_TYPES = {
    "String": pa.string(),
    "UInt64": pa.uint64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Decimal(18, 4)": pa.decimal128(18, 4),
    "DateTime('UTC')": pa.timestamp("s", "UTC"),
    "DateTime64(6, 'UTC')": pa.timestamp("us", "UTC"),
    "Map(String, Float64)": pa.map_(pa.string(), pa.float64()),
    "Map(String, Float32)": pa.map_(pa.string(), pa.float32()),
    "Map(String, String)": pa.map_(pa.string(), pa.string()),
    "Map(String, Array(Int8))": pa.map_(pa.string(), pa.list_(pa.int8())),
}
LIVE = random_scored(1, "abc")
SWEEP = random_scored(2, "abc", kind="sweep", rows=None)
LEFT = Departures(
    0, np.array(["anonymous:v", "anonymous:w"], object), np.array(["a", ""], object), np.array([9, 9]), False
)
DECIDED = Verdicts(
    0, [Verdict("anonymous:v", "a", "linked", HOUR), Verdict("anonymous:v", "b", "belongs_to_another", 1)]
)
REPORT = ModelReport(
    outcome="churn", boundary=9_862, model_version="logistic-2@1997-01-01T00", examples=5, positives=2,
    examples_total=105, weights={"log_orders": -0.25, "intercept": 1.5}, digest="c0ffee",
    quality={"window": 100, "base_rate": 0.4, "auc": 0.7, "log_loss": 0.6, "brier": 0.2, "ece": 0.01},
)  # fmt: skip


def table_columns(table: str) -> dict[str, str]:
    """The columns of a table and their ClickHouse types, as the migrations make it."""
    made = [statement for script in migrations().values() for statement in statements(script)]
    creates = [
        each
        for each in made
        if re.match(rf"CREATE (OR REPLACE )?TABLE (IF NOT EXISTS )?{table}(_new_{{run}})?\n", each)
    ]
    body = creates[-1].split("(\n", 1)[1].split("\n)\n", 1)[0]
    after = made[made.index(creates[-1]) :]
    added = [each.split("IF NOT EXISTS ")[1] for each in after if each.startswith(f"ALTER TABLE {table} ADD COLUMN")]
    added = [re.split(" DEFAULT | AFTER ", each)[0] for each in added]
    return dict(line.strip().rstrip(",").split(" ", 1) for line in [*body.splitlines(), *added])


def without_codes(kind: pa.DataType) -> pa.DataType:
    """The type of a column, with plain texts where it has codes of texts."""
    if pa.types.is_map(kind):
        return pa.map_(without_codes(kind.key_type), kind.item_type)
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def rendered(item: Any, currency: str | None = "EUR") -> dict[str, pa.Table]:
    return {block.table: block.render([]) for block in table_blocks(item, DAY, currency)}


@pytest.mark.parametrize(
    "item", [LIVE, SWEEP, LEFT, REPORT, DECIDED], ids=["live", "sweep", "departures", "report", "verdicts"]
)
def test_rows_have_the_columns_and_types_of_their_table(item: Any) -> None:
    for name, rows in rendered(item).items():
        expected = table_columns(name)
        assert sorted(rows.schema.names) == sorted(expected)
        for column, kind in expected.items():
            inner = re.sub(r"^(?:LowCardinality|Nullable)\((.*)\)$", r"\1", kind)
            assert without_codes(rows.schema.field(column).type) == ARROW_TYPES[inner], column


def test_each_item_goes_to_its_tables() -> None:
    assert list(rendered(LIVE)) == ["score_changes", "customers"]
    assert list(rendered(SWEEP)) == ["customer_daily"]
    assert rendered(random_scored(1, "abc", kind="restated")) == {}
    rows = TableRows("web_events", pa.table({"x": [1]}))
    assert rendered(rows) == {"web_events": rows.rows}


# customers


def profiles(ids: str, versions: list[int], **columns: Any) -> ProfileBlock:
    rows = blank_rows(len(ids))
    fill(rows, **{"first_seen": 0, "last_seen": 0, "events": versions} | columns)
    return ProfileBlock(0, np.array([*ids], object), np.array(versions, np.int64), rows)


def by_customer(rows: pa.Table, column: str) -> dict[str, Any]:
    return dict(zip(rows["customer_id"].to_pylist(), rows[column].to_pylist(), strict=True))


def test_times_that_have_not_come_yet_are_null() -> None:
    rows = rendered(profiles("ab", [1, 1], first_order=[0, NOT_YET], last_order=[DAY + 1_000_001, NEVER]))["customers"]
    assert by_customer(rows, "first_order") == {"a": START, "b": None}
    assert by_customer(rows, "last_order") == {"a": START.replace(day=2, second=1), "b": None}


def test_money_is_exact_also_where_a_float_is_not() -> None:
    amounts = [2**53 + 1, 12_345, -1]
    rows = rendered(profiles("abc", [1] * 3, revenue=amounts))["customers"]
    assert rows["revenue"].to_pylist() == [Decimal(amount).scaleb(-4) for amount in amounts]
    assert rows["currency"].to_pylist() == ["EUR"] * 3
    assert rendered(profiles("a", [1]), None)["customers"]["currency"].to_pylist() == [""]


def test_counters_and_means_are_readable() -> None:
    block = profiles("ab", [1, 1], orders=[3, 1], first_order=[0, 0], last_order=[10 * DAY, 0],
                     satisfaction_sum=[90, 0], satisfaction_count=[2, 0], orders_7d=[128, 0],
                     revenue_90d=[12, 0], slot=[4, -1])  # fmt: skip
    rows = rendered(block)["customers"]
    assert by_customer(rows, "mean_gap_days") == {"a": 5.0, "b": None}
    assert by_customer(rows, "satisfaction") == {"a": 4.5, "b": None}
    assert by_customer(rows, "orders_7d") == {"a": 0.5, "b": 0.0}
    assert by_customer(rows, "revenue_90d") == {"a": 1.2, "b": 0.0}
    assert by_customer(rows, "decayed_at") == {"a": START.replace(day=6), "b": START}


def test_an_insert_has_the_newest_row_of_each_id() -> None:
    blocks = [table_blocks(each, DAY, "EUR")[-1] for each in (
        profiles("ab", [1, 5], orders=[1, 5]), profiles("abc", [3, 4, 1], orders=[3, 4, 1]), profiles("a", [2]),
        profiles("c", [1], orders=[9]))]  # fmt: skip
    assert by_customer(blocks[0].render(blocks[1:]), "orders") == {"a": 3, "b": 5, "c": 9}


def test_the_version_of_a_profile_follows_its_row_alone() -> None:
    """So a profile that is given out again after a restart, in another slot, is the same row."""
    people = LIVE.people
    assert people.rows is not None
    rows = people.rows.copy()
    rows["slot"], rows["events"] = [3, 4, 5], [7, 8, 9]
    later = replace(people, rows=rows, versions=people.versions + (9 << 32))
    tables = [rendered(replace(LIVE, people=each)) for each in (replace(people, rows=rows), later)]
    versions = [each["customers"]["version"] for each in tables]
    assert versions[0].to_pylist() == versions[1].to_pylist() == [3 << 32 | 7, 4 << 32 | 8, 5 << 32 | 9]


def test_of_merged_visitors_the_customer_is_left_and_nothing_after_an_unlink() -> None:
    (block,) = table_blocks(LEFT, DAY, "EUR")
    rows = block.render([])
    assert by_customer(rows, "merged_into") == {"anonymous:v": "a", "anonymous:w": ""}
    assert by_customer(rows, "orders") == {"anonymous:v": 0, "anonymous:w": 0}
    assert by_customer(rows, "version") == {"anonymous:v": 9, "anonymous:w": 9}
    assert block.fits(table_blocks(LIVE, DAY, "EUR")[1])


# customer_daily and score_changes


@pytest.mark.parametrize("item", [LIVE, SWEEP], ids=["change", "daily"])
def test_scores_stand_beside_what_explains_them_where_they_are_asked(item: Any) -> None:
    (block, *_) = table_blocks(item, DAY, "EUR")
    rows = block.render([])
    for at, row in enumerate(rows.to_pylist()):
        asked = [name for name, each in item.scores.items() if not math.isnan(each.probability[at])]
        assert [name for name, _ in row["probability"]] == [name for name, _ in row["reasons"]] == asked
        for name, value in row["probability"]:
            assert value == item.scores[name].probability[at]
        for name, value in row["reasons"]:
            each = item.scores[name]
            line = reason_lines(each.reasons[at : at + 1], each.usual, each.usual_of[at : at + 1])[0]
            assert value == (line if item is LIVE else signed_features(each.reasons[at]).tolist())
        assert row["lifecycle"] == LIFECYCLES[item.people.lifecycle[at]]
        assert row["segment"] == SEGMENTS[item.people.segment[at]]
        assert row["model_version"] == item.model_versions[item.model_of[at]]


def test_reasons_that_come_as_features_only_are_stored_like_others() -> None:
    brief = {name: replace(each, reasons=signed_features(each.reasons)) for name, each in SWEEP.scores.items()}
    plain, other = DailyRows(SWEEP, DAY), DailyRows(replace(SWEEP, scores=brief), DAY)
    assert other.render([plain]).equals(plain.render([other]))
    assert any(reasons for row in other.render([]).column("reasons").to_pylist() for _, reasons in row)


def test_a_sweep_is_as_of_its_boundaries_and_holds_what_the_models_saw() -> None:
    people = replace(SWEEP.people, boundaries=np.array([3, 3, 4], np.int32))
    (block,) = table_blocks(replace(SWEEP, people=people), 6 * HOUR, None)
    rows = block.render([])
    assert rows["as_of"].to_pylist() == [START.replace(hour=18)] * 2 + [START.replace(day=2)]
    for at, name in enumerate(FEATURES):
        assert rows[name].to_numpy().tolist() == people.features[:, at].tolist()


def test_blocks_of_several_models_and_boundaries_are_one_insert() -> None:
    other = replace(random_scored(3, "de", kind="sweep", rows=None), model_versions=["x", "logistic-2@1997-11-14T00"])
    first, second = (table_blocks(each, DAY, None)[0] for each in (SWEEP, other))
    together = first.render([second])
    assert together.equals(pa.concat_tables([first.render([]), second.render([])]).unify_dictionaries()) or (
        together.to_pylist() == first.render([]).to_pylist() + second.render([]).to_pylist()
    )


def test_changes_of_one_person_in_an_insert_are_the_newest() -> None:
    later = random_scored(7, "ab", slot=20_001)
    first, second = (table_blocks(each, DAY, None)[0] for each in (LIVE, later))
    rows = first.render([second])
    assert rows["customer_id"].to_pylist() == ["c", "a", "b"]
    assert rows.to_pylist()[1:] == second.render([]).to_pylist()


def test_rows_of_other_outcomes_are_another_insert() -> None:
    fewer = replace(SWEEP, scores={"churn": SWEEP.scores["churn"]})
    first, second = (table_blocks(each, DAY, None)[0] for each in (SWEEP, fewer))
    blocks: list[TableBlock] = [second, table_blocks(LIVE, DAY, None)[0]]
    assert not any(first.fits(each) for each in blocks)


# model_quality


def test_a_report_is_one_row() -> None:
    (row,) = QualityRows(REPORT, DAY).render([]).to_pylist()
    assert row == {
        "as_of": datetime(1997, 1, 1, tzinfo=UTC), "outcome": "churn", "model_version": "logistic-2@1997-01-01T00",
        "examples": 5, "positives": 2, "examples_total": 105, "window": 100, "base_rate": 0.4, "auc": 0.7,
        "log_loss": 0.6, "brier": 0.2, "ece": 0.01, "weights": [("log_orders", -0.25), ("intercept", 1.5)],
        "digest": "c0ffee",
    }  # fmt: skip


def test_reports_share_an_insert_in_their_order() -> None:
    later = replace(REPORT, boundary=REPORT.boundary + 1, outcome="purchase", weights={"intercept": 0.5})
    first, second = (table_blocks(each, DAY, None)[0] for each in (REPORT, later))
    assert first.fits(second)
    assert first.render([second]).to_pylist() == first.render([]).to_pylist() + second.render([]).to_pylist()


def test_decisions_are_rows_in_their_order() -> None:
    rows = rendered(DECIDED)["identity_links"].to_pylist()
    assert [(row["person"], row["outcome"]) for row in rows] == [("a", "linked"), ("b", "belongs_to_another")]
    assert rows[0]["occurred_at"] == START.replace(hour=1)


def test_a_measure_that_is_not_defined_stays_undefined() -> None:
    rows = QualityRows(replace(REPORT, quality={**REPORT.quality, "auc": math.nan}), DAY).render([])
    assert rows["auc"].null_count == 0
    assert math.isnan(rows["auc"].to_pylist()[0])


def test_the_view_of_reasons_names_all_features() -> None:
    view = next(each for each in statements(migrations()["009_readable_customers"]) if "daily_reasons" in each)
    assert re.findall(r"'([a-z_0-9]{6,})'", view) == list(FEATURES)


# few rows


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5), visitors=st.booleans(),
    currency=st.sampled_from([None, "EUR"]),
)  # fmt: skip
def test_few_rows_become_the_same_table_as_many(seed: int, count: int, visitors: bool, currency: str | None) -> None:
    """The plain values of few rows, and arrays of Arrow for each column, are equal to the last bit."""
    block = random_scored(seed, [f"é{at}" for at in range(count)], table="devices" if visitors else "customers")
    rows, random = block.people.rows, np.random.default_rng(seed)
    assert rows is not None
    for name in (*DECAYED, *MONEY, "satisfaction_count", "satisfaction_sum"):
        most = min(np.iinfo(rows.dtype[name]).max, 10**18)
        rows[name] = random.integers(0, most, count) * random.integers(0, 2, count)
    blocks = table_blocks(block, DAY, currency)
    few = [each.render([]) for each in blocks]
    with patch.object(few_columns, "FEW", 0):
        many = [each.render([]) for each in blocks]
    for small, large in zip(few, many, strict=True):
        for field, column in zip(small.schema, small.columns, strict=True):
            assert repr(column.to_pylist()) == repr(large[field.name].to_pylist())
            assert field.type == without_codes(large.schema.field(field.name).type)

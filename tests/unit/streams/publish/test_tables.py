"""Rows have the columns of their ClickHouse table, exact money, and entries in maps only where a question was asked."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from support.columns import DAY, HOUR, Happening, columns

from contracts.blocks import BucketBatch, CustomerBlock, Explainer, ModelReport, OutcomeScores, ScoredBlock, SweepBlock
from contracts.crossings import Moved, Verdict
from contracts.outputs import TableRows
from sinks.queries import migrations, statements
from streams import codes
from streams.profiles.bucket import BucketPolicy, ProfileBlock, Tally
from streams.profiles.customers import Output, advance, new_bucket
from streams.read.facts import to_money, to_time
from streams.profiles.features import FEATURES
from streams.identity.handover import nothing_handed
from streams.publish.tables import change_rows, customers_rows, daily_rows, moved_rows, quality_rows, verdict_rows

POLICY = BucketPolicy(DAY, 700 * DAY, 2, ("orders",), 1_000, 90 * DAY)
NAN = float("nan")
START = datetime(1970, 1, 1, tzinfo=UTC)
EXPLAINER = Explainer(np.zeros(len(FEATURES)), np.ones(len(FEATURES)), np.eye(len(FEATURES))[3])
"""Of a model in which one more unit of ``log_orders`` is one more of log-odds."""
ARROW_TYPES = {
    "String": pa.string(),
    "UInt64": pa.uint64(),
    "Int64": pa.int64(),
    "Float32": pa.float32(),
    "Float64": pa.float64(),
    "Decimal(18, 4)": pa.decimal128(18, 4),
    "DateTime('UTC')": pa.timestamp("s", "UTC"),
    "DateTime64(6, 'UTC')": pa.timestamp("us", "UTC"),
    "Map(String, Float64)": pa.map_(pa.string(), pa.float64()),
    "Map(String, Float32)": pa.map_(pa.string(), pa.float32()),
    "Map(String, String)": pa.map_(pa.string(), pa.string()),
}


def table_columns(table: str) -> dict[str, str]:
    """The columns of a table and their ClickHouse types, as the migrations make it."""
    made = [statement for script in migrations().values() for statement in statements(script)]
    (create,) = [each for each in made if each.startswith(f"CREATE TABLE IF NOT EXISTS {table}\n")]
    body = create.split("(\n", 1)[1].split("\n)\n", 1)[0]
    added = [each.split("IF NOT EXISTS ")[1] for each in made if each.startswith(f"ALTER TABLE {table} ADD COLUMN")]
    added = [each.split(" DEFAULT ")[0] for each in added]
    return dict(line.strip().rstrip(",").split(" ", 1) for line in [*body.splitlines(), *added])


def run(happened: Sequence[Happening], clock: int) -> list[Output]:
    """What a bucket gives out of these events near the log's end."""
    customers, events = columns(happened)
    batch = BucketBatch(0, events, customers, clock, True)
    bucket, tally = new_bucket(0, POLICY), Tally()
    items = (nothing_handed(0, clock // DAY), batch)
    return [output for item in items for output in advance(bucket, item, POLICY, tally)]


def profiles(*happened: Happening) -> ProfileBlock:
    (block,) = [each for each in run(happened, DAY) if isinstance(each, ProfileBlock) and each.published]
    return block


def swept(*happened: Happening, day: int = 1) -> CustomerBlock:
    return [each.customers for each in run(happened, day * DAY) if isinstance(each, SweepBlock)][-1]


def moved(*happened: Happening) -> CustomerBlock:
    (block,) = [each for each in run(happened, DAY - 1) if isinstance(each, CustomerBlock)]
    return block


def scores(*probability: float, percentile: Sequence[float] | None = None) -> OutcomeScores:
    per_cent = probability if percentile is None else percentile
    return OutcomeScores(np.array(probability), np.array(per_cent, np.float32), EXPLAINER)


def by_customer(rows: TableRows, column: str) -> dict[str, object]:
    return dict(zip(rows.rows["customer_id"].to_pylist(), rows.rows[column].to_pylist(), strict=True))


def scored(block: CustomerBlock) -> ScoredBlock:
    return ScoredBlock(block, {"churn": scores(*[0.5] * len(block.ids))}, "logistic-2@x")


REPORT = ModelReport(
    outcome="churn",
    boundary=9_862,
    model_version="logistic-2@1997-01-01T00",
    examples=5,
    positives=2,
    examples_total=105,
    quality={"window": 100, "base_rate": 0.4, "auc": 0.7, "log_loss": 0.6, "brier": 0.2, "ece": 0.01},
    weights={"log_orders": -0.25, "intercept": 1.5},
    digest="c0ffee",
)
ORDER = Happening("a", HOUR)


@pytest.mark.parametrize(
    "rows",
    [
        customers_rows(profiles(ORDER)),
        daily_rows(scored(swept(ORDER)), DAY),
        change_rows(scored(moved(ORDER))),
        quality_rows(REPORT, DAY),
        moved_rows(Moved(np.array(["anonymous:v"], object), np.array(["a"], object), np.array([1], np.int64))),
        verdict_rows([Verdict("anonymous:v", "a", "linked", HOUR, 1)], DAY),
    ],
    ids=lambda rows: rows.table,
)
def test_rows_have_the_columns_and_types_of_their_table(rows: TableRows) -> None:
    expected = table_columns(rows.table)
    schema = rows.rows.schema
    assert sorted(schema.names) == sorted(expected)
    for name, told in expected.items():
        kind = told.removeprefix("LowCardinality(").removeprefix("Nullable(")
        kind = kind if kind == told else kind.removesuffix(")")
        found = schema.field(name).type
        assert (found.value_type if pa.types.is_dictionary(found) else found) == ARROW_TYPES[kind], name


# customers


def test_times_that_have_not_come_yet_are_null() -> None:
    rows = customers_rows(profiles(ORDER, Happening("b", 2 * HOUR, codes.PAGE_VIEW)))
    one, two = START.replace(hour=1), START.replace(hour=2)
    assert by_customer(rows, "first_order") == {"a": one, "b": None}
    assert by_customer(rows, "last_order") == {"a": one, "b": None}
    assert by_customer(rows, "last_web") == {"a": None, "b": two}
    assert by_customer(rows, "last_ticket") == {"a": None, "b": None}
    assert by_customer(rows, "first_seen") == {"a": one, "b": two}


def test_an_event_at_the_first_moment_of_time_is_no_null() -> None:
    assert by_customer(customers_rows(profiles(Happening("a", 0))), "first_order") == {"a": START}


def test_money_is_exact_also_where_a_float_is_not() -> None:
    amounts = [2**53 + 1, 12_345, 1]
    rows = customers_rows(profiles(*[Happening(f"c{amount}", HOUR, amount=amount) for amount in amounts]))
    expected: dict[str, object] = {f"c{amount}": Decimal(amount).scaleb(-4) for amount in amounts}
    assert by_customer(rows, "revenue") == expected


def test_money_below_zero_stays_below_zero() -> None:
    assert to_money(np.array([-1, -(2**53) - 1, 0])).to_pylist() == [
        Decimal("-0.0001"), Decimal("-900719925474.0993"), Decimal("0.0000"),
    ]  # fmt: skip


def test_times_keep_their_microseconds() -> None:
    assert to_time(np.array([1])).to_pylist() == [START.replace(microsecond=1)]


def test_counts_and_sums_are_those_of_the_profile() -> None:
    tickets = [Happening("a", HOUR, codes.TICKET_OPENED), Happening("a", HOUR, codes.SATISFACTION, score=45_000)]
    block = profiles(Happening("a", HOUR, amount=50_000, items=3), Happening("a", 5 * HOUR, items=1), *tickets)
    (row,) = customers_rows(block).rows.to_pylist()
    assert (row["customer_id"], row["version"]) == ("a", block.versions[0])
    assert (row["events"], row["orders"], row["items"], row["tickets"]) == (4, 2, 4, 1)
    assert (row["revenue"], row["satisfaction_sum"]) == (Decimal(5), Decimal("4.5"))
    assert (row["gap_count"], row["gap_sum_squares"]) == (1, 16)
    assert row["orders_7d"] == block.rows["orders_7d"][0]


# customer_daily and score_changes


def test_a_sweep_is_as_of_its_boundary() -> None:
    block = scored(swept(ORDER, day=3))
    assert daily_rows(block, DAY).rows["as_of"].to_pylist() == [START.replace(day=4)]
    assert daily_rows(block, 6 * HOUR).rows["as_of"].to_pylist() == [START.replace(hour=18)]


def test_a_change_is_as_of_the_customers_newest_event() -> None:
    rows = change_rows(scored(moved(ORDER, Happening("a", 5 * HOUR + 7))))
    assert by_customer(rows, "as_of") == {"a": START.replace(hour=5, microsecond=7)}


def test_a_daily_row_holds_what_the_models_saw() -> None:
    block = swept(ORDER, ORDER, Happening("b", HOUR, codes.PAGE_VIEW))
    rows = daily_rows(scored(block), DAY)
    for at, name in enumerate(FEATURES):
        assert rows.rows[name].to_numpy().tolist() == block.features[:, at].tolist()
    assert rows.rows["version"].to_pylist() == block.versions.tolist()
    assert by_customer(rows, "model_version") == {"a": "logistic-2@x", "b": "logistic-2@x"}


def test_stages_are_told_by_name() -> None:
    block = swept(ORDER, ORDER, Happening("b", HOUR, codes.PAGE_VIEW))
    rows = daily_rows(scored(block), DAY)
    assert by_customer(rows, "lifecycle") == {"a": "active", "b": "prospect"}
    assert by_customer(rows, "segment") == {"a": "loyal", "b": "prospects"}


def asked_in_part() -> ScoredBlock:
    """Three customers: of the first both questions are asked, of the second one, of the third none."""
    block = replace(moved(*[Happening(one, HOUR) for one in "abc"]), ids=np.array(["a", "b", "c"], object))
    churn = scores(0.25, NAN, NAN, percentile=[80.5, NAN, NAN])
    return ScoredBlock(block, {"churn": churn, "buys": scores(0.75, 0.5, NAN, percentile=[10, 20, 50])}, "m")


@pytest.mark.parametrize("rows_of", [lambda block: daily_rows(block, DAY), change_rows], ids=["daily", "change"])
def test_maps_have_entries_only_where_the_question_is_asked(rows_of: Callable[[ScoredBlock], TableRows]) -> None:
    rows = rows_of(asked_in_part())
    assert by_customer(rows, "probability") == {"a": [("churn", 0.25), ("buys", 0.75)], "b": [("buys", 0.5)], "c": []}
    assert by_customer(rows, "percentile") == {"a": [("churn", 80.5), ("buys", 10)], "b": [("buys", 20)], "c": []}


def test_reasons_stand_beside_the_probabilities_that_they_explain() -> None:
    reason = "+ orders: 1, usually none"
    assert by_customer(change_rows(asked_in_part()), "reasons") == {
        "a": [("churn", reason), ("buys", reason)], "b": [("buys", reason)], "c": [],
    }  # fmt: skip


# model_quality


def test_a_report_is_one_row() -> None:
    (row,) = quality_rows(REPORT, DAY).rows.to_pylist()
    assert row == {
        "as_of": datetime(1997, 1, 1, tzinfo=UTC),
        "outcome": "churn",
        "model_version": "logistic-2@1997-01-01T00",
        "examples": 5,
        "positives": 2,
        "examples_total": 105,
        "window": 100,
        "base_rate": 0.4,
        "auc": 0.7,
        "log_loss": 0.6,
        "brier": 0.2,
        "ece": 0.01,
        "weights": [("log_orders", -0.25), ("intercept", 1.5)],
        "digest": "c0ffee",
    }


def test_a_measure_that_is_not_defined_stays_undefined() -> None:
    rows = quality_rows(replace(REPORT, quality={**REPORT.quality, "auc": NAN}), DAY).rows
    assert rows["auc"].null_count == 0
    assert math.isnan(rows["auc"].to_pylist()[0])

"""Rows with one key are one event, rows of one group too, and one row may be several events."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from connectors.door.door import Door
from connectors.files import groups
from connectors.files.replay import FileConnector
from connectors.privacy.rules import PrivacyRules
from connectors.rows.mapping import parse_mapping
from connectors.sources.source import Source
from contracts.errors import InputFileError, SettingsError

Write = Callable[[str], Path]
ORDERS: dict[str, Any] = {
    "source": "shop",
    "name": "Order Completed",
    "customer_id": {"first_of": ["customer", "email"]},
    "anonymous_id": {"column": "guest", "prefix": "guest-"},
    "occurred_at": "at",
    "event_id": {"from": ["order", "event"]},
    "properties": {
        "order_id": "order",
        "status": "status",
        "total": {"column": "total", "type": "money", "currency": "EUR"},
    },
}
HEADER = "order,customer,email,guest,at,total,status\n"
LINES: dict[str, Any] = {
    "source": "shop",
    "name": "Order Completed",
    "customer_id": "customer",
    "occurred_at": "at",
    "decimal": ",",
    "thousands": ".",
    "group": {
        "by": ["order"],
        "each": {"product_id": "sku", "quantity": {"column": "qty", "type": "integer"}},
    },
    "properties": {
        "order_id": "order",
        "total": {"sum_of": "price", "times": "qty", "type": "money", "currency": "EUR"},
        "items": {"sum_of": "qty", "type": "integer"},
        "coupon": "coupon",
    },
}
LINE_HEADER = "order;customer;at;sku;qty;price;coupon\n"
FIRST = "1;a;2026-05-01;p1;2;1.249,00;\n"
SECOND = "1;;;p2;1;10,50;MAY\n"
OTHER = "2;b;2026-04-01;p1;1;5,00;\n"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: str) -> Path:
        path = tmp_path / "rows.csv"
        path.write_text(content, encoding="utf-8")
        return path

    return write


def read(path: Path, mapping: dict[str, Any], **options: Any) -> tuple[FileConnector, list[dict[str, Any]]]:
    connector = FileConnector(path, parse_mapping(mapping), **options)
    return connector, [json.loads(record.value or b"") for record in connector.records()]


def lines(path: Path, **options: Any) -> tuple[FileConnector, list[dict[str, Any]]]:
    return read(path, {**LINES, "delimiter": ";"}, **options)


@pytest.mark.parametrize("run_records", [1, 1_000])
@pytest.mark.parametrize("at", ["2026-05-01", "2026-05-03"])
def test_the_same_order_with_another_status_is_an_update(write: Write, run_records: int, at: str) -> None:
    first = "17,c,,,2026-05-01,10.00,open\n"
    (before,) = read(write(HEADER + first), ORDERS)[1]
    (after,) = read(write(HEADER + f"17,c,,,{at},10.00,shipped\n"), ORDERS)[1]
    assert before["event_id"] == after["event_id"]
    connector, both = read(write(HEADER + first + f"17,c,,,{at},10.00,shipped\n"), ORDERS, run_records=run_records)
    assert [event["properties"]["status"] for event in both] == ["shipped"]
    report = connector.report
    assert (report.rows, report.accepted, report.events, report.replaced) == (2, 2, 1, 1)


def test_a_key_tells_orders_names_and_sources_apart(write: Write) -> None:
    path = write(HEADER + "17,c,,,2026-05-01,10.00,open\n18,c,,,2026-05-01,10.00,open\n")
    ids = [event["event_id"] for event in read(path, ORDERS)[1]]
    ids += [event["event_id"] for event in read(path, {**ORDERS, "name": "Order Refunded"})[1]]
    ids += [event["event_id"] for event in read(path, {**ORDERS, "source": "other"})[1]]
    assert len(set(ids)) == 6


def test_a_row_without_its_key_is_rejected(write: Write) -> None:
    connector, events = read(write(HEADER + ",c,,,2026-05-01,10.00,open\n"), ORDERS)
    assert events == []
    assert connector.report.rejections[0].field == "event_id"
    assert "column order" in connector.report.rejections[0].problem


def test_an_id_of_the_file_is_taken_unless_it_is_a_number(write: Write) -> None:
    path = write(HEADER + "7f3a-x,c,,,2026-05-01,1,\n17,c,,,2026-05-01,1,\n")
    ids = [event["event_id"] for event in read(path, {**ORDERS, "event_id": "order"})[1]]
    assert ids[0] == "7f3a-x"
    assert len(ids[1]) == 32


@pytest.mark.parametrize("taken", ["ann@example.com", "order-7-ann@example.com", " Ann@Example.com "])
def test_an_id_that_is_taken_tells_no_address(write: Write, taken: str) -> None:
    ((event, *_),) = [read(write(HEADER + f"{taken},c,,,2026-05-01,1,\n"), {**ORDERS, "event_id": "order"})[1]]
    assert "@" not in event["event_id"]


def test_keys_of_rows_are_hashed_with_a_key_where_the_source_has_privacy_rules(write: Write) -> None:
    source = Source(name="shop", privacy=PrivacyRules(drop=("email",)))
    path = write(HEADER + "17,c,,,2026-05-01,10.00,open\n")
    (plain,) = read(path, ORDERS)[1]
    (hashed,) = read(path, ORDERS, door=Door(source, privacy_key=SecretStr("k" * 40)))[1]
    assert plain["event_id"] != hashed["event_id"]
    with pytest.raises(SettingsError, match="CRM_PRIVACY_KEY"):
        read(path, ORDERS, door=Door(source))


def test_guests_are_known_by_their_address_or_their_number(write: Write) -> None:
    rows = (
        "1,0,,g1,2026-05-01,1,\n2,0,,g2,2026-05-01,1,\n3,0, Ann@Example.com ,,2026-05-01,1,\n"
        "4,17850.0,x@example.com,,2026-05-01,1,\n5,guest,bob@example.com,g5,2026-05-01,1,\n6,0,,0,2026-05-01,1,\n"
    )
    connector, events = read(write(HEADER + rows), ORDERS)
    assert [(event.get("customer_id"), event.get("anonymous_id")) for event in events] == [
        (None, "guest-g1"), (None, "guest-g2"), ("ann@example.com", None), ("17850", None),
        ("bob@example.com", "guest-g5"),
    ]  # fmt: skip
    assert [(one.line, one.problem) for one in connector.report.rejections] == [
        (7, "is a placeholder, and there is no other id")
    ]


def test_whole_numbers_are_one_customer_in_every_format(tmp_path: Path, write: Write) -> None:
    mapping = {**ORDERS, "customer_id": {"column": "customer", "prefix": "c-"}, "event_id": {"from": "order"}}
    csv = write(HEADER + "1001,17850.0,,,2026-05-01,1,\n")
    jsonl = tmp_path / "rows.jsonl"
    jsonl.write_text('{"order": 1001.0, "customer": 17850.0, "at": "2026-05-01", "total": 1}\n')
    parquet = tmp_path / "rows.parquet"
    columns = {
        "order": [1001.0, 1002.0], "customer": [17850.0, float("nan")], "email": [None, None], "guest": [None, "g"],
        "at": ["2026-05-01"] * 2, "total": [1.0, 1.0], "status": [None, None],
    }  # fmt: skip
    pq.write_table(pa.table(columns), parquet)
    found = [event for path in (csv, jsonl, parquet) for event in read(path, mapping)[1]]
    assert [event.get("customer_id") for event in found] == ["c-17850"] * 3 + [None]
    assert {event["event_id"] for event in found[:3]} == {found[0]["event_id"]}
    assert found[3]["anonymous_id"] == "guest-g"


@pytest.mark.parametrize("amount", ["5000000000", "-1", "500000000000000000000", "1000001"])
def test_a_count_that_no_event_can_hold_is_left_out_with_a_note(write: Write, amount: str) -> None:
    path = write(LINE_HEADER.replace(";coupon", "") + f"1;a;2026-05-01;p;{amount};1,00\n")
    mapping = {**LINES, "delimiter": ";", "group": {"by": ["order"]}}
    mapping["properties"] = {
        "items": {"sum_of": "qty", "type": "integer"},
        "total": {"column": "price", "type": "money", "currency": "EUR"},
    }
    (event,) = read(path, mapping)[1]
    assert "items" not in event["properties"]
    assert event["properties"]["total"] == 1
    assert event["properties"]["crm_notes"] == ["items: is a number that no event can hold, and is left out"]


@pytest.mark.parametrize("run_records", [1, 1_000])
@pytest.mark.parametrize("rows", [[FIRST, SECOND, OTHER], [FIRST, OTHER, SECOND]])
def test_rows_of_an_order_are_one_event(write: Write, rows: list[str], run_records: int) -> None:
    connector, events = lines(write(LINE_HEADER + "".join(rows)), run_records=run_records)
    assert [event["occurred_at"][:10] for event in events] == ["2026-04-01", "2026-05-01"]
    assert events[1]["customer_id"] == "a"
    assert events[1]["properties"] == {
        "order_id": "1", "total": 2508.5, "currency": "EUR", "items": 3, "coupon": "MAY",
        "products": [{"product_id": "p1", "quantity": 2}, {"product_id": "p2", "quantity": 1}],
    }  # fmt: skip
    assert (connector.report.rows, connector.report.accepted, connector.report.events) == (3, 3, 2)


def test_many_rows_in_any_order_are_the_same_orders(write: Write) -> None:
    rows = [f"{order};c{order};2026-05-01;p{line};1;1,00;\n" for order in range(1, 60) for line in range(5)]
    random.Random(1).shuffle(rows)
    _, events = lines(write(LINE_HEADER + "".join(rows)), run_records=7)
    assert len(events) == len({event["event_id"] for event in events}) == 59
    assert {event["properties"]["items"] for event in events} == {5}


@pytest.mark.parametrize("bad", ["1;;;p2;x;10,50;\n", "1;;;p2;1;1.2;\n"])
@pytest.mark.parametrize("apart", ["", OTHER])
def test_an_order_is_whole_or_rejected(write: Write, bad: str, apart: str) -> None:
    connector, events = lines(write(LINE_HEADER + FIRST + apart + bad))
    assert [event["properties"]["order_id"] for event in events] == ["2"] * bool(apart)
    report = connector.report
    assert (report.rejected, report.accepted, report.rows) == (2, bool(apart), 2 + bool(apart))
    (first, last) = sorted(report.rejections, key=lambda one: one.line)
    assert "another row" in first.problem
    assert "number" in last.problem


@pytest.mark.parametrize("bad", [["0", "2"], ["1"], ["0", "1", "2"]])
def test_the_rows_with_the_fault_are_named_not_the_first(write: Write, bad: list[str]) -> None:
    rows = "".join(f"1;a;2026-05-01;p{at};{'x' if at in bad else '1'};10,00;\n" for at in "012")
    report = lines(write(LINE_HEADER + rows))[0].report
    assert [str(one.line - 2) for one in report.rejections if "another row" not in one.problem] == bad


def test_what_all_rows_of_an_order_lack_is_said_of_each(write: Write) -> None:
    report = lines(write(LINE_HEADER + FIRST.replace(";a;", ";;") + SECOND))[0].report
    assert {(one.field, one.problem) for one in report.rejections} == {("customer_id", "is empty")}
    assert report.rejected == 2


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ([FIRST, "broken\n", SECOND, OTHER], ["2"]),
        ([FIRST, SECOND, "broken\n", OTHER], []),
        ([FIRST, SECOND, OTHER.replace("2;b", "3;b"), "broken\n", OTHER], ["1"]),
        ([FIRST, ";;;p;1;1,00;\n", SECOND, OTHER], ["2"]),
    ],
)
def test_a_line_without_an_order_rejects_those_beside_it(write: Write, rows: list[str], left: list[str]) -> None:
    connector, events = lines(write(LINE_HEADER + "".join(rows)))
    assert [event["properties"]["order_id"] for event in events] == left
    assert connector.report.rejected + connector.report.accepted == len(rows)


def test_groups_are_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "MOST_ROWS", 3)
    connector, events = lines(write(LINE_HEADER + FIRST + SECOND * 3 + OTHER))
    assert [event["properties"]["order_id"] for event in events] == ["2"]
    report = connector.report
    assert report.rejections[0].problem == "has more than 3 rows"
    assert report.rejected + report.accepted == report.rows
    monkeypatch.setattr(groups, "MOST_BROKEN", 2)
    with pytest.raises(InputFileError, match="belong to no group"):
        lines(write(LINE_HEADER + "x\n" * 3))


def test_a_list_that_is_too_large_is_cut_with_a_note(write: Write) -> None:
    rows = "".join(f"1;a;2026-05-01;product-number-{n:08};1;1,00;\n" for n in range(2_000))
    (event,) = lines(write(LINE_HEADER + rows))[1]
    assert event["properties"]["items"] == 2_000
    assert 300 < len(event["properties"]["products"]) < 1_000
    assert "of 2,000" in event["properties"]["crm_notes"][0]


def test_one_row_may_be_several_events(write: Write) -> None:
    mapping = {key: value for key, value in ORDERS.items() if key not in ("name", "occurred_at")} | {
        "traits": {"email": {"column": "email", "lower": "true"}, "name": {"first_of": ["guest", "customer"]}},
        "events": [
            {"name": "Order Completed", "occurred_at": "at"},
            {
                "name": "Order Refunded", "occurred_at": "at", "when": {"status": "refunded"},
                "properties": {"total": {"constant": "3.5", "type": "money", "currency": "EUR"}},
            },
            {"name": "Identify", "occurred_at": "at"},
        ],
    }  # fmt: skip
    rows = "1,c,C@x.de,,2026-05-01,10.00,refunded\n2,d,,,2026-05-02,10.00,paid\n3,e,,,2026-05-03,x,refunded\n"
    connector, events = read(write(HEADER + rows), mapping)
    assert [event["name"] for event in events] == [
        "Order Completed", "Order Refunded", "Identify", "Order Completed", "Identify",
    ]  # fmt: skip
    assert [event["properties"].get("total") for event in events] == [10, 3.5, None, 10, None]
    assert events[2]["properties"] == {"traits": {"email": "c@x.de", "name": "c"}}
    assert len({event["event_id"] for event in events}) == 5
    report = connector.report
    assert (report.accepted, report.rejected, report.events) == (
        2,
        1,
        5,
    )  # the third row has no total: none of it counts


def test_events_of_one_row_without_a_key_have_ids_of_their_own(write: Write) -> None:
    mapping = {key: value for key, value in ORDERS.items() if key not in ("name", "event_id")}
    mapping["events"] = [{"name": "Order Completed"}, {"name": "Order Refunded"}, {"name": "Order Refunded"}]
    _, events = read(write(HEADER + "1,c,,,2026-05-01,10.00,x\n" * 2), mapping)
    assert len({event["event_id"] for event in events}) == 6


def test_a_row_that_is_none_of_the_events_is_left_out(write: Write) -> None:
    mapping = {**ORDERS, "events": [{"unless": {"status": ["", "spam"]}}]}
    connector, events = read(
        write(HEADER + "1,c,,,2026-05-01,1,\n2,c,,,2026-05-01,1,spam\n3,c,,,2026-05-01,1,ok\n"), mapping
    )
    assert [event["properties"]["order_id"] for event in events] == ["3"]
    assert (connector.report.skipped, connector.report.accepted) == (2, 1)


def test_constants_lists_and_fallbacks(write: Write) -> None:
    properties = {
        "channel": {"constant": "web"},
        "test": {"constant": "no", "type": "boolean"},
        "ids": {"list_of": ["guest", "status"]},
        "mark": {"first_of": ["status", "guest"], "lower": "true", "prefix": "m-"},
        "total": {"column": "total", "type": "money", "format": "1.249,00 €"},
    }
    mapping = {**ORDERS, "delimiter": ";", "properties": properties}
    path = write("order;customer;email;guest;at;total;status\n1;c;;G;2026-05-01;1.249,00 €;\n")
    door = Door(Source(name="shop", currency="EUR"))
    (event,) = read(path, mapping, door=door)[1]
    assert event["properties"] == {
        "channel": "web", "test": False, "ids": ["G"], "mark": "m-g", "total": 1249, "currency": "EUR",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ({"lacks": ["spam"]}, ["1", "3"]),
        ({"contains": "vip"}, ["1", "2"]),
        ({"contains": ["vip", "late"], "lacks": "spam"}, ["1"]),
        ({"lacks": "not"}, ["1", "2", "3"]),
    ],
)
def test_conditions_on_the_words_of_a_column(write: Write, condition: dict[str, Any], left: list[str]) -> None:
    path = write(HEADER + "1,c,,,2026-05-01,1,vip late\n2,c,,,2026-05-01,1,late;spam;vip\n3,c,,,2026-05-01,1,notspam\n")
    _, events = read(path, {**ORDERS, "only": {"status": condition}})
    assert [event["properties"]["order_id"] for event in events] == left


@pytest.mark.parametrize(("condition", "told"), [({}, "give contains or lacks"), ({"lack": "x"}, "did you mean lacks")])
def test_a_condition_that_asks_nothing_is_refused(condition: dict[str, Any], told: str) -> None:
    with pytest.raises(InputFileError, match=told):
        parse_mapping({**ORDERS, "only": {"status": condition}})

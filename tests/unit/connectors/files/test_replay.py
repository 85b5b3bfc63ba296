"""Files become events: ids that stay, order by time, and bad rows that are reported and stop nothing."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.files.replay import FileConnector, Progress
from connectors.rows.mapping import parse_mapping
from contracts.errors import InputFileError
from contracts.wire import judge

KEYS: dict[str, Any] = {
    "source": "shop",
    "name": {"column": "kind", "values": {"buy": "Order Completed", "back": "Order Refunded"}},
    "customer_id": {"column": "id", "prefix": "c-"},
    "occurred_at": "at",
    "null": ["", "?"],
    "properties": {
        "total": {"column": "eur", "type": "money", "currency": "EUR", "absolute": "true"},
        "items": {"column": "n", "type": "integer"},
    },
}
HEADER = "id,kind,at,eur,n\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(content: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path: Path, /, run_records: int = 1_000, **keys: Any) -> tuple[FileConnector, list[dict[str, Any]]]:
    connector = FileConnector(path, parse_mapping(KEYS | keys), run_records=run_records)
    return connector, [json.loads(record.value or b"") for record in connector.records()]


def problems(connector: FileConnector) -> list[tuple[int, str, str]]:
    return [(r.line, r.field, r.problem) for r in connector.report.rejections]


def test_a_row_becomes_an_event_of_the_contract(write: Callable[..., Path]) -> None:
    path = write(HEADER + "7,buy,2024-05-01T10:00:00Z,12.5,2\n")
    connector = FileConnector(path, parse_mapping(KEYS), received_at=datetime(2024, 6, 1, tzinfo=UTC))
    (record,) = connector.records()
    event = judge("transaction", record.value)
    assert (record.topic, record.key, record.occurred_at) == ("crm-transactions", b"c-7", 1714557600000000)
    assert event.model_dump(mode="json", exclude={"event_id"}) == {
        "kind": "transaction", "name": "Order Completed", "customer_id": "c-7", "anonymous_id": None,
        "occurred_at": "2024-05-01T10:00:00Z", "received_at": "2024-06-01T00:00:00Z", "source": "shop",
        "properties": {"order_id": None, "total": 12.5, "currency": "EUR", "items": 2}, "schema_version": 1,
    }  # fmt: skip


def test_bad_rows_are_reported_and_stop_nothing(write: Callable[..., Path]) -> None:
    long_ago, good = "1969-12-31", "1,buy,2024-05-01,1,1\n"
    path = write(
        HEADER + good + "?,buy,2024-05-01,1,1\n" + "2,lend,2024-05-01,1,1\n" + "3,buy,yesterday,1,1\n"
        "4,buy,2024-05-01,a lot,1\n" + "5,buy,2024-05-01,?,1\n" + "6,buy,2024-05-01,1,1.5\n"
        f"7,buy,{long_ago},1,1\n" + "8,buy,2999-01-01,1,1\n" + "9,buy\n\n" + "x" * 101 + ",buy,2024-05-01,1,1\n"
        "10,buy,2024-05-01,1e12,1\n" + "11,back,2024-05-02,-3,1\n"
    )
    connector, events = read(path)
    assert [(e["customer_id"], e["properties"]["total"]) for e in events] == [("c-1", 1.0), ("c-11", 3.0)]
    assert problems(connector) == [
        (3, "customer_id", "is empty"),
        (4, "name", "is not given by the mapping for the value of column kind"),
        (5, "occurred_at", "is not a time in the format ISO 8601, like 2024-05-31 or 2024-05-31T10:00:00Z"),
        (6, "properties.total", "is not a number"),
        (7, "properties.total", "is required for 'Order Completed'"),
        (8, "properties.items", "is not a whole number"),
        (9, "occurred_at", "lies before 1970"),
        (10, "occurred_at", "lies more than 24 hours after received_at"),
        (11, "row", "has 2 columns where 5 are expected"),
        (13, "customer_id", "string should have at most 100 characters"),
        (14, "properties.total", "input should be less than or equal to 100000000000"),
    ]
    report = connector.report
    assert (report.rows, report.accepted, report.skipped, report.rejected) == (13, 2, 0, 11)


def test_bytes_that_are_no_text_reject_their_row_only(write: Callable[..., Path]) -> None:
    connector, events = read(write(HEADER.encode() + b"\xff\xfe,buy,2024-05-01,1,1\n2,buy,2024-05-01,1,1\n"))
    assert [e["customer_id"] for e in events] == ["c-2"]
    ((line, field, problem),) = problems(connector)
    assert (line, field) == (2, "row")
    assert problem.startswith("is not in the mapping's encoding (utf-8)")


def test_lines_are_those_of_the_file_even_after_fields_with_line_breaks(write: Callable[..., Path]) -> None:
    connector, events = read(write(HEADER + '"a\nb",buy,2024-05-01,1,1\n' + "2,buy,never,1,1\n"))
    assert events == []
    assert [line for line, _, _ in problems(connector)] == [2, 4]


def test_a_quote_that_never_ends_costs_one_row(write: Callable[..., Path]) -> None:
    endless = '2,"buy,2024-05-01,1,1\n' + "3,buy,2024-05-01,1,1\n" * 8_000
    connector, events = read(write(HEADER + "1,buy,2024-05-01,1,1\n" + endless), run_records=10_000)
    assert problems(connector) == [(3, "row", "has a quote that is not closed")]
    assert len(events) == 8_001


SOME_ROWS = ["1,buy,2024-05-01,1,1", "1,buy,2024-05-02,1,1", "2,buy,2024-05-01,1,1"]
ROWS = st.lists(st.sampled_from(SOME_ROWS), max_size=9)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, added=ROWS, run_records=st.integers(1, 10))
def test_ids_law(tmp_path_factory: pytest.TempPathFactory, rows: list[str], added: list[str], run_records: int) -> None:
    """Read twice: the same ids. Equal rows stay apart; added rows and spilling change no id."""
    path = tmp_path_factory.mktemp("ids") / "rows.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    first = [e["event_id"] for e in read(path)[1]]
    assert [e["event_id"] for e in read(path, run_records=run_records)[1]] == first
    assert len(set(first)) == len(rows)
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows + added), encoding="utf-8")
    longer = {e["event_id"] for e in read(path)[1]}
    assert set(first) <= longer
    assert len(longer) == len(rows) + len(added)


def test_another_source_gives_other_ids(write: Callable[..., Path]) -> None:
    path = write(HEADER + "1,buy,2024-05-01,1,1\n")
    assert read(path)[1][0]["event_id"] != read(path, source="other")[1][0]["event_id"]


@settings(max_examples=30, deadline=None)
@given(days=st.lists(st.integers(1, 28), max_size=30), run_records=st.integers(1, 8))
def test_order_is_by_time_then_line(
    tmp_path_factory: pytest.TempPathFactory, days: list[int], run_records: int
) -> None:
    path = tmp_path_factory.mktemp("order") / "rows.csv"
    rows = [f"{number},buy,2024-05-{day:02},1,1\n" for number, day in enumerate(days, 1)]
    path.write_text(HEADER + "".join(rows), encoding="utf-8")
    found = [e["customer_id"] for e in read(path, run_records=run_records)[1]]
    assert found == [f"c-{n}" for _, n in sorted((day, n) for n, day in enumerate(days, 1))]


def test_spilled_runs_leave_nothing_behind(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(HEADER + "".join(f"{n},buy,2024-05-01,1,1\n" for n in range(10)))
    spool = tmp_path / "spool"
    spool.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spool))
    records = FileConnector(path, parse_mapping(KEYS), run_records=3).records()
    next(records)
    assert list(spool.iterdir())
    records.close()  # type: ignore[attr-defined]
    assert not list(spool.iterdir())


DOCUMENTS = [
    {"id": 1, "kind": "buy", "at": "2024-05-01T00:00:00Z", "order": {"eur": 2.25}, "n": 3},
    {"id": 2, "kind": "back", "at": "2024-05-02T00:00:00Z", "order": {"eur": 1}, "n": None},
]
NESTED = {"properties": {
    "total": {"column": "order.eur", "type": "money", "currency": {"column": "order.cur"}},
    "items": {"column": "n", "type": "integer"},
}}  # fmt: skip


def test_json_lines_with_paths_and_broken_lines(write: Callable[..., Path]) -> None:
    with_currency = [d | {"order": {**d["order"], "cur": "EUR"}} for d in DOCUMENTS]  # type: ignore[dict-item]
    lines = [*map(json.dumps, with_currency), "[1]", "{", "", json.dumps(DOCUMENTS[0] | {"id": {"a": 1}})]
    connector, events = read(write("\n".join(lines), "rows.jsonl"), **NESTED)
    assert [e["properties"] for e in events] == [
        {"total": 2.25, "currency": "EUR", "items": 3}, {"total": 1.0, "currency": "EUR"},
    ]  # fmt: skip
    assert problems(connector) == [
        (3, "row", "is not a JSON object"),
        (4, "row", "is not a JSON object"),
        (6, "customer_id", "is a structure, not a plain value"),
    ]


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    at = pa.array([1714557600_000_000_001, 1714557600_000_000_001, None], pa.timestamp("ns"))
    pq.write_table(
        pa.table({"id": [1, 1, 2], "kind": ["buy"] * 3, "at": at, "eur": [1.5, 1.5, 2.0], "n": [1, 1, None]}), path
    )
    connector, events = read(path)
    assert [(e["customer_id"], e["occurred_at"]) for e in events] == [("c-1", "2024-05-01T10:00:00Z")] * 2
    assert len({e["event_id"] for e in events}) == 2
    assert problems(connector) == [(3, "occurred_at", "is empty")]


def test_gz_is_recognised_and_a_cut_one_refused(write: Callable[..., Path]) -> None:
    packed = gzip.compress((HEADER + "".join(f"{n},buy,2024-05-01,1,1\n" for n in range(1, 501))).encode())
    assert len(read(write(packed, "rows.csv"))[1]) == 500
    with pytest.raises(InputFileError, match="cut off"):
        read(write(packed[: len(packed) // 2], "rows.csv"))


@pytest.mark.parametrize(
    ("content", "keys", "told"),
    [
        (HEADER, {"customer_id": "nobody"}, "has no column 'nobody'"),
        ("", {}, "rows.csv is empty"),
        ("\n", {}, "rows.csv has no header line"),
        ("\x89PNG\r\n\x1a\n\0\0", {}, "it is no text"),
        (b"PAR1 or not", {"format": "parquet"}, "format is damaged"),
    ],
)
def test_files_that_cannot_be_read(
    write: Callable[..., Path], content: str | bytes, keys: dict[str, Any], told: str
) -> None:
    with pytest.raises(InputFileError, match=told):
        read(write(content), **keys)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        read(tmp_path / "none.csv")


def test_forms_of_csv(write: Callable[..., Path]) -> None:
    blanks = write("  1 buy  2024-05-01 1 1\n")
    columns = ["id", "kind", "at", "eur", "n"]
    assert read(blanks, delimiter="whitespace", columns=columns)[1][0]["customer_id"] == "c-1"
    tabs = write("id\tkind\tat\teur\tn\n1\tbuy\t2024-05-01\t1,5\t1\n".encode("utf-16"))
    assert read(tabs, delimiter="tab", encoding="utf-16", decimal=",")[1][0]["properties"]["total"] == 1.5
    quotes = write(HEADER + '"1,buy,2024-05-01,1,1\n')
    assert read(quotes, quote="")[1][0]["customer_id"] == 'c-"1'
    bom = write("\ufeff" + HEADER + "1,buy,2024-05-01,1,1\n")
    assert len(read(bom)[1]) == 1


def test_only_some_rows_and_a_time_in_two_columns(write: Callable[..., Path]) -> None:
    path = write("id,day,time,state,state\n1,1.5.2024,10:00,open,x\n2,1.5.2024,11:00,paid,y\n")
    connector, events = read(
        path,
        name="Page Viewed",
        only={"state": "paid"},
        occurred_at={"columns": ["day", "time"], "format": "%d.%m.%Y %H:%M"},
        properties={"state": "state_2"},
    )
    assert [(e["occurred_at"], e["properties"]) for e in events] == [("2024-05-01T11:00:00Z", {"state": "y"})]
    assert (connector.report.rows, connector.report.skipped) == (2, 1)


def test_rules_name_rows_by_what_came_before(write: Callable[..., Path]) -> None:
    rules = [
        {"name": "Ticket Opened", "first": ["ticket"]},
        {"name": "Ticket Solved", "when": {"state": ["done"]}, "first": ["ticket"]},
        {"name": "Ticket Updated", "unless": {"state": ["lost"]}},
    ]
    rows = ["a,2024-05-01,new", "a,2024-05-02,done", "a,2024-05-03,done", "a,2024-05-04,lost", "b,2024-05-05,done"]
    path = write("id,ticket,at,state\n" + "".join(f"1,{row}\n" for row in rows))
    connector, events = read(path, name={"rules": rules}, properties={"ticket_id": "ticket"})
    assert [e["name"] for e in events] == ["Ticket Opened", "Ticket Solved", "Ticket Updated", "Ticket Opened"]
    assert problems(connector) == [(5, "name", "is given by none of the mapping's rules")]


def test_progress_ends_with_the_whole_file(write: Callable[..., Path]) -> None:
    path = write(HEADER + "1,buy,2024-05-01,1,1\n" * 5_000)
    seen: list[Progress] = []
    connector = FileConnector(path, parse_mapping(KEYS), on_progress=seen.append)
    assert len(list(connector.records())) == 5_000
    size = path.stat().st_size
    assert [p.rows for p in seen] == [2_000, 4_000, 5_000]
    assert seen[-1] == Progress(5_000, size, size)


def test_a_file_that_is_read_again_gives_the_same_records_but_keyed_rows_arrive_anew(
    write: Callable[..., Path],
) -> None:
    path = write(HEADER + "7,buy,2024-05-01T10:00:00Z,12.5,2\n")

    def received(**keys: Any) -> list[str]:
        return [read(path, **keys)[1][0]["received_at"] for _ in "12"]

    assert received() == ["2024-05-01T10:00:00Z"] * 2
    first, second = received(event_id={"from": ["id", "event"]})
    assert "2024-05-01" < first < second

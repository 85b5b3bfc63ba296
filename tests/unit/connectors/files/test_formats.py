"""Encodings, JSON arrays and spreadsheets: read as they are, or refused with what to do."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from support.sheets import sheet, table_document

from connectors.files import json_rows
from connectors.files.readers import BrokenRow, RawRow, open_table
from connectors.files.replay import FileConnector
from connectors.rows.mapping import parse_mapping
from contracts.errors import InputFileError

KEYS: dict[str, Any] = {"source": "shop", "name": "Order Completed", "customer_id": "id", "occurred_at": "at",
                        "properties": {"total": {"column": "eur", "type": "money", "currency": "EUR"}}}  # fmt: skip
CSV = "id,at,eur\nMüller,2026-05-01,10.50\nb,2026-05-02,2\n"


def events(path: Path, **keys: Any) -> tuple[FileConnector, list[dict[str, Any]]]:
    connector = FileConnector(path, parse_mapping(KEYS | keys))
    return connector, [json.loads(record.value or b"") for record in connector.records()]


def rows(path: Path, *wanted: str, **keys: Any) -> list[Any]:
    with open_table(path, parse_mapping(KEYS | keys), wanted) as table:
        return [(row.line, list(row.values) if isinstance(row, RawRow) else None) for row in table.rows]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("declared", ["utf-8", "cp1252"])
def test_a_byte_order_mark_decides_the_encoding(tmp_path: Path, encoding: str, declared: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((CSV if encoding in ("utf-8-sig", "utf-16", "utf-32") else "\ufeff" + CSV).encode(encoding))
    connector, found = events(path, encoding=declared)
    assert [event["customer_id"] for event in found] == ["Müller", "b"]
    assert connector.report.rejected == 0


def test_a_wrong_encoding_is_answered_with_a_proposal(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV.encode("cp1252"))
    connector, found = events(path)
    assert [event["customer_id"] for event in found] == ["b"]
    (rejection,) = connector.report.rejections
    assert rejection.line == 2
    assert "it looks like cp1252" in rejection.problem
    assert "set `encoding: cp1252`" in rejection.problem
    assert "Müller" not in rejection.problem
    assert len(events(path, encoding="cp1252")[1]) == 2


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "cp1250"])
def test_utf_8_under_another_name_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV, encoding="utf-8")
    with pytest.raises(InputFileError, match="The file is in UTF-8"):
        events(path, encoding=encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_proposed(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(CSV.encode(encoding))
    with pytest.raises(InputFileError, match=f"set `encoding: {encoding}`"):
        events(path)
    assert len(events(path, encoding=encoding)[1]) == 2


def test_a_row_with_a_nul_character_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV + "c\0,2026-05-03,1\n", encoding="utf-8")
    connector, found = events(path)
    assert len(found) == 2
    assert [(one.line, one.problem) for one in connector.report.rejections] == [(4, "holds a NUL character")]


def test_a_header_in_another_encoding_is_answered_with_a_proposal(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("id,at,eur,Größe\n1,2026-05-01,1,2\n".encode("cp1252"))
    with pytest.raises(InputFileError, match="set `encoding: cp1252`"):
        rows(path, "Größe")


@pytest.mark.parametrize("first", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_the_separator_that_excel_writes_holds(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(first + CSV.replace(",", ";"), encoding="utf-8", newline="")
    connector, found = events(path)
    assert (len(found), connector.report.rejected) == (2, 0)


def test_another_separator_is_proposed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV.replace(",", ";"), encoding="utf-8")
    with pytest.raises(InputFileError, match='set `delimiter: ";"`'):
        events(path)


ORDERS = [
    {"id": "a", "at": "2026-05-01", "eur": "1", "x": {"y": [{"z": '}]"\\'}]}},
    {"id": "b", "at": "2026-05-02", "eur": 2},
]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ORDERS),
        json.dumps(ORDERS, indent=2),
        "\ufeff \n" + json.dumps({"count": 2, "orders": ORDERS, "next": {"page": [1, "]"]}}),
        json.dumps({"tags": ["x", "y"], "data": ORDERS}),
        "\n".join(json.dumps(one) for one in ORDERS),
    ],
)
@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_arrays_of_json_objects(tmp_path: Path, text: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "_BLOCK", block)
    path = tmp_path / "orders.json"
    path.write_text(text, encoding="utf-8")
    assert rows(path, "id", "at") == [(1, ["a", "2026-05-01"]), (2, ["b", "2026-05-02"])]
    packed = tmp_path / "orders.json.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert len(events(packed)[1]) == 2


def test_json_in_utf_16(tmp_path: Path) -> None:
    for name, text in (("a.json", json.dumps(ORDERS)), ("b.jsonl", "\n".join(map(json.dumps, ORDERS)))):
        path = tmp_path / name
        path.write_text(text, encoding="utf-16")
        assert [values for _, values in rows(path, "id")] == [["a"], ["b"]]


def test_one_json_object_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "order.json"
    path.write_text(json.dumps(ORDERS[1], indent=1), encoding="utf-8")
    assert rows(path, "id") == [(1, ["b"])]


def test_a_broken_object_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    path.write_text('[{"id": "a"}, {"id": oops}, {"id": "b"}]', encoding="utf-8")
    with open_table(path, parse_mapping(KEYS), ["id"]) as table:
        found = list(table.rows)
    assert [type(row) for row in found] == [RawRow, BrokenRow, RawRow]
    assert found[1].line == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (json.dumps(ORDERS)[:-1], "cut off"),
        (json.dumps(ORDERS)[:-20], "cut off"),
        (json.dumps({"orders": ORDERS})[:-1], "cut off"),
        (json.dumps(ORDERS) + "x", "goes on after"),
        ("[1, 2]", "something other than objects"),
        ('[{"id": 1} {"id": 2}]', "something other than objects"),
        ('{"a": [{"id": 1}], "b": [{"id": 2}]}', "several lists"),
        ("id,at\n", "no JSON"),
        ("", "no JSON"),
    ],
)
def test_json_that_is_not_whole_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "orders.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=problem):
        rows(path, "id")


def test_json_lines_that_are_cut_off_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.jsonl"
    path.write_text('{"id": "a"}\n{"id": "b', encoding="utf-8")
    with pytest.raises(InputFileError, match="cut off"):
        rows(path, "id")


def test_a_spreadsheet_is_read_with_its_dates_and_whole_numbers(tmp_path: Path) -> None:
    header = [("s", "id"), ("s", "at"), ("s", "eur")]
    path = sheet(tmp_path / "orders.xlsx", [header, [("n", "17850"), ("d", "46143.5"), ("n", "12.5")],
                                            [("n", ""), ("n", ""), ("n", "")],
                                            [("s", "b"), ("s", "2026-05-02"), ("n", "2")]])  # fmt: skip
    connector, found = events(path)
    assert connector.report.rejections == []
    assert [(e["customer_id"], e["occurred_at"], e["properties"]["total"]) for e in found] == [
        ("17850", "2026-05-01T12:00:00Z", 12.5), ("b", "2026-05-02T00:00:00Z", 2.0),
    ]  # fmt: skip
    renamed = path.rename(tmp_path / "orders.csv")  # known by its content
    assert [line for line, _ in rows(renamed, "id")] == [2, 4]


def test_rows_keep_the_numbers_that_the_spreadsheet_shows(tmp_path: Path) -> None:
    """Also where the table begins further down and to the right."""
    empty = [("n", "")]
    cells = [[], empty, [*empty, ("s", "id"), ("s", "at")], [*empty, ("n", "7"), ("s", "2026-05-01")]]
    path = sheet(tmp_path / "orders.xlsx", cells)
    assert rows(path, "id", "at") == [(4, [7, "2026-05-01"])]


def test_a_table_of_open_office(tmp_path: Path) -> None:
    path = table_document(tmp_path / "orders.ods", [["id", "at", "eur"], [17850, "2026-05-01", 12.5]])
    (event,) = events(path)[1]
    assert (event["customer_id"], event["properties"]["total"]) == ("17850", 12.5)


def test_another_sheet_is_named(tmp_path: Path) -> None:
    path = sheet(tmp_path / "orders.xlsx", [[("s", "id")], [("n", "7")]])
    assert rows(path, "id", sheet="Orders") == [(2, [7])]
    with pytest.raises(InputFileError, match="no sheet 'Customers'"):
        rows(path, "id", sheet="Customers")


def test_what_is_no_spreadsheet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "orders.xlsx"
    path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputFileError, match="no spreadsheet"):
        rows(path, "id")

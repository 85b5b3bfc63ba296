"""A mapping is proposed for files as shops write them, in several languages, and what it makes of them is right."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.sheets import sheet
from support.woo import woo_export

from connectors.door.door import Door
from connectors.files.replay import FileConnector
from connectors.guess.proposal import Proposal, propose
from connectors.guess.wishes import Wishes
from connectors.rows.mapping import load_mapping, shipped_mappings
from connectors.sources.source import Source
from contracts.errors import InputFileError

SAMPLES = Path(__file__).parents[4] / "docs" / "sources" / "samples"


def proposal(path: Path, **wishes: Any) -> Proposal:
    return propose(path, path.with_suffix(".yaml"), Wishes(**{"default_currency": "EUR"} | wishes))


def events(path: Path, found: Proposal) -> list[dict[str, Any]]:
    """Give the events in the file, which must all be accepted."""
    mapping = path.with_suffix(".yaml")
    mapping.write_text(found.text, encoding="utf-8")
    connector = FileConnector(path, load_mapping(str(mapping)), door=Door(Source(name=found.mapping.source)))
    read = [json.loads(record.value or b"") for record in connector.records()]
    assert connector.report.rejections == []
    return read


def short(path: Path, **wishes: Any) -> set[tuple[object, ...]]:
    """Give the events as: name, customer, day, total, currency, items; without those that say who somebody is."""
    return {
        (
            event["name"].removeprefix("Order "), event["customer_id"], event["occurred_at"][:10],
            event["properties"].get("total"), event["properties"].get("currency"), event["properties"].get("items"),
        )
        for event in events(path, proposal(path, **wishes)) if event["kind"] != "identity"
    }  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str, name: str = "orders.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


GERMAN = """Bestell-Nr.;Bestelldatum;Kundennummer;E-Mail-Adresse;Artikel;Menge;Einzelpreis;Gesamtbetrag (EUR);Status
1001;03.05.2026 10:15;K-17;Jörg@example.de;Kühltasche;2;12,50;25,00;Abgeschlossen
1002;14.05.2026 11:00;K-18;anna@example.de;Stühle;1;1.249,00;1.249,00;Storniert
1003;15.05.2026 11:00;K-17;jörg@example.de;Stühle;1;1.249,00;1.249,00;Erstattet
1004;16.05.2026 11:00;K-19;mia@example.de;Stühle;1;1.249,00;1.249,00;Zahlung ausstehend
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_german(file: Any, encoding: str) -> None:
    assert short(file(GERMAN, encoding=encoding)) == {
        ("Completed", "K-17", "2026-05-03", 25.0, "EUR", 2),
        ("Cancelled", "K-18", "2026-05-14", None, None, None),
        ("Completed", "K-17", "2026-05-15", 1249.0, "EUR", 1),
        ("Refunded", "K-17", "2026-05-15", 1249.0, "EUR", None),
    }


FRENCH = """Numéro de commande;Date;Client;Courriel;Désignation;Quantité;Prix unitaire;Statut
C1;31/05/2026;17;a@example.fr;Thé;2;12,50 €;Terminée
C1;31/05/2026;17;a@example.fr;Pot;1;34,90 €;Terminée
C2;01/06/2026;0;B@example.fr;Pot;1;34,90 €;Terminée
C3;01/06/2026;18;c@example.fr;Pot;1;34,90 €;Annulée
"""


def test_french_with_several_rows_per_order_and_no_total(file: Any) -> None:
    assert short(file(FRENCH)) == {
        ("Completed", "17", "2026-05-31", 59.9, "EUR", 3),
        ("Completed", "b@example.fr", "2026-06-01", 34.9, "EUR", 1),
        ("Cancelled", "18", "2026-06-01", None, None, None),
    }


def test_spanish_with_a_column_of_currencies_and_two_readings_of_its_dates(file: Any) -> None:
    path = file('N.º pedido,Fecha de pedido,Cliente,Importe total,Moneda\n1,05/06/2026,C1,"1.249,50",EUR\n2,05/07/2026,C2,"12,00",USD\n')  # noqa: E501
    assert short(path) == {
        ("Completed", "C1", "2026-06-05", 1249.5, "EUR", None), ("Completed", "C2", "2026-07-05", 12.0, "USD", None),
    }  # fmt: skip
    assert any("05 June 2026" in doubt for doubt in proposal(path).doubts)


def test_american(file: Any) -> None:
    path = file('OrderID,Order Date,Customer Name,Customer Email,Amount\n1,05/31/2026 2:15 PM,Ann Lee,ann@example.com,"$1,249.50"\n2,06/01/2026 11:00 AM,Bob Ray,bob@example.com,$12.00\n')  # noqa: E501
    assert short(path) == {
        ("Completed", "ann@example.com", "2026-05-31", 1249.5, "USD", None),
        ("Completed", "bob@example.com", "2026-06-01", 12.0, "USD", None),
    }
    assert any("'$' may be several currencies" in doubt for doubt in proposal(path).doubts)


def test_numbers_of_customers_from_pandas(file: Any) -> None:
    path = file("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID\n536365,85123A,HEART,6,12/13/2010 8:26,2.5,17850.0\n536365,71053,LANTERN,2,12/13/2010 8:26,3.5,17850.0\n")  # noqa: E501
    assert short(path) == {("Completed", "17850", "2010-12-13", 22.0, "EUR", 8)}


def test_returns_are_rows_of_their_own(file: Any) -> None:
    path = file("customer,type,day,amount\n1,Sale,2026-05-01,10\n1,Return,2026-05-03,-4\n")
    assert short(path) == {
        ("Completed", "1", "2026-05-01", 10.0, "EUR", None), ("Refunded", "1", "2026-05-03", 4.0, "EUR", None),
    }  # fmt: skip


def test_json_with_paths(file: Any) -> None:
    order = {"id": 1, "created_at": "2026-05-01T10:00:00+02:00", "total_price": "12.50", "currency": "EUR",
             "customer": {"id": 77, "email": "a@example.com"}}  # fmt: skip
    path = file(json.dumps({"orders": [order]}), "orders.json")
    assert short(path, roles={"order": "id", "customer": "customer.id"}) == {
        ("Completed", "77", "2026-05-01", 12.5, "EUR", None)
    }


def test_parquet_with_times_and_numbers(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    times = [datetime(2026, 5, 1, 10, tzinfo=UTC)] * 2
    pq.write_table(pa.table({"customer_id": [17850.0, 13047.0], "order_date": times, "total": [12.5, 3.0]}), path)
    assert short(path, currency="CHF") == {
        ("Completed", "17850", "2026-05-01", 12.5, "CHF", None), ("Completed", "13047", "2026-05-01", 3.0, "CHF", None),
    }  # fmt: skip


def test_columns_between_blanks_are_a_known_file(file: Any) -> None:
    text = "customer_id date number_of_cds dollar_value\n00001 19970101  1  11.77\n00002 19970112  1  12.00\n"
    path = file(text, "x.txt")
    assert proposal(path).shipped == "cdnow"
    assert ("Completed", "00001", "1997-01-01", 11.77, "USD", 1) in short(path)


def test_a_spreadsheet(tmp_path: Path) -> None:
    head = [("s", name) for name in ("Bestellnummer", "Datum", "Kundennummer", "Menge", "Betrag")]
    row = [("n", "1"), ("d", "46143.5"), ("n", "17850"), ("n", "2"), ("n", "12.5")]
    path = sheet(tmp_path / "orders.xlsx", [head, row])
    assert short(path) == {("Completed", "17850", "2026-05-01", 12.5, "EUR", 2)}


def test_a_shops_own_export(tmp_path: Path) -> None:
    export = woo_export(datetime(2026, 6, 1, tzinfo=UTC))
    path = tmp_path / "woo-2026-06.csv"
    path.write_bytes(export.content)
    found = proposal(path)
    assert (found.mapping.source, found.shipped) == ("woo", None)
    read = events(path, found)
    for name, field in (("Order Completed", "revenue"), ("Order Refunded", "refunded")):
        sums: dict[str, float] = {}
        for event in read:
            if event["name"] == name:
                customer = event["customer_id"]
                sums[customer] = round(sums.get(customer, 0) + event["properties"]["total"], 2)
        expected = {who: float(getattr(truth, field)) for who, truth in export.truth.items()}
        assert sums == {who: amount for who, amount in expected.items() if amount}
    assert {event["properties"]["currency"] for event in read if event["name"] == "Order Completed"} == {"EUR"}


@pytest.mark.parametrize("name", [name for name in shipped_mappings() if "-" in name])
def test_known_exports_get_the_shipped_mapping(name: str, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes((SAMPLES / f"{name}.csv").read_bytes())
    found = proposal(path)
    assert found.shipped == name
    assert len(events(path, found)) >= 5


def test_a_file_with_the_columns_of_a_shipped_mapping_but_other_values_is_guessed(file: Any) -> None:
    path = file("customer_id,kind,ts,amount,items\n7,Verkauf,2026-05-01,3,1\n7,Retoure,2026-05-02,-3,1\n")
    assert proposal(path).shipped is None
    assert short(path) == {
        ("Completed", "7", "2026-05-01", 3.0, "EUR", 1), ("Refunded", "7", "2026-05-02", 3.0, "EUR", None),
    }  # fmt: skip


def test_a_known_export_that_is_written_otherwise(tmp_path: Path) -> None:
    """Semicolons, decimal commas, another form of dates, Windows' encoding: what a German Excel makes of it."""
    with (SAMPLES / "woocommerce-orders.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    head = rows[0]
    for row in rows[1:]:
        for column in ("Order Total Amount", "Order Refund Amount", "Item Cost"):
            row[head.index(column)] = row[head.index(column)].replace(".", ",")
        day = datetime.fromisoformat(row[head.index("Order Date")])
        row[head.index("Order Date")] = f"{day:%d.%m.%Y %H:%M}"
        row[head.index("City (Billing)")] = "Köln"
    path = tmp_path / "export.csv"
    path.write_bytes("\r\n".join(";".join(row) for row in rows).encode("cp1252"))
    found = proposal(path, currency="CHF")
    assert found.shipped == "woocommerce-orders"
    assert short(path, currency="CHF") >= {
        ("Completed", "ana@example.com", "2026-03-02", 59.9, "CHF", 3),
        ("Refunded", "ben@example.com", "2026-03-05", 24.0, "CHF", None),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("date,amount,name\n2026-05-01,3,Ann Lee\n", "identifies customers .the names in 'name' do not"),
        ("date,amount\n2026-05-01,3\n", "identifies customers: it needs"),
        ("customer_id,amount\n1,3\n", "no column with the date"),
        ("customer_id,date,amount\n1,2026-05-01,3\n2,01.05.2026,4\n", "several formats"),
        ("customer_id,date,page\n1,2026-05-01,x\n", "no column with an amount"),
        ("1,2026-05-01,10\n2,2026-05-02,11\n", "no header line"),
        ("Ann Lee;01.05.2026;Berlin\nBob Ray;02.05.2026;Rome\n", "no header line"),
        ("ann@example.com,Berlin\nbob@example.com,Rome\n", "no header line"),
        ("customer_id,date,amount\n", "no row"),
        ("", "no header line"),
    ],
)
def test_files_without_what_is_needed_are_refused_politely(file: Any, text: str, problem: str) -> None:
    with pytest.raises(InputFileError, match=problem):
        proposal(file(text))


@pytest.mark.parametrize("name", ["orders", "magento-orders"])
def test_amounts_without_a_currency_need_one_that_somebody_says(file: Any, name: str) -> None:
    shipped = SAMPLES / f"{name}.csv"
    text = shipped.read_text(encoding="utf-8") if shipped.exists() else "customer_id,date,amount\n1,2026-05-01,3\n"
    path = file(text)
    with pytest.raises(InputFileError, match="--currency EUR"):
        proposal(path, default_currency=None)
    assert proposal(path, default_currency=None, currency="EUR").text.count("EUR") > 0
    assert any("taken for CHF" in doubt for doubt in proposal(path, default_currency="CHF").doubts)


def test_a_column_that_somebody_names_is_taken(file: Any) -> None:
    path = file("Karte Nr,Stichtag,Wert\n7,2026-05-01,3\n")
    with pytest.raises(InputFileError, match="no role 'x'"):
        proposal(path, roles={"x": "Wert"})
    with pytest.raises(InputFileError, match="no column 'Werte'"):
        proposal(path, roles={"total": "Werte"})
    roles = {"customer": "Karte Nr", "date": "Stichtag", "total": "Wert"}
    assert short(path, roles=roles) == {("Completed", "7", "2026-05-01", 3.0, "EUR", None)}


@pytest.mark.parametrize("inside", ["total.currency", "currency", "price.currency"])
def test_json_with_an_id_a_currency_and_lists(file: Any, inside: str) -> None:
    orders = []
    for number in (7, 8):
        order: dict[str, Any] = {"id": number, "created_at": "2026-05-01T10:00:00Z", "customer": {"id": 3}}
        order["total"] = {"amount": "12.50"}
        outer, _, last = inside.rpartition(".")
        (order.setdefault(outer, {}) if outer else order)[last] = "GBP"
        orders.append({**order, "line_items": [{"sku": "a"}]})
    path = file(json.dumps(orders), "orders.json")
    found = proposal(path)
    assert found.doubts == ["Lists in an object are not read: line_items."]
    assert [(e["properties"]["order_id"], e["properties"]["currency"]) for e in events(path, found)] == [
        ("7", "GBP"), ("8", "GBP"),
    ]  # fmt: skip


@pytest.mark.parametrize("ids", [("1", "1"), ("", "2")])
def test_an_id_that_does_not_tell_rows_apart_is_no_order(file: Any, ids: tuple[str, str]) -> None:
    path = file("id,customer,date,total\n" + "".join(f"{one},c,2026-05-0{at + 1},5.00\n" for at, one in enumerate(ids)))
    assert any("number of an order" in doubt for doubt in proposal(path).doubts)

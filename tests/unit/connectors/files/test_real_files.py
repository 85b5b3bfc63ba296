"""The shipped mappings read the real files to the last row."""

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

from support.data import real

from connectors.files.replay import FileConnector
from connectors.rows.mapping import load_mapping
from contracts.wire import judge


def test_every_cdnow_purchase_is_read() -> None:
    connector = FileConnector(real("data/cdnow/CDNOW_master.txt"), load_mapping("cdnow"))
    records = list(connector.records())
    events = [json.loads(record.value or b"") for record in records]
    assert len(events) == connector.report.rows == 69_659
    assert len({event["event_id"] for event in events}) == 69_659
    assert len({event["customer_id"] for event in events}) == 23_570
    assert sum(Decimal(repr(event["properties"]["total"])) for event in events) == Decimal("2500315.63")
    for record in records[::5_000]:
        judge("transaction", record.value)


def test_every_incident_is_read_or_reported() -> None:
    connector = FileConnector(real("data/incidents/incident_event_log.csv.gz"), load_mapping("incidents"))
    names = Counter(json.loads(record.value or b"")["name"] for record in connector.records())
    assert connector.report.rows == 141_712
    assert connector.report.problems == {
        ("customer_id", "is empty"): 29,
        ("properties.state", "is none of the values that the mapping allows"): 5,
        ("occurred_at", "lies before opened_at"): 5,
    }
    assert [r.line for r in connector.report.rejections if r.field == "properties.state"] == [
        115_643, 115_644, 124_509, 124_510, 124_511,
    ]  # fmt: skip
    assert names == {
        "Ticket Opened": 24_915,
        "Ticket Solved": 25_243,
        "Ticket Reopened": 331,
        "Ticket Updated": 91_184,
    }


def test_a_purchase_history_with_returns_is_read(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(
        "customer_id,kind,ts,amount,items\n00001,purchase,1997-01-01,11.77,1\n00001,return,1997-01-05 08:30:00,-5,\n"
    )
    events = [json.loads(r.value or b"") for r in FileConnector(path, load_mapping("purchases")).records()]
    assert [(e["name"], e["occurred_at"], e["properties"]) for e in events] == [
        ("Order Completed", "1997-01-01T00:00:00Z", {"total": 11.77, "currency": "USD", "items": 1}),
        ("Order Refunded", "1997-01-05T08:30:00Z", {"total": 5.0, "currency": "USD"}),
    ]

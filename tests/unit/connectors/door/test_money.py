"""Money at the door: no event is refused for its currency, and the first order decides the base currency."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.door.door import Door
from connectors.door.money import BASE_NOTE, NO_NOTE, MoneyGate
from connectors.door.properties import LETTERS_NOTE
from connectors.protocol import Record
from connectors.rows.convert import RowConverter
from connectors.rows.mapping import Mapping
from connectors.sources.source import Source
from contracts.base_currency import BY_FIRST_ORDER, BY_INIT, Decision, decide, read_decision
from contracts.refused import REFUSED_KEY

NOW = datetime(2026, 5, 1, tzinfo=UTC)
EURO = Decision("EUR", BY_INIT)


def order(name: str = "Order Completed", **properties: Any) -> dict[str, object]:
    return {"event_id": "e-1", "name": name, "customer_id": "c-1", "occurred_at": NOW, "received_at": NOW,
            "properties": properties}  # fmt: skip


def admitted(door: Door, **properties: Any) -> dict[str, Any]:
    record: Record = door.admit(order(**properties), {})
    assert record.key != REFUSED_KEY, record.headers
    found: dict[str, Any] = json.loads(record.value or b"")["properties"]
    return found


@pytest.mark.parametrize(
    ("source", "decided", "currency", "note"),
    [
        ("CHF", EURO, "CHF", None),
        ("CHF", None, "CHF", None),
        (None, EURO, "EUR", BASE_NOTE),
        (None, None, "XXX", NO_NOTE),
    ],
)
def test_money_without_a_currency_has_its_sources_or_the_base_or_none(
    source: str | None, decided: Decision | None, currency: str, note: Any
) -> None:
    door = Door(Source(name="shop", currency=source), money=MoneyGate(decided=decided))
    found = admitted(door, total=5)
    assert found == {"total": 5, "currency": currency} | ({"crm_notes": [note.text()]} if note else {})
    assert admitted(door, total=5, currency="")["currency"] == currency
    assert admitted(door, total=5, currency="JPY") == {"total": 5, "currency": "JPY"}


@pytest.mark.parametrize("written", ["eur", " Eur ", "EUR "])
def test_a_code_in_other_letters_is_noted(written: str) -> None:
    found = admitted(Door(Source(name="shop")), total=5, currency=written)
    assert found == {"total": 5, "currency": "EUR", "crm_notes": [LETTERS_NOTE.text()]}


def test_events_without_money_need_no_currency() -> None:
    record = Door(Source(name="shop")).admit(order("Order Cancelled", order_id="o-1"), {})
    assert json.loads(record.value or b"")["properties"] == {"order_id": "o-1"}


def test_the_first_money_that_is_let_in_decides(tmp_path: Path) -> None:
    gate = MoneyGate(tmp_path)
    door = Door(Source(name="shop"), money=gate)
    door.admit(order(total=5), {})
    door.admit(order(total=5, currency="QQQ"), {})
    door.admit(order(total=-5, currency="USD"), {})
    assert gate.decision is None, "no currency, an unknown one, a refused event"
    door.admit(order(total=5, currency="EUR"), {})
    door.admit(order(total=5, currency="USD"), {})
    assert gate.decision == read_decision(tmp_path) == Decision("EUR", BY_FIRST_ORDER)
    assert admitted(door, total=5)["currency"] == "EUR"


def test_money_without_a_rate_is_counted() -> None:
    gate = MoneyGate(decided=EURO, rated=frozenset({"USD"}))
    door = Door(Source(name="shop"), money=gate)
    for currency in ("EUR", "USD", "JPY", "JPY", "QQQ"):
        admitted(door, total=5, currency=currency)
    assert gate.waiting == {"JPY": 2, "QQQ": 1}


def test_the_decision_of_somebody_else_is_known_at_once(tmp_path: Path) -> None:
    door = Door(Source(name="shop"), money=MoneyGate(tmp_path))
    decide(tmp_path, "JPY", BY_INIT)
    assert admitted(door, total=5)["currency"] == "JPY"


def test_a_folder_that_cannot_be_written_holds_no_event_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    door = Door(Source(name="shop"), money=MoneyGate(tmp_path / "file"))
    for _ in range(3):
        assert admitted(door, total=5, currency="EUR")["currency"] == "EUR"
    assert len(caplog.messages) == 1


def test_rows_of_files_decide_too_and_are_counted(tmp_path: Path) -> None:
    mapping = Mapping.model_validate({
        "source": "shop", "name": "Order Completed", "customer_id": "who", "occurred_at": "day",
        "properties": {"total": {"column": "total", "type": "money", "currency": {"column": "code"}}},
    })  # fmt: skip
    gate = MoneyGate(tmp_path)
    rows = RowConverter(mapping, ["who", "day", "total", "code"], NOW, Door(Source(name="shop"), money=gate))
    made = [rows.convert(["c-1", "2026-05-01", "5", code], code.encode())[0] for code in ("eur", "EUR", "JPY")]
    found = [json.loads(one[0].value or b"")["properties"]["currency"] for one in made]
    assert found == ["EUR", "EUR", "JPY"]
    assert (str(gate.decision), gate.waiting) == ("EUR (from the first order)", {"JPY": 1})


def test_nothing_waits_for_no_rate() -> None:
    gate = MoneyGate(decided=EURO)
    assert admitted(Door(Source(name="shop"), money=gate), total=0, currency="JPY")["currency"] == "JPY"
    assert not gate.waiting

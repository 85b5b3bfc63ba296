"""The rules of a connection follow the file of sources while it runs, and are never off by a wrong name."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event as StopEvent
from typing import Any

import pytest

from connectors.databases import pump as pumping
from connectors.databases.changes import Change
from connectors.databases.connections import Connection, parse_connection
from connectors.databases.pump import Figures, Pump, Step
from connectors.protocol import Record
from contracts.errors import InputFileError
from contracts.events import TICK_KEY
from contracts.settings import Settings
from crmstream import connection_rules
from crmstream.configured import configured_doors
from crmstream.connection_rules import ConnectionRules

EVENT = {"name": "Order Completed", "customer_id": "customer", "occurred_at": "at", "properties": {
    "total": {"column": "total", "type": "money", "currency": "EUR"}, "order_id": "id", "email": "email"}}  # fmt: skip
ROW = {"id": "1", "customer": "c-1", "at": "2026-05-01T10:00:00Z", "total": "2.5", "email": "ada@example.com"}
CHANGE = Change("public.orders", "insert", ("1",), "1", ROW)
DROPS = "sources: {shop: {privacy: {drop: [email]}}}"


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    def doors(settings: Settings, stage: str) -> Any:
        made = configured_doors(settings, stage)
        made._file._check_seconds = 0
        return made

    monkeypatch.setattr(connection_rules, "configured_doors", doors)


def rules(folder: Path) -> ConnectionRules:
    connection = parse_connection({"source": "shop", "tables": {"orders": {"events": [EVENT]}}}, Connection)
    return ConnectionRules(connection, Settings(data_dir=folder))


def test_without_a_file_of_sources_there_are_no_rules(tmp_path: Path) -> None:
    made = rules(tmp_path)
    assert made() is made()
    assert made.door().source.name == "shop"


def test_a_file_that_does_not_name_the_source_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_text("sources: {shpo: {privacy: {drop: [email]}}}")
    with pytest.raises(InputFileError, match="names no source 'shop', only shpo"):
        rules(tmp_path)


class Rows:
    """A source of one row in each step; something happens before each."""

    reached = True

    def __init__(self, file: Path, contents: Sequence[str]):
        self._file, self._contents = file, contents

    def steps(self, position: object, *, again: bool) -> Iterator[Step]:
        for number, content in enumerate(self._contents):
            self._file.write_text(content)
            yield Step([CHANGE], {"n": number}, caught_up=number + 1 == len(self._contents))

    def confirm(self, position: object) -> None: ...

    def told(self) -> str:
        return ""

    def close(self) -> None: ...


def test_a_connector_that_runs_follows_the_file_and_ends_when_its_source_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Record] = []

    class Publisher:
        def __init__(self, *_: object): ...

        def write(self, records: Sequence[Record], *_: object) -> None:
            written.extend(records)

    monkeypatch.setattr(pumping, "TransactionalPublisher", Publisher)
    monkeypatch.setattr(pumping, "read_position", lambda *_: None)
    file = tmp_path / "sources.yaml"
    file.write_text("sources: {shop: {}}")
    source = Rows(file, ["sources: {shop: {}}", DROPS, "sources: [", "sources: {}"])

    def progress(_figures: Figures) -> None: ...

    def trouble(problem: str, _seconds: float) -> None:
        pytest.fail(problem)

    pump = Pump(source, rules(tmp_path), "127.0.0.1:1", 4, "shop", StopEvent(), progress, trouble)
    with pytest.raises(InputFileError, match="names no source 'shop'"):
        pump.run(once=True)
    told = [json.loads(record.value or b"")["properties"].get("email") for record in written if record.key != TICK_KEY]
    assert told == ["ada@example.com", None, None]

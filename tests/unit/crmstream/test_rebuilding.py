"""A rebuild first sends the rows that wait for ClickHouse, refuses to lose records, and notes how far it reads."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import OperationalError

from contracts.errors import StoreUnavailableError
from contracts.settings import Settings
from crmstream import rebuilding
from crmstream.coverage import Coverage
from crmstream.rebuilding import LostEventsError, RebuildPlan, begin, refuse_gaps, send_waiting_rows
from sinks.outbox import Outbox
from sinks.outbox_folder import files_in
from streams.rebuild import save_ends, saved_ends
from streams.recovery import outbox_folder


class Client:
    """Keeps rows; is away after ``most`` inserts."""

    def __init__(self, most: int = 100):
        self.rows: list[tuple[str, int]] = []
        self.most = most

    def insert_arrow(self, table: str, rows: pa.Table, settings: dict[str, Any]) -> None:
        assert settings["optimize_on_insert"] == 0
        if not self.most:
            raise OperationalError("away")
        self.most -= 1
        self.rows += [(table, number) for number in rows["x"].to_pylist()]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "recovery").mkdir()
    return Settings(data_dir=tmp_path)


def put(settings: Settings, *numbers: int) -> Outbox:
    outbox = Outbox(outbox_folder(settings))
    for number in numbers:
        outbox.put([("t", pa.table({"x": [number]}))])
    return outbox


def send(settings: Settings, client: Any) -> int:
    return send_waiting_rows(settings, client)


def test_without_an_outbox_there_is_nothing_to_send(settings: Settings) -> None:
    assert send(settings, Client()) == 0


def test_what_waits_is_sent(settings: Settings) -> None:
    put(settings, 1, 2).close()
    client = Client()
    assert send(settings, client) == 2
    assert client.rows == [("t", 1), ("t", 2)]
    assert files_in(outbox_folder(settings)) == []


def test_rows_that_clickhouse_does_not_take_refuse_the_rebuild_and_stay(settings: Settings) -> None:
    put(settings, 1, 2).close()
    with pytest.raises(StoreUnavailableError, match=r"for table t in .*outbox: away"):
        send(settings, Client(most=1))
    client = Client()
    assert send(settings, client) == 1
    assert client.rows == [("t", 2)]


def test_a_worker_that_still_sends_refuses_the_rebuild(settings: Settings) -> None:
    outbox = put(settings, 1)
    with pytest.raises(StoreUnavailableError, match="a worker still sends"):
        send(settings, Client())
    outbox.close()
    assert send(settings, Client()) == 1


# Gaps


def planned(*coverage: Coverage) -> RebuildPlan:
    return RebuildPlan([], list(coverage))


WHOLE = Coverage("crm-web-events", 0, low=150, end=280, first=0, reached=200, stored=200)
HOLE = Coverage("crm-web-events", 1, low=150, end=280, first=0, reached=100, stored=100)


def test_a_rebuild_that_would_lose_records_is_refused_with_the_ways_on() -> None:
    refuse_gaps(planned(WHOLE))
    refuse_gaps(planned())
    with pytest.raises(LostEventsError, match=r"50 records .* neither in ClickHouse nor in Kafka.*--accept-loss"):
        refuse_gaps(planned(WHOLE, HOLE))


def test_only_the_warehouse_has_ends() -> None:
    assert planned(WHOLE, HOLE).ends == {"crm-web-events": [200, 150]}
    assert planned().ends is None


@pytest.mark.parametrize("ends", [{"crm-web-events": [200, 150]}, None])
def test_a_rebuild_notes_its_ends_before_positions_and_state_go(
    settings: Settings, ends: dict[str, list[int]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash at any line leaves the state, or the note with which it is rebuilt."""
    save_ends(settings.data_dir, {"crm-web-events": [1, 1]})
    noted = []
    monkeypatch.setattr(rebuilding, "_forget_positions", lambda _: noted.append(saved_ends(settings.data_dir)))
    aside = begin(settings, "", ends)
    assert aside is not None
    assert aside.exists()
    assert not (settings.data_dir / "recovery").exists()
    assert noted == [ends or {"crm-web-events": [1, 1]}]
    assert saved_ends(settings.data_dir) == ends

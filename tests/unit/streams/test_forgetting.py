"""People who are to be forgotten leave the restored state and stay out; everybody else's profile is as without it."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.memory import Installation, Logs, installation, logs_of

from connectors.simulator.config import ShopConfig
from contracts.forgotten import FOR_EVER, Forgotten, change_forgotten, forgotten_path
from contracts.identity import ANONYMOUS, EMAIL
from contracts.outcomes import Outcome
from streams.recovery import state_folder
from streams.state import store

PARTITIONS = 2
SHOP = ShopConfig(seed=9, customers=60, start=datetime(1997, 1, 1, tzinfo=UTC), history_days=40, passers_by=0.5)
OUTCOMES = (
    Outcome(name="churn", within_days=8, happens=False, of="buyers"),
    Outcome(name="opportunity", within_days=5, happens=True),
)
SETTINGS: dict[str, Any] = {
    "partitions": PARTITIONS, "buckets": 4, "outcomes": OUTCOMES, "live_backlog_events": 20, "max_batch_events": 50,
    "replay_epoch_days": 3, "base_currency": "USD",
}  # fmt: skip
HALF = 0.5
FACTS = ("web_events", "transactions", "service_events", "identity_events")


@pytest.fixture(scope="module")
def logs() -> Logs:
    return logs_of(SHOP, PARTITIONS)


@pytest.fixture(scope="module")
def undisturbed(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = installation(tmp_path_factory.mktemp("undisturbed"), logs, monkeypatch, **SETTINGS)
        made.run()
    return made


@pytest.fixture
def halfway(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation that has read a half."""
    made = installation(tmp_path, logs, monkeypatch, **SETTINGS)
    made.run(stops_at=HALF)
    return made


def people(made: Installation) -> list[str]:
    """A dozen customers with most events, with all their devices and addresses."""
    profiles = sorted(made.tables.final("customers"), key=lambda row: -row["events"])
    known = [row["customer_id"] for row in profiles if not row["customer_id"].startswith((ANONYMOUS, EMAIL))][:12]
    links = [row["identity"] for row in made.tables.final("identity_links") if row["person"] in known]
    assert len(known) == 12
    assert links
    return known + links


def forget(made: Installation, ids: list[str], *, pending: bool = True) -> None:
    def change(forgotten: Forgotten) -> None:
        forgotten.add(ids, FOR_EVER, datetime.now(UTC))
        forgotten.pending = frozenset(ids if pending else ())

    change_forgotten(forgotten_path(made.settings), change)


def rows_about(made: Installation, ids: set[str]) -> dict[str, int]:
    """The number of rows of each table that name any of the ids."""
    def names(row: dict[str, Any]) -> set[str]:
        device = ANONYMOUS + str(row.get("anonymous_id", ""))
        return {str(row.get(name)) for name in ("customer_id", "identity", "person", "merged_into")} | {device}

    found = {table: sum(not ids.isdisjoint(names(row)) for row in rows) for table, rows in made.tables.rows.items()}
    return {table: count for table, count in found.items() if count}


def profiles_of_others(made: Installation, ids: set[str]) -> list[dict[str, Any]]:
    return [row for row in made.tables.final("customers") if row["customer_id"] not in ids]


def in_state(made: Installation, ids: set[str]) -> set[str]:
    """Which ids stand in the files of the state."""
    data = b"\n".join(path.read_bytes() for path in state_folder(made.settings).rglob("*") if path.is_file())
    return {each for each in ids if each.removeprefix(ANONYMOUS).encode() in data}


@pytest.mark.parametrize(("workers", "deaths"), [(1, ()), (2, ()), (1, (0.6, 0.8))])
def test_forgotten_people_leave_the_state_and_nobody_else_changes(
    workers: int, deaths: tuple[float, ...], halfway: Installation, undisturbed: Installation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also if the run dies before the files are written anew: the ids are pending until somebody says otherwise."""
    monkeypatch.setattr(store, "SMALLEST_BASE", 1 << 14)
    ids = {*people(halfway)}
    assert len(in_state(halfway, ids)) > len(ids) / 2
    before = rows_about(halfway, ids)
    forget(halfway, [*ids])
    for part in deaths:
        halfway.run(workers, dies_at=part)
    deadline = time.monotonic() + 60
    halfway.run(workers, until=lambda: not in_state(halfway, ids) or time.monotonic() > deadline)
    assert in_state(halfway, ids) == set()
    assert rows_about(halfway, ids) == before, "nothing was written about them since"
    assert all(before[table] for table in FACTS)
    links = undisturbed.tables.final("identity_links")
    later = {row["identity"] for row in links if row["person"] in ids}  # visitors whom nothing links to them now
    assert profiles_of_others(halfway, ids | later) == profiles_of_others(undisturbed, ids | later)
    assert len(halfway.tables.rows["customer_daily"]) > before["customer_daily"]


def test_who_is_listed_before_anything_is_read_is_never_there(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Installation
) -> None:
    """As after a rebuild: the clocks follow the events that are left out, so nothing else moves."""
    made = installation(tmp_path, logs, monkeypatch, **SETTINGS)
    ids = {*people(undisturbed)}
    forget(made, [*ids], pending=False)
    made.run()
    assert rows_about(made, ids) == {}
    assert profiles_of_others(made, ids) == profiles_of_others(undisturbed, ids)
    assert not any(each in f"{letter.key!r}" for each in ids for letter in made.letters)


def test_events_after_the_request_make_a_new_profile(
    logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: Installation
) -> None:
    made = installation(tmp_path, logs, monkeypatch, **SETTINGS)
    middle = SHOP.start + timedelta(days=20)
    until = int(middle.timestamp() * 1e6)
    ids = people(undisturbed)
    change_forgotten(forgotten_path(made.settings), lambda found: found.add(ids, until, middle))
    made.run()
    facts = [row for table in FACTS for row in made.tables.final(table)]
    mine = [row for row in facts if row["customer_id"] in ids]
    assert mine
    assert all(row["occurred_at"] > middle for row in mine)
    wanted = [row for table in FACTS for row in undisturbed.tables.final(table) if row["customer_id"] in ids]
    assert len(mine) == sum(row["occurred_at"] > middle for row in wanted)

"""The wiring: from logs in memory to tables and hashes in memory, by the engine itself, without any server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.memory import Installation, Logs, installation, logs_of
from support.tables import differences

from connectors.simulator.config import ShopConfig
from contracts.outcomes import Outcome

PARTITIONS = 2
SHOP = ShopConfig(
    seed=5, customers=80, start=datetime(1997, 1, 1, tzinfo=UTC), history_days=45, passers_by=0.5,
    duplicate_share=0.02, late_share=0.02, broken_share=0.005,
)  # fmt: skip
OUTCOMES = (
    Outcome(name="churn", within_days=8, happens=False, of="buyers"),
    Outcome(name="opportunity", within_days=5, happens=True),
)
SETTINGS: dict[str, Any] = {
    "partitions": PARTITIONS, "buckets": 4, "outcomes": OUTCOMES, "live_backlog_events": 20, "max_batch_events": 50,
    "replay_epoch_days": 5, "base_currency": "USD",
}  # fmt: skip


@pytest.fixture(scope="module")
def logs() -> Logs:
    return logs_of(SHOP, PARTITIONS)


@pytest.fixture(scope="module")
def undisturbed(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """One worker that reads everything in one run."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = installation(tmp_path_factory.mktemp("undisturbed"), logs, monkeypatch, **SETTINGS)
        made.run()
    return made


@pytest.fixture
def other(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    return installation(tmp_path, logs, monkeypatch, **SETTINGS)


def test_the_history_is_worth_comparing(undisturbed: Installation) -> None:
    """All topics, links, learned models, broken records: else equal results would mean little."""
    written = undisturbed.written()
    counts = {name: len(lines) for name, lines in written.lines.items()}
    for table in ("web_events", "transactions", "service_events", "identity_events", "identity_links", "crm:top:churn"):
        assert counts[table] > 10, table
    assert counts["dead_letters"] == len(undisturbed.letters) > 0
    assert counts["customers"] == counts["crm:profile:*"] == len(written.scores) > 100
    assert counts["customer_daily"] > 1_000
    assert len({row["digest"] for row in undisturbed.tables.final("model_quality")}) > 30


def test_profiles_hold_what_the_facts_say(undisturbed: Installation) -> None:
    """Each order that arrived counts for one customer, whose orders are those under the id itself and its visitors'."""
    profiles = undisturbed.tables.final("customers")
    orders = {row["event_id"] for row in undisturbed.tables.rows["transactions"] if row["name"] == "Order Completed"}
    assert sum(row["orders"] for row in profiles) == len(orders)
    merged = {row["customer_id"]: row["merged_into"] for row in profiles if row["merged_into"]}
    linked = {row["identity"]: row["person"] for row in undisturbed.tables.final("identity_links")}
    assert merged.items() <= linked.items()
    hashes = undisturbed.server.hashes
    assert {name: hashes[f"crm:profile:{{{name}}}"]["merged_into"] for name in merged} == merged


@pytest.mark.parametrize("workers", [2, 3])
def test_more_workers_give_the_same(workers: int, undisturbed: Installation, other: Installation) -> None:
    other.run(workers)
    assert differences(undisturbed.written(), other.written()) == []


def test_stopped_and_resumed_with_other_numbers_of_workers_gives_the_same(
    undisturbed: Installation, other: Installation
) -> None:
    other.run(stops_at=0.2)
    assert 0 < len(other.tables.rows["web_events"]) < len(undisturbed.tables.rows["web_events"]) / 2
    other.run(3, stops_at=0.6)
    other.run(2)
    assert differences(undisturbed.written(), other.written()) == []


def test_deaths_in_the_middle_change_nothing(undisturbed: Installation, other: Installation) -> None:
    for part in (0.2, 0.5, 0.8):
        other.run(dies_at=part)
    other.run()
    assert differences(undisturbed.written(), other.written()) == []


def test_no_hash_goes_back_while_the_log_before_a_death_is_read_again(
    undisturbed: Installation, other: Installation
) -> None:
    """All were published live up to the death, at the end of the log; the state that is resumed is from long before."""
    at_the_end = {"replay_epoch_days": 365, "live_backlog_events": 1_000_000, "max_batch_events": 10}
    other.settings = other.settings.model_copy(update=at_the_end)
    other.run(stops_at=0.3)
    other.run(dies_at=1, epoch=timedelta(hours=1))
    assert len(other.server.hashes) > 100
    other.run()
    assert other.server.put_back == []
    assert any(command[0] == "EVALSHA" for command in other.server.commands)
    assert differences(undisturbed.written(), other.written()) == []

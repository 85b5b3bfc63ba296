"""The wiring: from logs in memory to tables and hashes in memory, by the engine itself, without any server."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.memory import Installation, Logs, installation, logs_of, logs_of_days
from support.tables import differences

from connectors.simulator.config import ShopConfig
from contracts.identity import email_key, visitor_id
from contracts.outcomes import Outcome
from sinks.outbox_folder import files_in
from streams import dataflow, pace
from streams.dataflow import customers_policy, identity_policy
from streams.identity.policy import IdentityPolicy
from streams.profiles.customers import CustomersPolicy
from streams.profiles.pending import PendingSweep
from streams.recovery import outbox_folder

PARTITIONS = 2
SHOP = ShopConfig(
    seed=5, customers=80, start=datetime(1997, 1, 1, tzinfo=UTC), history_days=45, passers_by=0.5,
    duplicate_share=0.02, late_share=0.02, broken_share=0.005,
)  # fmt: skip
MOST_STARTS = 5
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


def test_a_tight_bound_between_lanes_and_a_resume_with_and_without_announcements_give_the_same(
    undisturbed: Installation, other: Installation
) -> None:
    """The sink that announces clocks is there with several workers only, and state of either wiring is resumed."""
    for workers, stops_at in ((1, 0.3), (2, 0.6), (1, 2)):
        changes = {"workers": workers, "most_waiting_events": 1}
        other.settings = other.settings.model_copy(update=changes)
        other.run(workers, stops_at=stops_at)
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


def test_deaths_while_rows_wait_in_the_outbox_change_nothing(undisturbed: Installation, other: Installation) -> None:
    other.with_outbox = True
    waiting = 0
    for part, workers in ((0.2, 1), (0.5, 2), (0.8, 1)):
        other.run(workers, dies_at=part)
        waiting += len(files_in(outbox_folder(other.settings)))
    assert waiting
    for _ in range(MOST_STARTS):  # a run that ends while ClickHouse is away leaves rows for the next start
        other.run()
        if not files_in(outbox_folder(other.settings)):
            break
    assert files_in(outbox_folder(other.settings)) == []
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


def test_boundaries_in_slices_and_deaths_between_them_change_nothing(
    undisturbed: Installation, other: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads live crosses boundaries in slices; what is left is done when it stops."""
    slices, one_slice = [], PendingSweep.advance

    def advance(pending: PendingSweep, *rest: Any) -> Any:
        slices.append(pending.boundary)
        return one_slice(pending, *rest)

    small = {"customers_policy": customers_in_slices, "identity_policy": visitors_in_portions}
    for name, policy in small.items():
        monkeypatch.setattr(dataflow, name, policy)
    monkeypatch.setattr(PendingSweep, "advance", advance)
    monkeypatch.setattr(pace, "LEAST_SECONDS", 0.0)
    other.settings = other.settings.model_copy(update={"live_backlog_events": 1_000_000, "max_batch_events": 20})
    for part in (0.3, 0.6, 0.9):
        other.run(dies_at=part)
    other.run()
    assert len(slices) > 20
    assert differences(undisturbed.written(), other.written()) == []


def customers_in_slices(*settings: Any) -> CustomersPolicy:
    policy = customers_policy(*settings)
    return replace(policy, sweeps=replace(policy.sweeps, slice=3))


def visitors_in_portions(*settings: Any) -> IdentityPolicy:
    return replace(identity_policy(*settings), portion=3)


# Links between ids, through all steps

MAIL = "ann@example.com"
ANN = email_key(MAIL)
START = datetime(2024, 3, 1, tzinfo=UTC)


def view(number: int, **who: str) -> dict[str, Any]:
    return {"event_id": f"v-{number}", "kind": "web", "name": "Page Viewed", **who}


def said(number: int, name: str, email: str | None = None, **who: str) -> dict[str, Any]:
    traits = {"traits": {"email": email}} if email else {}
    return {"event_id": f"i-{number}", "kind": "identity", "name": name, "properties": traits, **who}


def bought(number: int, customer: str) -> dict[str, Any]:
    properties = {"order_id": f"{number}", "total": 10.0, "currency": "USD"}
    return {"event_id": f"o-{number}", "kind": "transaction", "name": "Order Completed", "customer_id": customer,
            "properties": properties}  # fmt: skip


def after(days: list[list[dict[str, Any]]], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation that has read these days."""
    made = installation(folder, logs_of_days(days, START, PARTITIONS), monkeypatch, **SETTINGS)
    made.run(2)
    assert made.letters == []
    return made


def web_events(installed: Installation) -> dict[str, tuple[int, str]]:
    """By profile id: its web events and who has taken it over."""
    return {row["customer_id"]: (row["web_events"], row["merged_into"]) for row in installed.tables.final("customers")}


def test_the_history_of_a_device_reaches_the_customer_over_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A visitor types an address; later a customer claims that address, on another device."""
    phone, tablet = visitor_id("phone"), visitor_id("tablet")
    installed = after([
        [view(1, anonymous_id="phone"), view(2, anonymous_id="phone"), said(1, "Identify", MAIL, anonymous_id="phone")],
        [view(3, anonymous_id="phone"), view(4, anonymous_id="tablet"), bought(1, "c-1")],
        [said(2, "Identify", MAIL, anonymous_id="tablet", customer_id="c-1"), view(5, anonymous_id="phone")],
        [view(6, anonymous_id="phone")],
    ], tmp_path, monkeypatch)  # fmt: skip
    assert web_events(installed) == {"c-1": (6, ""), phone: (0, ANN), ANN: (0, "c-1"), tablet: (0, "c-1")}
    pointers = {key: fields.get("merged_into") for key, fields in installed.server.hashes.items()}
    for kind in ("score", "profile"):
        found = {name: pointers[f"crm:{kind}:{{{name}}}"] for name in ("c-1", phone, ANN, tablet)}
        assert found == {"c-1": None, phone: ANN, ANN: "c-1", tablet: "c-1"}
    assert installed.server.hashes["crm:profile:{c-1}"]["web_events"] == "6"
    assert [(row["identity"], row["person"], row["outcome"]) for row in installed.tables.final("identity_links")] == [
        (phone, ANN, "linked"), (tablet, "c-1", "linked"), (ANN, "c-1", "linked"),
    ]  # fmt: skip


def test_after_an_unlink_a_device_has_a_history_of_its_own_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had moved stays with the customer, as do the events of the day of the unlink."""
    device = visitor_id("shared")
    unlinked = said(2, "Unlink", anonymous_id="shared", source="crmstream") | {"properties": {"previous_id": "c-1"}}
    installed = after([
        [view(1, anonymous_id="shared"), said(1, "Identify", anonymous_id="shared", customer_id="c-1")],
        [unlinked, view(2, anonymous_id="shared")],
        [view(3, anonymous_id="shared"), view(4, anonymous_id="shared")],
    ], tmp_path, monkeypatch)  # fmt: skip
    assert web_events(installed) == {"c-1": (2, ""), device: (2, "")}
    assert "merged_into" not in installed.server.hashes[f"crm:score:{{{device}}}"]
    assert installed.server.hashes[f"crm:profile:{{{device}}}"]["web_events"] == "2"
    outcomes = [row["outcome"] for row in installed.tables.rows["identity_links"]]
    assert outcomes == ["linked", "unlinked"]

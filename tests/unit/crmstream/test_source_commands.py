"""``crmstream source``, ``plan`` and ``privacy``: what they print, and what goes wrong said in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from connectors.privacy.protection import Protector
from connectors.sources.keys import key_hash
from connectors.sources.source import load_sources
from contracts.settings import load_settings
from crmstream import cli
from crmstream.commands import shared

Crm = Callable[..., Result]
PLAN = """\
unplanned_properties: drop
events:
  Order Completed:
    properties:
      order_id: {type: string, required: true}
      coupon:
  Cart Viewed:
"""
PAID = {"total": 1, "currency": "EUR"}
LINES = [
    {"type": "track", "event": "Order Completed", "userId": "c", "properties": PAID | {"order_id": 17}},
    {"type": "track", "event": "Order Completed", "userId": "c", "properties": PAID | {"order_id": None, "x": "SEC"}},
    {
        "name": "Order Completed",
        "source": "app",
        "customer_id": "c",
        "occurred_at": "2026-05-01T10:00:00Z",
        "properties": {"order_id": "O-2", "size": 4, "total": 2},
    },
    {"type": "page", "name": "Home", "anonymousId": "v"},
    {"type": "track", "event": "Cart Viewed", "properties": {}},
    {"type": "screenshot", "userId": "c"},
]
"""The collector makes a text of the number, and refuses what is nobody's and what is of an unknown type."""


@pytest.fixture
def crm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    """Runs ``crmstream`` where no stack runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path / "data"))
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "REDIS_URL", "SOURCES_FILE", "PRIVACY_KEY"):
        monkeypatch.delenv(f"CRM_{name}", raising=False)
    for console in (shared.console, shared.notes):  # they may have been made before, of another terminal
        monkeypatch.setattr(console, "width", 160)
    runner = CliRunner(env={"COLUMNS": "160", "NO_COLOR": "1"})
    return lambda *arguments, **options: runner.invoke(cli.app, [str(one) for one in arguments], **options)


def test_add_prints_the_key_alone_and_once(crm: Crm, tmp_path: Path) -> None:
    answer = crm("source", "add", "web-shop", "--events-per-second", 100)
    assert answer.exit_code == 0, answer.output
    key = answer.stdout.strip()
    assert key.startswith("wk_")
    assert "shown this once" in answer.stderr
    source = load_sources(tmp_path / "data" / "sources.yaml").sources["web-shop"]
    assert (source.keys[0].hash, source.events_per_second) == (key_hash(key), 100)
    listed = crm("source", "list")
    assert key not in listed.output
    for text in ("web-shop", key_hash(key)[7:19], "100", "ip: truncate"):
        assert text in listed.stdout


def test_keys_are_changed_one_after_the_other(crm: Crm) -> None:
    first, second = crm("source", "add", "app").stdout.strip(), crm("source", "key", "app").stdout.strip()
    unclear = crm("source", "revoke", "app")
    assert unclear.exit_code == 1
    assert "say --key, or --all" in unclear.stderr
    assert crm("source", "revoke", "app", "--key", key_hash(first)[7:15]).exit_code == 0
    (listed,) = json.loads(crm("source", "list", "--json").stdout)
    assert [one["hash"] for one in listed["keys"]] == [key_hash(second)[7:19]]
    assert listed["revoked_keys"] == 1
    assert crm("source", "revoke", "app", "--all").exit_code == 0
    assert "none" in crm("source", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("source", "add", "Web Shop"), "can't name a source"),
        (("source", "key", "nobody"), "There is no source nobody"),
        (("source", "revoke", "nobody"), "There is no source nobody"),
        (("plan", "check", "nowhere.yaml"), "Tracking plan nowhere.yaml: cannot be read"),
        (("plan", "check", "broken.yaml"), "line 2, column 3: events.A: "),
        (("plan", "check", "plan.yaml"), "no stack is running"),
        (("plan", "check", "plan.yaml", "--file", "nowhere.jsonl"), "nowhere.jsonl can't be read"),
        (("plan", "draft", "--source", "shop"), "no stack is running"),
        (("privacy", "decrypt", "enc:1:x"), "CRM_PRIVACY_KEY is not set"),
        (("replay", "rows.csv", "--mapping", "purchases"), "Sources"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(crm: Crm, tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "broken.yaml").write_text("events:\n  A: 5\n")
    if arguments[0] == "replay":
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "sources.yaml").write_text("sources: [")
    answer = crm(*arguments)
    assert answer.exit_code == 1
    assert said in answer.stderr
    assert answer.stderr.startswith("Error: ")
    assert answer.stderr.count("\n") == 1


def test_a_source_of_webhooks_is_listed_with_its_mapping_and_whether_its_secret_is_set(
    crm: Crm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAY_SECRET", "hunter2")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sources.yaml").write_text(
        "sources:\n"
        "  pay: {webhook: {mapping: stripe, secret: [PAY_SECRET, PAY_SECRET_OLD]}}\n"
        "  desk: {webhook: {mapping: zendesk, secret: DESK_SECRET}}\n"
        "  open: {webhook: {mapping: generic, signature: none}}\n"
        "  till:\n"
    )
    webhooks = [one["webhook"] for one in json.loads(crm("source", "list", "--json").stdout)]
    assert webhooks == [
        {"mapping": "stripe", "secret": ["PAY_SECRET", "PAY_SECRET_OLD"], "secret_is_set": True},
        {"mapping": "zendesk", "secret": ["DESK_SECRET"], "secret_is_set": False},
        {"mapping": "generic", "secret": [], "secret_is_set": False},
        None,
    ]
    shown = crm("source", "list").stdout
    for text in ("stripe", "PAY_SECRET, PAY_SECRET_OLD: set", "DESK_SECRET: not set", "not signed"):
        assert text in shown
    assert shown.count("none") == 1  # of till's keys: the others need none
    assert "hunter2" not in shown


def test_a_list_of_nothing_says_how_to_begin(crm: Crm) -> None:
    answer = crm("source", "list")
    assert answer.exit_code == 0
    assert "crmstream source add" in answer.stderr


def test_a_plan_is_checked_against_a_file(crm: Crm, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sources.yaml").write_text("sources: {app: {currency: EUR}}")
    (tmp_path / "events.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in LINES) + "\n[]\nbroken\n")
    answer = crm("plan", "check", "plan.yaml", "--file", "events.jsonl", "--json")
    assert answer.exit_code == 1, answer.output
    report = json.loads(answer.stdout)
    found = {(one["source"], one["event"]): one for one in report["events"]}
    orders, app, page = (
        found["(file)", "Order Completed"],
        found["app", "Order Completed"],
        found["(file)", "Page Viewed"],
    )
    assert (orders["count"], orders["violating"], orders["planned"]) == (2, 1, True)
    assert orders["violations"] == [
        {"field": "order_id", "problem": "is no string", "count": 1},
        {"field": "x", "problem": "is not in the plan", "count": 1},
    ]
    assert app["violations"] == [{"field": "size", "problem": "is not in the plan", "count": 1}]
    assert (page["planned"], page["violating"]) == (False, 1)
    assert (report["never_came"], report["lines_without_event"]) == (["Cart Viewed"], [5, 6, 8, 9])
    assert {(one["field"], one["problem"].partition(",")[0], one["count"]) for one in report["refused"]} == {
        ("userId", "is required", 1),
        ("type", "is none of track", 1),
        ("body", "must be an object", 1),
        ("body", "is not valid JSON", 1),
    }
    shown = crm("plan", "check", "plan.yaml", "--file", "events.jsonl")
    for text in ("order_id", "is no string", "Never came: Cart Viewed", "an event: 4, first: 5, 6, 8, 9."):
        assert text in shown.stdout
    assert "SEC" not in shown.output + answer.output
    for source, orders_of_it in (("app", 3), ("till", 2)):  # what names no source is taken for its
        only = crm("plan", "check", "plan.yaml", "--file", "events.jsonl", "--source", source, "--json").stdout
        counts = [(one["source"], one["event"], one["count"]) for one in json.loads(only)["events"]]
        assert counts == [(source, "Order Completed", orders_of_it), (source, "Page Viewed", 1)]


def test_a_file_as_planned_has_exit_code_0(crm: Crm, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "events.jsonl").write_text(json.dumps(LINES[0]))
    answer = crm("plan", "check", "plan.yaml", "--file", "events.jsonl")
    assert answer.exit_code == 0
    assert "Everything is as planned." in answer.stdout


def test_a_protected_value_is_read_back(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    made = crm("privacy", "key")
    monkeypatch.setenv("CRM_PRIVACY_KEY", made.stdout.strip())
    secret = load_settings().privacy_key
    assert secret is not None
    tokens = [str(Protector(secret).encrypt(value)) for value in ("Ann", {"a": 1})]
    assert crm("privacy", "decrypt", tokens[0]).stdout == "Ann\n"
    assert crm("privacy", "decrypt", input="\n".join(tokens)).stdout == 'Ann\n{"a":1}\n'
    wrong = crm("privacy", "decrypt", "enc:1:SECRET")
    assert wrong.exit_code == 1
    assert "SECRET" not in wrong.stderr


def test_a_short_key_is_refused_and_not_shown(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PRIVACY_KEY", "hunter2")
    answer = crm("privacy", "decrypt", "enc:1:x")
    assert answer.exit_code == 1
    assert "CRM_PRIVACY_KEY: Value should have at least 32 characters" in answer.stderr
    assert "hunter2" not in answer.stderr

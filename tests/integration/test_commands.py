"""The commands against the real servers: what goes in is told, and what came out is shown."""

import csv
import json
import os
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition
from redis import Redis
from typer.testing import CliRunner, Result

from connectors.kafka.publisher import Publisher
from connectors.kafka.topics import ensure_topics
from connectors.simulator.truth import ShopTruth
from contracts.events import TICK_KEY
from contracts.stored import profile_key, score_key, top_key
from contracts.topics import INPUT_TOPICS
from crmstream import cli
from crmstream.commands import shared
from crmstream.observe import status as status_module
from crmstream.observe.warehouse import read_stored
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client, redis_client

pytestmark = pytest.mark.stack
Crm = Callable[..., Result]


@pytest.fixture
def crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    """Runs ``crmstream`` on the shared servers, in a folder and with a database of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CRM_KAFKA_BOOTSTRAP_SERVERS", stack.kafka)
    monkeypatch.setenv("CRM_CLICKHOUSE_URL", stack.clickhouse_url)
    monkeypatch.setenv("CRM_REDIS_URL", stack.redis_url)
    monkeypatch.setenv("CRM_CLICKHOUSE_DATABASE", f"commands_{uuid4().hex[:8]}")
    monkeypatch.setattr(status_module, "SAMPLE_SECONDS", 0.1)
    ensure_topics(stack.kafka, partitions=4)
    monkeypatch.setattr(shared.console, "width", 160)  # it may have been made before, of another terminal
    runner = CliRunner(env={"COLUMNS": "160", "NO_COLOR": "1"})
    return lambda *arguments: runner.invoke(cli.app, [str(argument) for argument in arguments])


@pytest.fixture
def scored(stack: Endpoints) -> tuple[Redis, str, str]:
    """Two customers with scores, of an outcome that no other test has."""
    client = redis_client(stack.redis_url)
    low, high = f"[b] {uuid4().hex}", f"c-{uuid4().hex}"
    for customer, probability in ((low, "0.120000"), (high, "0.930000")):
        fields = {"version": "7", "as_of": "2024-05-01T00:00:00Z", "model_version": "m1", "segment": "loyal"}
        score = {"fame": probability, "fame_percentile": "97.1", "fame_reasons": "+ many orders: 9, usually 2; - [x]"}
        client.hset(score_key(customer), mapping={**fields, **score})
        client.hset(profile_key(customer), mapping={"version": "7", "orders": "12", "revenue": "410.50"})
        client.zadd(top_key("fame"), {customer: float(probability)})
    return client, low, high


@pytest.fixture
def fame(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = {"name": "fame", "within_days": 10, "happens": True}
    monkeypatch.setenv("CRM_OUTCOMES", json.dumps([outcome]))


def ends(stack: Endpoints) -> dict[tuple[str, int], int]:
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": "test-commands"})
    places = [(topic.name, partition) for topic in INPUT_TOPICS for partition in range(4)]
    found = {place: consumer.get_watermark_offsets(TopicPartition(*place), timeout=10)[1] for place in places}
    consumer.close()
    return found


def events_since(stack: Endpoints, before: dict[tuple[str, int], int]) -> int:
    """Count the records, bar ticks, that were written since."""
    after = ends(stack)
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": "test-commands"})
    consumer.assign([TopicPartition(*place, offset) for place, offset in before.items()])
    wanted, count = sum(after.values()) - sum(before.values()), 0
    while wanted:
        batch = consumer.consume(min(wanted, 10_000), 10)
        assert batch, "Kafka gave nothing for ten seconds"
        wanted -= len(batch)
        count += sum(message.key() != TICK_KEY for message in batch)
    consumer.close()
    return count


def test_migrate_prepares_everything_and_again_changes_nothing(crm: Crm, stack: Endpoints) -> None:
    first, again = crm("migrate"), crm("migrate")
    assert first.exit_code == again.exit_code == 0, first.output + again.output
    assert "001_facts applied" in first.stdout
    assert "up to date" in again.stdout


def test_simulate_publishes_the_history_then_goes_on_live(crm: Crm, stack: Endpoints, tmp_path: Path) -> None:
    before = ends(stack)
    truth = tmp_path / "truth.json"
    options = ("--customers", 40, "--days", 90, "--acceleration", 90_000, "--seconds", 1.5)
    answer = crm("simulate", *options, "--truth", truth, "--json")
    assert answer.exit_code == 0, answer.output
    summary = json.loads(answer.stdout)
    told = ShopTruth.model_validate_json(truth.read_text())
    assert summary["history_events"] > 500
    assert summary["live_events"] > 0
    assert summary["history_events"] + summary["live_events"] == told.counts.records
    assert events_since(stack, before) == told.counts.records
    assert len(told.customers) == summary["customers"] > 20


def test_simulate_makes_a_compact_shop_that_goes_on_live(crm: Crm, stack: Endpoints) -> None:
    before = ends(stack)
    options = ("--compact", "--customers", 300, "--days", 10, "--start", "2024-03-01")
    answer = crm("simulate", *options, "--acceleration", 40_000, "--seconds", 1.5, "--json")
    assert answer.exit_code == 0, answer.output
    summary = json.loads(answer.stdout)
    assert summary["customers"] == 300
    assert summary["history_events"] > 4 * 300
    assert summary["live_events"] > 0
    assert events_since(stack, before) == summary["history_events"] + summary["live_events"]
    assert crm("simulate", "--compact", "--truth", "truth.json").exit_code == 1


def test_replay_publishes_good_rows_and_reports_bad_ones(crm: Crm, stack: Endpoints, tmp_path: Path) -> None:
    rows = ["customer_id,kind,ts,amount,items"]
    rows += [f"r-{n},purchase,2024-01-{n:02}T10:00:00Z,9.50,1" for n in range(1, 21)]
    rows[5], rows[9], rows[13] = rows[5].replace("2024", "later"), ",purchase,2024-01-09,1,1", rows[13] + "x"
    file, rejects = tmp_path / "orders.csv", tmp_path / "rejects.csv"
    file.write_text("\n".join(rows) + "\n")
    before = ends(stack)
    answer = crm("replay", file, "--mapping", "purchases", "--rejects", rejects, "--json")
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert (report["rows"], report["published"], report["rejected"]) == (20, 17, 3)
    assert events_since(stack, before) == 17
    with rejects.open(newline="") as listed:
        assert [int(row["line"]) for row in csv.DictReader(listed)] == [6, 10, 14]
    assert {reason["first_line"]: reason["field"] for reason in report["rejections"]}.keys() == {6, 10, 14}
    shown = crm("replay", file, "--mapping", "purchases")
    assert "3 of 20 rows were rejected" in shown.stdout


def test_replay_of_nothing_but_broken_rows_has_an_exit_code_of_its_own(crm: Crm, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("customer_id,kind,ts,amount,items\na,purchase,never,1,1\n")
    assert crm("replay", file, "--mapping", "purchases").exit_code == 2


@pytest.mark.usefixtures("fame")
def test_score_shows_what_redis_holds(crm: Crm, scored: tuple[Redis, str, str]) -> None:
    _, low, high = scored
    found = json.loads(crm("score", high, "--json").stdout)
    assert found["customer_id"] == high
    fame = {"probability": 0.93, "percentile": 97.1, "reasons": "+ many orders: 9, usually 2; - [x]"}
    assert found["outcomes"] == {"fame": fame}
    assert (found["segment"], found["as_of"], found["model_version"]) == (
        "loyal",
        "2024-05-01T00:00:00Z",
        "m1",
    )
    assert found["profile"] == {"version": "7", "orders": "12", "revenue": "410.50"}
    shown = crm("score", low)
    for text in (low, "12.0%", "97.1", "- [x]", "410.50", "loyal"):
        assert text in shown.stdout


def test_an_unknown_customer_is_said_so(crm: Crm) -> None:
    answer = crm("score", "nobody-of-that-name")
    assert answer.exit_code == 1
    assert "Nothing is known of customer 'nobody-of-that-name'" in answer.stderr


@pytest.mark.usefixtures("fame")
def test_top_lists_the_highest_first(crm: Crm, scored: tuple[Redis, str, str]) -> None:
    client, low, high = scored
    rows = json.loads(crm("top", "fame", "--limit", 1000, "--json").stdout)
    order = [row["customer_id"] for row in rows]
    assert order.index(high) < order.index(low)
    assert rows[order.index(high)]["probability"] == 0.93
    assert len(json.loads(crm("top", "fame", "-n", 1, "--json").stdout)) == 1
    assert high in crm("top", "fame").stdout
    client.delete(top_key("fame"))
    nobody = crm("top", "fame")
    assert (nobody.exit_code, nobody.stdout) == (0, "")
    assert "Nobody has a score for fame yet" in nobody.stderr


def test_status_tells_parts_lag_newest_event_and_counts(crm: Crm, stack: Endpoints, tmp_path: Path) -> None:
    crm("migrate")
    file = tmp_path / "orders.csv"
    file.write_text(f"customer_id,kind,ts,amount,items\n{uuid4().hex},purchase,2024-02-03T04:05:06Z,1,1\n")
    before = json.loads(crm("status", "--json").stdout)
    crm("replay", file, "--mapping", "purchases")
    answer = crm("status", "--json")
    assert answer.exit_code == 0, answer.output
    status = json.loads(answer.stdout)
    assert {part["name"]: part["up"] for part in status["parts"]} == dict.fromkeys(
        ("Kafka", "ClickHouse", "Redis"), True
    )
    assert status["newest_occurred_at"] == "2024-02-03T04:05:06Z"
    assert status["lag"] > before["lag"]
    assert (status["customers"], status["dead_letters"]) == (0, 0)
    assert "2024-02-03 04:05:06 UTC" in crm("status").stdout


def test_status_finds_the_newest_event_behind_many_ticks(crm: Crm, stack: Endpoints, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text(f"customer_id,kind,ts,amount,items\n{uuid4().hex},purchase,2024-02-03T04:05:07Z,1,1\n")
    crm("replay", file, "--mapping", "purchases")
    with Publisher(stack.kafka, partitions=4) as publisher:
        for second in range(300):
            publisher.tick((1_706_933_107 + second) * 1_000_000)
    status = json.loads(crm("status", "--json").stdout)
    assert status["newest_occurred_at"] == "2024-02-03T04:05:07Z"


def test_status_counts_dead_letters_customers_and_visitors(crm: Crm, stack: Endpoints) -> None:
    crm("migrate")
    client = clickhouse_client(stack.clickhouse_url, os.environ["CRM_CLICKHOUSE_DATABASE"])
    client.command(
        "INSERT INTO dead_letters (topic, log_partition, log_offset, body) VALUES ('t', 0, 1, 'a'), ('t', 0, 2, 'b')"
    )
    for offset in (2, 3):  # the same after a crash, and the same record again
        values = f"('t', 0, {offset}, 'b')"
        client.command(f"INSERT INTO dead_letters (topic, log_partition, log_offset, body) VALUES {values}")
    people = (
        "('c-1', '', 5), ('anonymous:a', '', 1), ('anonymous:b', 'email:1f', 0), ('email:1f', 'c-1', 0), "
        "('email:2f', '', 1), ('anonymous:unlinked', '', 0)"
    )
    client.command(f"INSERT INTO customers (customer_id, merged_into, events) VALUES {people}")
    status = json.loads(crm("status", "--json").stdout)
    assert (status["dead_letters"], status["customers"], status["visitors"]) == (2, 1, 2)


def came(table: str, source: str, number: int, name: str, properties: dict[str, object], days_ago: float = 1) -> str:
    """The statement that puts one event into a table of facts."""
    values = f"'e-{number}', '{name}', 'c-1', now64() - {days_ago} * 86400, '{source}', '{json.dumps(properties)}'"
    return f"INSERT INTO {table} (event_id, name, customer_id, received_at, source, properties) VALUES ({values})"


def test_status_counts_the_notes_on_recent_events(crm: Crm, stack: Endpoints) -> None:
    crm("migrate")
    client = clickhouse_client(stack.clickhouse_url, os.environ["CRM_CLICKHOUSE_DATABASE"])
    near, total = "name: resembles Order Completed", "total: is the sum of the products"
    for statement in (
        came("web_events", "shop", 1, "Order Complete", {"crm_notes": [near, "url: cannot be used"]}, days_ago=0.5),
        came("web_events", "shop", 2, "Order Complete", {"crm_notes": [near]}, days_ago=0.1),
        came("web_events", "shop", 3, "Order Complete", {"crm_notes": [near]}, days_ago=2),
        came("transactions", "till", 4, "Order Completed", {"crm_notes": [total]}, days_ago=0.1),
        came("transactions", "till", 5, "Order Completed", {"total": 5}, days_ago=0.1),
        *(came("transactions", "till", each, "Order Completed", {"crm_notes": [total]}, 0.1) for each in (6, 7, 7)),
    ):
        client.command(statement)
    notes = json.loads(crm("status", "--json").stdout)["notes"]
    assert [(each["source"], each["note"], each["count"]) for each in notes] == [
        ("shop", near, 2), ("till", total, 3), ("shop", "url: cannot be used", 1),
    ], "names first, then the most frequent; what was inserted twice counts once"  # fmt: skip
    assert f"2 × shop: {near}" in crm("status").stdout


def test_status_counts_stored_events_once(crm: Crm, stack: Endpoints) -> None:
    crm("migrate")
    client = clickhouse_client(stack.clickhouse_url, os.environ["CRM_CLICKHOUSE_DATABASE"])
    client.command("SYSTEM STOP MERGES web_events")
    for number in (1, 2, 2, 3, 1):
        client.command(came("web_events", "shop", number, "Page Viewed", {}))
    stored = {topic["name"]: topic["stored_events"] for topic in json.loads(crm("status", "--json").stdout)["topics"]}
    assert (stored["crm-web-events"], stored["crm-transactions"]) == (3, 0)
    exact, none_large = read_stored(client)
    bound, large = read_stored(client, most_exact=4)
    assert (exact["web_events"], none_large) == (3, frozenset())
    assert (bound["web_events"], large) == (5, frozenset({"web_events"}))


def test_plan_check_reads_what_came_and_draft_fits_it(crm: Crm, stack: Endpoints, tmp_path: Path) -> None:
    missing = crm("plan", "draft", "--source", "shop")
    assert (missing.exit_code, "crmstream migrate" in missing.stderr) == (1, True)
    crm("migrate")
    client = clickhouse_client(stack.clickhouse_url, os.environ["CRM_CLICKHOUSE_DATABASE"])
    order: dict[str, object] = {"order_id": "O-1", "total": 5, "currency": "EUR", "context": {"ip": "10.0.0.0"}}
    for statement in (
        came("transactions", "shop", 1, "Order Completed", order),
        came("transactions", "shop", 1, "Order Completed", order),  # inserted twice, it is one event
        came("transactions", "shop", 2, "Order Completed", order | {"total": 5.5, "coupon": 7}),
        came("transactions", "shop", 3, "Order Completed", order, days_ago=30),
        came("service_events", "shop", 4, "Call Made", {"at": "2026-05-01T10:00:00Z"}),
        came("identity_events", "app", 5, "Identify", {"traits": {"email": "a@b.c"}}),
        "INSERT INTO dead_letters (topic, log_partition, log_offset, entered_at, stage, field, reason, source) "
        "VALUES ('t', 0, 1, now64(), 'plan', 'name', 'is not in the plan', 'shop'), "
        "('t', 0, 2, now64(), 'collect', 'name', 'is empty', 'shop')",
    ):
        client.command(statement)
    draft = crm("plan", "draft", "--source", "shop")
    assert draft.exit_code == 0, draft.output
    (tmp_path / "plan.yaml").write_text(draft.stdout)
    events = yaml.safe_load(draft.stdout)["events"]
    assert events["Call Made"] == {"kind": "service", "properties": {"at": {"type": "datetime", "required": True}}}
    assert events["Order Completed"]["properties"]["total"] == {"type": "number", "required": True}
    assert events["Order Completed"]["properties"]["coupon"] == {"type": "integer"}
    report = json.loads(crm("plan", "check", "plan.yaml", "--source", "shop", "--json").stdout)
    assert [(one["event"], one["count"], one["violating"]) for one in report["events"]] == [
        ("Call Made", 1, 0),
        ("Order Completed", 2, 0),
    ]
    (refused,) = report["refused"]
    assert (refused["source"], refused["field"], refused["count"]) == ("shop", "name", 1)

    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "sources.yaml").write_text(f"sources: {{app: {{plan: {tmp_path / 'plan.yaml'}}}}}")
    of_the_app = crm("plan", "check", "plan.yaml", "--json")  # only of the source that names the plan
    report = json.loads(of_the_app.stdout)
    assert of_the_app.exit_code == 1
    assert [(one["source"], one["event"], one["planned"]) for one in report["events"]] == [("app", "Identify", False)]
    assert (report["never_came"], report["refused"]) == (["Call Made", "Order Completed"], [])


def test_the_page_about_files(crm: Crm, stack: Endpoints, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sources" / "files.md").read_text(encoding="utf-8")
    told = {}
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    for language, text in blocks:
        if language == "csv":
            (tmp_path / "orders.csv").write_text(text)
        elif language == "yaml":
            (tmp_path / text.splitlines()[0].removeprefix("# ")).write_text(text)
    for language, text in blocks:
        for line in text.splitlines() if language == "sh" else ():
            words = shlex.split(line)
            if words[0] != "crmstream":
                subprocess.run(words, cwd=tmp_path, check=True)
                continue
            ends = ["--once"] if words[1] == "watch" and "--once" not in words else []  # it would run for ever
            done = crm(*words[1:], *ends)
            assert done.exit_code == 0, done.output
            told[line] = done.output
    replayed, watched = (next(text for line, text in told.items() if word in line) for word in ("replay", "--once"))
    assert "1 of 6 rows was rejected; the others are in." in replayed
    assert (tmp_path / "rejected.csv").read_text().splitlines()[1].startswith("5,occurred_at,")
    assert "orders.csv: 5 events published, 1 row rejected (orders.csv.rejected.csv)" in watched
    assert {path.name for path in (tmp_path / "exports" / "done").iterdir()} == {
        "orders.csv", "orders.csv.rejected.csv",
    }  # fmt: skip
    (tmp_path / "data" / "sources.yaml").write_text("sources: {web-shop: {}}")
    unnamed = crm("replay", "orders.csv", "--mapping", "till.yaml")
    assert unnamed.exit_code == 0, unnamed.output
    assert "Source till is not in" in unnamed.stderr
    (tmp_path / "data" / "sources.yaml").write_text("sources: {tlil: {privacy: {drop: [email]}}}")
    assert "names no source 'till', only tlil" in crm("replay", "orders.csv", "--mapping", "till.yaml").stderr


def test_status_says_that_the_database_is_missing(crm: Crm) -> None:
    answer = crm("status")
    assert answer.exit_code == 0
    assert "run `crmstream migrate`" in answer.stdout

"""The pages of sources that are databases: their statements, files and commands, run in their order."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from support.connector import Connector
from support.postgres import PostgresServer, execute

from connectors.postgres.server import Connection

pytestmark = pytest.mark.stack
PAGES = Path(__file__).parents[3] / "docs" / "sources"
ENDS = ("--check", "--once", "--drop")


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The blocks of code of a page, with their languages."""
    yield from re.findall(r"^```(\w+)\n(.*?)^```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def keep_file(connector: Connector, text: str) -> None:
    connector.file(text, text.splitlines()[0].removeprefix("# "))


def run_line(connector: Connector, line: str) -> str:
    """Run a command of a page to its end; one without an end is stopped by Ctrl-C when it has connected."""
    words = [str(connector.folder / word) if word.endswith(".yaml") else word for word in shlex.split(line)]
    if words[0] == "export":
        return ""
    assert words[:2] == ["crmstream", "connect"]
    if set(words) & set(ENDS):
        done = connector.run(*words[2:])
    else:
        connector.start(*words[2:])
        connector.wait_until_it_tells("events, ")
        done = connector.interrupt()
    assert done.code == 0, (line, done)
    return done.out + done.err


def test_the_page_of_postgres(connector: Connector, shop: Connection, server: PostgresServer, database: str) -> None:
    admin = server.connect(database, "postgres")
    told = {}
    for language, text in blocks("postgres.md"):
        if language == "sql":
            administers = text.startswith("ALTER SYSTEM")
            for statement in text.split(";\n"):
                execute(admin if administers else shop, statement) if statement.strip() else None
        elif language == "yaml":
            keep_file(connector, text)
        else:
            told |= {line: run_line(connector, line) for line in text.splitlines()}
            if any("--once" in line and " shop.yaml" in line for line in text.splitlines()):
                execute(shop, "INSERT INTO orders (customer, total) VALUES ('c-000044', 1)")
    assert told["crmstream connect postgres shop.yaml --check"].count('"Order Completed"') == 2
    assert "The slot crmstream_shop is dropped" in told["crmstream connect postgres shop.yaml --drop"]
    assert "3 events" in told["crmstream connect postgres polled.yaml --once"]
    assert "1 events" in told["crmstream connect postgres outbox.yaml --once"]
    assert {event["properties"].get("ticket_id") for event in connector.events("shop")} >= {"t-1"}
    run_line(connector, "crmstream connect postgres outbox.yaml --drop")
    admin.close()


def test_the_page_of_debezium(kafka: str, tmp_path: Path) -> None:
    topic = "shop.public.orders"
    client = AdminClient({"bootstrap.servers": kafka})
    client.create_topics([NewTopic(topic, 1)])[topic].result(20)
    producer = Producer({"bootstrap.servers": kafka})
    row = {"id": 1, "customer": "c-000077", "total": "19.90", "created_at": "2026-11-22T09:00:00Z"}
    producer.produce(topic, json.dumps({"op": "c", "after": row, "source": {"schema": "public", "table": "orders"}}))
    assert producer.flush(20) == 0
    connector = Connector(kafka, "", tmp_path)
    for language, text in blocks("debezium.md"):
        if language == "yaml":
            keep_file(connector, text)
            continue
        for line in text.splitlines():
            run_line(connector, line.replace("kafka.example:9092", kafka))
    assert [event["customer_id"] for event in connector.events("shop")].count("c-000077") == 1

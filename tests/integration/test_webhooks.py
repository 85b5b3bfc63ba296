"""The commands of the pages about webhooks that send: through a collector of its own, into Kafka."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition
from typer.testing import CliRunner

from connectors.kafka.topics import ensure_topics
from connectors.sources.signatures import PRESETS, sign
from contracts.topics import INPUT_TOPICS
from crmstream import cli
from crmstream.stack.endpoints import Endpoints

pytestmark = pytest.mark.stack
PARTITIONS = 4
ROOT = Path(__file__).parents[2]
SOURCES = ("webhooks", "stripe", "shopify", "woocommerce", "zendesk")
PAGES = {name: ROOT / "docs" / "sources" / f"{name}.md" for name in SOURCES}
NAMES = {
    "till": {"Order Completed"},
    "payments": {"Order Completed"},
    "shop": {"Order Completed", "Identify"},
    "store": {"Order Completed"},
    "desk": {"Ticket Opened"},
}


def source_of(page: Path) -> str:
    """The page's own entry for the file of sources, without its first line."""
    first = re.findall(r"```yaml\nsources:\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)[0]
    return str(first)


def sendings() -> list[list[str]]:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.values())
    return [shlex.split(line) for line in re.findall(r"^crmstream webhook send .*$", text, re.MULTILINE)]


@pytest.fixture(scope="module")
def environment(stack: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The sources of all pages, and their secrets."""
    folder = tmp_path_factory.mktemp("collector")
    sources = "sources:\n" + "".join(source_of(page) for page in PAGES.values())
    (folder / "sources.yaml").write_text(sources, encoding="utf-8")
    secrets = dict.fromkeys(re.findall(r"secret: (\w+)", sources), uuid4().hex)
    ensure_topics(stack.kafka, PARTITIONS)
    own = {"CRM_DATA_DIR": str(folder), "CRM_KAFKA_BOOTSTRAP_SERVERS": stack.kafka, "CRM_COLLECTOR_PORT": "0"}
    return {**os.environ, **secrets, **own}


@pytest.fixture(scope="module")
def log(environment: dict[str, str]) -> Path:
    """Where the collector logs."""
    return Path(environment["CRM_DATA_DIR"], "collector.log")


@pytest.fixture(scope="module")
def collector(environment: dict[str, str], log: Path) -> Iterator[str]:
    """The address of a collector."""
    program = [sys.executable, "-m", "crmstream.collector"]
    with log.open("w") as file:
        running = subprocess.Popen(program, env=environment, stderr=file)
    while not (found := re.findall(r"collecting at (\S+)\n", log.read_text())):
        assert running.poll() is None, log.read_text()
        time.sleep(0.05)
    url = found[0]
    try:
        wait_until_ready(url)
        yield url
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


def wait_until_ready(url: str) -> None:
    """Wait until the collector has found its broker."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(f"{url}/ready", timeout=10):
                return
        except HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def in_kafka(kafka: str) -> dict[str, set[str]]:
    """The names of the events of each source that stand in Kafka."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": uuid4().hex, "enable.partition.eof": True})
    places = [TopicPartition(topic.name, number, 0) for topic in INPUT_TOPICS for number in range(PARTITIONS)]
    consumer.assign(places)
    found: dict[str, set[str]] = {}
    left = len(places)
    while left:
        for message in consumer.consume(500, 0.5):
            if message.error() is not None:
                left -= 1
            elif b'"event_id":' in (message.value() or b""):  # other tests write other things into this log
                event = json.loads(message.value())
                found.setdefault(event["source"], set()).add(event["name"])
    consumer.close()
    return found


def test_what_the_pages_send_is_in_kafka_when_it_is_answered(
    environment: dict[str, str], collector: str, stack: Endpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    lines = sendings()
    assert len(lines) == len(NAMES)
    for line in lines:
        done = CliRunner(env=environment).invoke(cli.app, [*line[1:], "--url", collector])
        assert done.exit_code == 0, done.output
        assert done.stdout.startswith(f'200 {{"success":true,"events":{len(NAMES[line[line.index("--source") + 1]])},')
    found = in_kafka(stack.kafka)
    assert {source: found[source] for source in NAMES} == NAMES


def post(url: str, source: str, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, Any]]:
    request = Request(f"{url}/v1/webhook/{source}", body, headers, method="POST")
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_a_ping_is_answered_and_nothing_else_gets_in_unsigned(collector: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, told = post(collector, "store", b"webhook_id=3", form)
    assert (status, told["events"], told["ignored"]) == (200, 0, 1)
    assert post(collector, "store", b"webhook_id=3&status=completed", form)[0] == 401
    assert post(collector, "till", b"webhook_id=3", form)[0] == 401


def test_bodies_with_a_byte_order_mark_and_guests_are_taken(collector: str, environment: dict[str, str]) -> None:
    for encoding, more in (("utf-8-sig", {"guest_id": "g-1"}), ("utf-16", {"email": " Ada@Example.com"})):
        event = {"name": "Page Viewed", "customer_id": 0, "occurred_at": "2026-05-01T10:00:00Z", **more}
        body = json.dumps(event).encode(encoding)
        headers = sign(PRESETS["hmac-sha256"], body, environment["TILL_SECRET"], datetime.now(UTC))
        status, told = post(collector, "till", body, headers)
        assert (status, told["events"], told["refused"]) == (200, 1, 0)


def test_refused_webhooks_leave_a_line_that_holds_no_value(collector: str, log: Path) -> None:
    before = log.read_text()
    for number in range(40):
        assert post(collector, "desk", b'{"secret": "PERSONAL"}', {"X-Number": str(number)})[0] == 401
    told = log.read_text().removeprefix(before)
    assert "Source desk: a webhook was refused: 401 the header X-Zendesk-Webhook-Signature is missing." in told
    assert told.count("Source desk") == 1
    assert "PERSONAL" not in told

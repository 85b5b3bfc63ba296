"""A collector under test as a process of its own, the sources that it knows, and what it wrote into Kafka."""

import base64
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import orjson
import yaml
from confluent_kafka import Consumer, TopicPartition

from connectors.sources.keys import key_hash
from contracts.identity import placing_id
from contracts.refused import REFUSED_KEY
from contracts.topics import INPUT_TOPICS
from crmstream.stack.ports import free_port

PARTITIONS = 4


def write_sources(folder: Path, keys: Mapping[str, str], **rules: Mapping[str, object]) -> None:
    """Write a file of sources with one key for each; ``rules`` are further fields of a source by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        name: {"keys": [{"hash": key_hash(key), "created": "2026-01-01T00:00:00Z"}], **rules.get(name, {})}
        for name, key in keys.items()
    }
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": sources}), encoding="utf-8")


class CollectorProcess:
    """``python -m crmstream.collector`` on a free port. A context manager; it may be killed and started inside."""

    def __init__(self, folder: Path, kafka: str, **settings: object):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "collector.log"
        own = {"data_dir": folder, "kafka_bootstrap_servers": kafka, "collector_port": self.port, **settings}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
        self._environment = inherited | {f"CRM_{name.upper()}": str(value) for name, value in own.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, path: str = "/ready") -> None:
        """Start it, and wait until it answers 200 on ``path``."""
        command = [sys.executable, "-m", "crmstream.collector"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while self.get(path)[0] != 200:
            assert self._process.poll() is None, self.told()
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it with -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(20)

    def stop(self) -> None:
        """Stop it as the supervisor does."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            assert self._process.wait(30) == 0, self.told()

    def told(self) -> str:
        """What it has logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask it; 0 is the status of a collector that does not answer."""
        return self._ask(urllib.request.Request(f"{self.url}{path}"))

    def post(self, path: str, body: object, key: str = "wk_shop", **headers: str) -> tuple[int, bytes]:
        """Send it a body, as JSON if it is not bytes."""
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        headers = {"Authorization": basic(key), "Content-Type": "application/json"} | headers
        return self._ask(urllib.request.Request(f"{self.url}{path}", content, headers))

    def send(self, path: str, body: object, **headers: str) -> tuple[int, bytes]:
        """Send it a body as an SDK does: again and again while it says 503, as on a busy machine it may."""
        deadline = time.monotonic() + 30
        while (answer := self.post(path, body, **headers))[0] == 503 and time.monotonic() < deadline:
            time.sleep(0.2)
        return answer

    @staticmethod
    def _ask(request: urllib.request.Request) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""


def basic(key: str) -> str:
    """A Basic authorization with the write key as user."""
    return f"Basic {base64.b64encode(f'{key}:'.encode()).decode()}"


def read_records(kafka: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All events in the input topics, and all refusals: headers, and the original as ``body``."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": "tests", "enable.partition.eof": True, "enable.auto.commit": False}
    )
    places = [TopicPartition(topic.name, number, 0) for topic in INPUT_TOPICS for number in range(PARTITIONS)]
    consumer.assign(places)
    events, refusals, left = [], [], len(places)
    while left:
        for message in consumer.consume(5_000, 0.2):
            if message.error() is not None:
                left -= 1
            elif message.key() == REFUSED_KEY:
                told = {name: value.decode() for name, value in message.headers() or ()}
                refusals.append(told | {"body": orjson.loads(message.value())})
            else:
                event = orjson.loads(message.value())
                if "kind" in event:  # tests send other records too
                    previous = event.get("properties", {}).get("previous_id")
                    ids = event.get("customer_id"), event.get("anonymous_id"), previous
                    assert message.key().decode() == placing_id(event["kind"], *ids)
                events.append(event | {"topic": message.topic()})
    consumer.close()
    return events, refusals

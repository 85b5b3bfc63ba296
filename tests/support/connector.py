"""``crmstream connect`` as a process that can be killed, and what it leaves in Kafka."""

import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition

from contracts.refused import REFUSED_KEY, read_refusal
from contracts.topics import INPUT_TOPICS, Topic

PARTITIONS = 4
_processes = multiprocessing.get_context("forkserver")  # the program is loaded once: starting it is cheap then
_processes.set_forkserver_preload(["crmstream.commands.connect"])


class Outcome(NamedTuple):
    """How a run ended, and what it printed."""

    code: int | None
    out: str
    err: str


class Connector:
    """Runs ``crmstream connect`` on one database and one Kafka."""

    def __init__(self, kafka: str, url: str, folder: Path):
        self.kafka = kafka
        self.folder = folder
        self.environment = {
            "CRM_KAFKA_BOOTSTRAP_SERVERS": kafka, "CRM_CLICKHOUSE_URL": "http://127.0.0.1:1", "COLUMNS": "200",
            "CRM_REDIS_URL": "redis://127.0.0.1:1", "CRM_DATA_DIR": str(folder / "data"), "CRM_POSTGRES_URL": url,
            "CRM_PARTITIONS": str(PARTITIONS),
        }  # fmt: skip
        self._process: BaseProcess | None = None
        self._output = folder / "0"
        self._runs = 0

    def file(self, text: str, name: str = "shop.yaml") -> str:
        """Write a connection file and give its path."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def start(self, *arguments: str) -> None:
        """Start ``crmstream connect`` with these arguments."""
        self._runs += 1
        self._output = self.folder / str(self._runs)
        command = ["connect", *arguments]
        self._process = _processes.Process(target=_run, args=(command, self.environment, str(self._output)))
        self._process.start()

    def kill(self) -> None:
        """Kill it, without a warning."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def interrupt(self) -> Outcome:
        """Press Ctrl-C and wait for the end."""
        if self._process is not None and self._process.pid is not None:
            os.kill(self._process.pid, signal.SIGINT)
        return self.wait()

    def wait(self, timeout_seconds: float = 60) -> Outcome:
        """Wait for the end."""
        assert self._process is not None
        self._process.join(timeout_seconds)
        told = Outcome(self._process.exitcode, self._text("out"), self._text("err"))
        self._process.kill()
        assert told.code is not None, f"it did not end in time: {told}"
        return told

    def run(self, *arguments: str) -> Outcome:
        """Run it to its end."""
        self.start(*arguments)
        return self.wait()

    def wait_until_it_tells(self, words: str) -> None:
        """Wait for words on standard error."""
        deadline = time.monotonic() + 60
        while words not in self.told():
            assert self.alive, self.told()
            assert time.monotonic() < deadline, self.told()
            time.sleep(0.02)

    def told(self) -> str:
        """What it has said so far on standard error."""
        return self._text("err")

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.is_alive()

    def events(self, source: str) -> list[dict[str, Any]]:
        """All events of a source that readers of committed records see, partition by partition."""
        found = [json.loads(message.value()) for message in read_log(self.kafka) if message.key() != REFUSED_KEY]
        return [event for event in found if event.get("source") == source]

    def refused(self, source: str) -> list[tuple[str, str]]:
        """Field and problem of everything that was refused of a source."""
        found = [read_refusal(message.headers()) for message in read_log(self.kafka) if message.key() == REFUSED_KEY]
        return [(one.field, one.problem) for one in found if one is not None and one.source == source]

    def _text(self, stream: str) -> str:
        path = Path(f"{self._output}.{stream}")
        return path.read_text(encoding="utf-8") if path.exists() else ""


def read_log(kafka: str, topics: Sequence[Topic] = INPUT_TOPICS) -> list[Message]:
    """Read topics, by default those of events, to their ends, as of now, with committed records only."""
    consumer = Consumer(
        {"bootstrap.servers": kafka, "group.id": uuid4().hex, "enable.partition.eof": True, "fetch.wait.max.ms": 20}
    )
    known = consumer.list_topics(timeout=20).topics
    places = [
        (topic.name, number) for topic in topics if topic.name in known for number in known[topic.name].partitions
    ]
    consumer.assign([TopicPartition(*place, 0) for place in places])
    left, found, deadline = set(places), [], time.monotonic() + 60
    while left:
        assert time.monotonic() < deadline
        for message in consumer.consume(1_000, 0.05):
            if message.error() is None:
                found.append(message)
            else:
                left.discard((message.topic(), message.partition()))
    consumer.close()
    return found


def _run(command: list[str], environment: dict[str, str], output: str) -> None:
    """The command as the program runs it, in a process of its own."""
    os.environ.update(environment)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        file = os.open(f"{output}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream.fileno())
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from crmstream import cli  # noqa: PLC0415 - the console is made with the streams of this process

    try:
        cli.app(command)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()

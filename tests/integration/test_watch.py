"""``crmstream watch`` on a real broker: every file once, however often it comes and whenever the command dies."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, TopicPartition

from contracts.topics import TRANSACTIONS
from crmstream.stack.endpoints import Endpoints

pytestmark = pytest.mark.stack
PARTITIONS = 4
HEADER = "customer_id,kind,ts,amount,items\n"
Watch = Callable[..., list[str]]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def command(stack: Endpoints, inbox: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    for name, value in {
        "CRM_DATA_DIR": str(tmp_path / "data"),
        "CRM_KAFKA_BOOTSTRAP_SERVERS": stack.kafka,
        "CRM_CLICKHOUSE_URL": stack.clickhouse_url,
        "CRM_REDIS_URL": stack.redis_url,
    }.items():
        monkeypatch.setenv(name, value)
    program = str(Path(sys.executable).with_name("crmstream"))
    return [program, "watch", str(inbox), "--mapping", "purchases", "--settle", "0.1"]


def watch_once(command: list[str]) -> list[str]:
    """What it tells of each file."""
    done = subprocess.run([*command, "--once"], capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def rows(customer: str, count: int, first: int = 0) -> str:
    return HEADER + "".join(f"{customer},purchase,2023-05-01,{n}.25,1\n" for n in range(first, first + count))


def events_of(stack: Endpoints, customer: str) -> list[str]:
    """The ids of the events of a customer that stand in Kafka, in any order."""
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": uuid4().hex, "enable.auto.commit": False})
    found = []
    for partition in range(PARTITIONS):
        place = TopicPartition(TRANSACTIONS.name, partition, 0)
        low, high = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([TopicPartition(TRANSACTIONS.name, partition, low)])
        position = low
        while position < high:
            for message in consumer.consume(high - position, 1):
                position = message.offset() + 1
                if message.key() == customer.encode():
                    found.append(json.loads(message.value())["event_id"])
    consumer.close()
    return found


def test_each_file_is_published_and_put_away(command: list[str], inbox: Path, stack: Endpoints) -> None:
    one, other = f"c-{uuid4().hex}", f"c-{uuid4().hex}"
    (inbox / "one.csv").write_text(rows(one, 3) + "broken,purchase,never,1,1\n")
    (inbox / "other.csv").write_text(rows(other, 2))
    (inbox / "unfinished.csv.part").write_text("half a li")
    (inbox / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (inbox / "nothing.csv").write_text(HEADER + "x,purchase,never,1,1\n")
    told = "\n".join(watch_once(command))
    assert "one.csv: 3 events published, 1 row rejected (one.csv.rejected.csv)" in told
    assert "other.csv: 2 events published" in told
    assert "picture.png: refused" in told
    assert (len(events_of(stack, one)), len(events_of(stack, other))) == (3, 2)
    assert sorted(path.name for path in (inbox / "done").iterdir()) == ["one.csv", "one.csv.rejected.csv", "other.csv"]
    assert (inbox / "done" / "one.csv.rejected.csv").read_text().splitlines()[1].startswith("5,occurred_at,")
    assert "is no text" in (inbox / "failed" / "picture.png.problem.txt").read_text()
    assert "its only row is no event" in (inbox / "failed" / "nothing.csv.problem.txt").read_text()
    assert [path.name for path in inbox.iterdir() if path.is_file() and not path.name.startswith(".")] == [
        "unfinished.csv.part"
    ]


def test_a_file_that_comes_twice_has_the_same_events(command: list[str], inbox: Path, stack: Endpoints) -> None:
    customer = f"c-{uuid4().hex}"
    for _ in range(2):
        (inbox / "again.csv").write_text(rows(customer, 4))
        watch_once(command)
    found = events_of(stack, customer)
    assert (len(found), len(set(found))) == (8, 4)
    assert sorted(path.name for path in (inbox / "done").iterdir()) == ["2-again.csv", "again.csv"]


def test_an_unclosed_quote_costs_one_row_and_a_file_that_is_cut_off_is_refused(
    command: list[str], inbox: Path, stack: Endpoints
) -> None:
    broken, cut = f"c-{uuid4().hex}", f"c-{uuid4().hex}"
    lines = rows(broken, 9_000).splitlines(keepends=True)
    lines[3_000] = f'{broken},purchase,2023-05-01,10.00,"open\n'
    (inbox / "broken.csv").write_text("".join(lines))
    (inbox / "cut.csv").write_text(rows(cut, 20) + f'{cut},purchase,2023-05-01,"1')
    told = "\n".join(watch_once(command))
    assert "broken.csv: 8,999 events published, 1 row rejected (broken.csv.rejected.csv)" in told
    assert "cut.csv: refused: The file is cut off: line 22" in told
    assert (inbox / "done" / "broken.csv.rejected.csv").read_text().splitlines()[1:] == [
        "3001,row,has a quote that is not closed"
    ]
    assert (len(set(events_of(stack, broken))), len(events_of(stack, cut))) == (8_999, 0)


def test_killed_in_the_middle_it_takes_the_file_again(command: list[str], inbox: Path, stack: Endpoints) -> None:
    customer, count = f"c-{uuid4().hex}", 20_000
    (inbox / "large.csv").write_text(rows(customer, count))
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not events_of(stack, customer):
        assert running.poll() is None
        time.sleep(0.02)
    running.kill()
    running.wait()
    if (inbox / "large.csv").exists():
        assert watch_once(command) == [f"large.csv: {count:,} events published"]
    assert len(set(events_of(stack, customer))) == count
    assert [path.name for path in (inbox / "done").iterdir()] == ["large.csv"]


def test_what_comes_later_is_taken_and_ctrl_c_ends_it(command: list[str], inbox: Path, stack: Endpoints) -> None:
    customer = f"c-{uuid4().hex}"
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    while "Watching" not in running.stderr.readline():
        assert running.poll() is None
    hidden = inbox / ".later.csv"
    hidden.write_text(rows(customer, 2))
    os.rename(hidden, inbox / "later.csv")
    assert running.stdout is not None
    assert "later.csv: 2 events published" in running.stdout.readline()
    assert (inbox / "done" / "later.csv").exists()
    running.send_signal(2)
    _, told = running.communicate(timeout=30)
    assert running.returncode == 0
    assert "Stopped" in told
    assert len(events_of(stack, customer)) == 2

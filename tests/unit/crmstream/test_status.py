"""The status sums offsets, measures speed, and says what is down instead of failing."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from contracts.settings import Settings
from contracts.topics import ALL_TOPICS, INPUT_TOPICS
from crmstream.observe import status as status_module
from crmstream.observe.kafka import Offsets
from crmstream.observe.status import Part, read_status, topic_states
from crmstream.stack.endpoints import Endpoints

TOPIC = INPUT_TOPICS[0].name
DEAD = "crm-dead-letters"
CLOSED = "127.0.0.1:9"


def test_lag_is_what_the_group_has_not_read_of_what_is_still_there() -> None:
    low = {(TOPIC, 0): 0, (TOPIC, 1): 40, (TOPIC, 2): 0, (DEAD, 0): 2}
    end = {(TOPIC, 0): 100, (TOPIC, 1): 50, (TOPIC, 2): 7, (DEAD, 0): 5}
    committed = {(TOPIC, 0): 90, (TOPIC, 1): 30}
    states = {state.name: state for state in topic_states(Offsets(low, end, committed))}
    assert list(states) == [topic.name for topic in ALL_TOPICS]
    assert (states[TOPIC].end, states[TOPIC].lag, states[TOPIC].committed) == (117, 27, 90)
    assert (states[DEAD].end, states[DEAD].lag, states[DEAD].committed) == (3, None, None)


class Worker(BaseHTTPRequestHandler):
    """A worker that has counted 100 more events each time it is asked."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        body = (
            "# TYPE crm_events_total counter\n"
            f'crm_events_total{{topic="crm-transactions"}} {70 * self.asked}\n'
            f'crm_events_total{{topic="crm-web-events"}} {30 * self.asked}\n'
            "# TYPE crm_event_clock_seconds gauge\n"
            'crm_event_clock_seconds{partition="0"} 1714521600\n'
            'crm_event_clock_seconds{partition="1"} 1714521601\n'
            "# TYPE crm_ticks_total counter\n"
            'crm_ticks_total{topic="crm-web-events"} 9999\n'
        ).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def worker() -> Iterator[str]:
    Worker.asked = 0
    server = HTTPServer(("127.0.0.1", 0), Worker)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module, "SAMPLE_SECONDS", 0.2)
    monkeypatch.setattr("crmstream.observe.kafka.TIMEOUT_SECONDS", 0.5)


def closed(*worker_metrics: str) -> Endpoints:
    return Endpoints(CLOSED, f"http://{CLOSED}", f"redis://:secret@{CLOSED}", worker_metrics)


@pytest.mark.usefixtures("quick")
def test_parts_that_are_down_are_said_and_the_rest_still_answers(worker: str, tmp_path: Path) -> None:
    status = read_status(closed(worker), Settings(data_dir=tmp_path))
    up = {part.name: part.up for part in status.parts}
    assert up == {"Kafka": False, "ClickHouse": False, "Redis": False, "worker 0": True}
    assert "secret" not in repr(status)
    assert status.topics == []
    assert status.lag is status.newest_entered_at is status.counts.customers is status.counts.dead_letters is None
    assert status.events_per_second is not None
    assert 0 < status.events_per_second <= 100 / 0.2
    assert status.event_clock == datetime(2024, 5, 1, tzinfo=UTC), "the slowest partition's"


@pytest.mark.usefixtures("quick")
def test_no_speed_is_made_up_when_a_worker_is_silent(worker: str, tmp_path: Path) -> None:
    status = read_status(closed(worker, f"http://{CLOSED}/metrics"), Settings(data_dir=tmp_path))
    assert status.parts[-1] == Part("worker 1", False, "does not answer")
    assert status.events_per_second is None

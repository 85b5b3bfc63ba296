"""A topic full of invalid records is paused, over kills; the other lanes wait for its lane; all goes on together."""

import os
import signal
import subprocess

from support.flow import CRMSTREAM, Flow, Log, NewSettings, wait_until
from support.history import PARTITIONS
from support.stalled import BROKEN, DAYS, ORDERS, publish_stalled

from crmstream.observe.lanes import read_lanes
from crmstream.observe.metrics import read_samples
from sinks.clients import clickhouse_client

WINDOW = 40
MOST_INVALID = WINDOW // PARTITIONS // 2
MOST_WAITING, BATCH = 100, 20
BOUND = ORDERS // DAYS + MOST_WAITING + 2 * BATCH
"""The events of the slowest lane's day do not wait; then there may be a batch before and one after a restart."""


def crm(flow: Flow, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [CRMSTREAM, *arguments]
    return subprocess.run(command, check=False, env=flow.environment, capture_output=True, text=True, timeout=60)


def waits_of(flow: Flow) -> dict[int, int | None]:
    """The lane that each lane waits for."""
    pages = [read_samples(url) for url in flow.endpoints.worker_metrics]
    return {lane.partition: lane.waits_for for lane in read_lanes(pages, None)}


def test_a_broken_topic_is_paused_and_everything_goes_on_when_it_is_resumed(new_settings: NewSettings) -> None:
    settings = new_settings(
        kafka_bootstrap_servers=None, workers=2, epoch_seconds=0.3, max_batch_events=BATCH,
        most_waiting_events=MOST_WAITING, dead_letter_breaker="50%", dead_letter_breaker_records=WINDOW,
    )  # fmt: skip
    with Flow(settings) as flow:
        client = clickhouse_client(flow.endpoints.clickhouse_url, settings.clickhouse_database)

        def count(table: str) -> int:
            return int(client.query(f"SELECT count() FROM {table} FINAL").first_row[0])

        publish_stalled(flow.endpoints.kafka)
        wait_until(lambda: count("dead_letters") == MOST_INVALID, "the breaker trips")
        wait_until(lambda: waits_of(flow).get(1) == 0, "lane 1, of the other worker, waits for lane 0")
        status = crm(flow, "status")
        assert status.returncode == 1
        assert "paused: crm-web-events" in status.stdout
        assert "waits for lane 0" in status.stdout
        killed = flow.worker_pids
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not {*killed} & {*flow.worker_pids}, "the workers are started again")
        wait_until(lambda: waits_of(flow).get(1) == 0, "lane 1 waits again")
        assert count("dead_letters") == MOST_INVALID
        assert MOST_WAITING < count("transactions") <= BOUND
        resumed = crm(flow, "dead-letters", "resume")
        assert resumed.stdout.startswith("crm-web-events goes on: "), resumed
        flow.drain(Log(flow.endpoints.kafka, PARTITIONS))
        assert (count("dead_letters"), count("transactions"), count("web_events")) == (BROKEN, ORDERS, 1)
        assert client.query("SELECT orders FROM customers FINAL WHERE orders > 0").result_rows == [(ORDERS,)]

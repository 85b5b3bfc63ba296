"""ClickHouse dies in the middle of writing and comes back: no row is missing or doubled."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
from clickhouse_connect.driver.client import Client

from contracts.errors import StoreUnavailableError
from contracts.metrics import STORE_RETRIES
from contracts.outputs import TableRows
from crmstream.stack.ports import free_port
from sinks.clickhouse import ClickHouseWriter
from sinks.clients import clickhouse_client
from sinks.migrations import migrate

BATCHES = 60
BATCH_ROWS = 500


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "crmstream.stack.clickhouse_server",
        "--path",
        str(folder),
        "--port",
        str(port),
    ]
    return subprocess.Popen(command)


def connect(url: str) -> Client:
    until = time.monotonic() + 60
    while True:
        try:
            return clickhouse_client(url, "crm")
        except StoreUnavailableError:
            assert time.monotonic() < until, "ClickHouse did not start"
            time.sleep(0.1)


def rows(batch: int) -> TableRows:
    ids = [f"e{batch}-{i}" for i in range(BATCH_ROWS)]
    place = list(range(batch * BATCH_ROWS, (batch + 1) * BATCH_ROWS))
    return TableRows(
        "web_events", pa.table({"event_id": ids, "customer_id": ["c-1"] * BATCH_ROWS, "log_offset": place})
    )


def test_no_row_is_lost_or_doubled_by_an_outage(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = start(tmp_path, port)
    retries = STORE_RETRIES.labels("ClickHouse")._value.get()
    try:
        migrate(connect(url), "crm")
        writer = ClickHouseWriter.to(url, "crm")
        for batch in range(BATCHES):
            writer.write([rows(batch)])
            if batch == BATCHES // 3:
                writer.flush()
                server.kill()
                server.wait()
        while STORE_RETRIES.labels("ClickHouse")._value.get() == retries:
            time.sleep(0.05)
        server = start(tmp_path, port)
        writer.flush()
        found = connect(url).query(
            "SELECT count(), uniqExact(event_id), sum(log_offset) FROM web_events FINAL"
        )
        total = BATCHES * BATCH_ROWS
        assert found.result_rows == [(total, total, total * (total - 1) // 2)]
        writer.close()
    finally:
        server.kill()
        server.wait()

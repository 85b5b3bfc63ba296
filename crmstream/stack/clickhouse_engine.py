"""The embedded ClickHouse engine (chDB) as a thread-safe object, over public methods of clickhouse-connect only.

What an insert returned for is on the disk: tables made here fsync their parts. Settings and database belong to a
connection of the engine, so connections are pooled by them and never changed.
"""

import shutil
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import clickhouse_connect
from clickhouse_connect import common
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from crmstream.stack.clickhouse_sql import InsertHead

MAX_IDLE_CONNECTIONS = 32
CONFIGURATION = """<clickhouse>
  <merge_tree><fsync_after_insert>1</fsync_after_insert><fsync_part_directory>1</fsync_part_directory></merge_tree>
</clickhouse>
"""


@dataclass(frozen=True)
class ConnectionKey:
    """What a connection of the engine is bound to."""

    database: str
    settings: tuple[tuple[str, str], ...] = ()


class BoundValue:
    """The text of a server-side parameter, already escaped by the client that sent it."""

    def __init__(self, text: str):
        self._text = text

    def __str__(self) -> str:
        return self._text


class Engine:
    """The engine of one data folder. A process can host one."""

    def __init__(self, folder: Path):
        """Open the engine. The folder gets ``store`` (the data) and ``config.xml``.

        Raises:
            clickhouse_connect.driver.exceptions.Error: the data is another process's, or cannot be opened.

        """
        common.set_setting("invalid_setting_action", "send")  # the engine's own errors are the ones clients expect
        self._store = folder / "store"
        self._store.mkdir(parents=True, exist_ok=True)
        self._config = folder / "config.xml"
        self._config.write_text(CONFIGURATION, encoding="utf-8")
        self._idle: OrderedDict[ConnectionKey, list[Client]] = OrderedDict()
        self._lock = threading.Lock()
        first = self._connect(ConnectionKey("default"))
        self.version = str(first.server_version)
        self._give_back(ConnectionKey("default"), first)

    def _connect(self, key: ConnectionKey) -> Client:
        return clickhouse_connect.get_client(
            dsn=f"chdb://{self._store}", database=key.database, settings=dict(key.settings) | {"async_insert": "0"},
            chdb_options={"config-file": str(self._config)},
        )  # fmt: skip

    def _take(self, key: ConnectionKey) -> Client:
        with self._lock:
            clients = self._idle.get(key)
            client = clients.pop() if clients else None
            if clients is not None and not clients:
                del self._idle[key]
        return client or self._connect(key)

    def _give_back(self, key: ConnectionKey, client: Client) -> None:
        surplus: list[Client] = []
        with self._lock:
            self._idle.setdefault(key, []).append(client)
            self._idle.move_to_end(key)
            while sum(map(len, self._idle.values())) > MAX_IDLE_CONNECTIONS:
                oldest = next(iter(self._idle))
                surplus.append(self._idle[oldest].pop(0))
                if not self._idle[oldest]:
                    del self._idle[oldest]
        for unused in surplus:
            unused.close()

    def query(self, sql: str, key: ConnectionKey, parameters: Mapping[str, str], default_format: str | None) -> bytes:
        """Run one statement and return its answer in the statement's format, else the default one.

        Raises:
            clickhouse_connect.driver.exceptions.DatabaseError: with ClickHouse's code and message.

        """
        client = self._take(key)
        is_clean = False
        try:
            bound = {name: BoundValue(value) for name, value in parameters.items()}
            answer: bytes = client.raw_query(sql, parameters=bound or None, fmt=default_format)
            is_clean = True
            return answer
        finally:
            if is_clean or _forgets_answer(client):
                self._give_back(key, client)
            else:
                client.close()

    def insert(self, head: InsertHead, data: IO[bytes], database: str, settings: Mapping[str, str]) -> dict[str, str]:
        """Insert the data and return the summary (``written_rows``, ``written_bytes``)."""
        key = ConnectionKey(database)
        client = self._take(key)
        try:
            summary = client.raw_insert(
                head.target, insert_block=data, settings={**settings, **head.settings}, fmt=head.data_format
            )
            return {name: str(value) for name, value in summary.summary.items()}
        finally:
            self._give_back(key, client)

    def close(self) -> None:
        """Close all idle connections; the last one closes the engine."""
        with self._lock:
            clients = [client for group in self._idle.values() for client in group]
            self._idle.clear()
        for client in clients:
            client.close()
        shutil.rmtree(self._store / "tmp", ignore_errors=True)


def _forgets_answer(client: Client) -> bool:
    """Take the rows out of a connection that a failed statement has left, since they would precede its next answer.

    Return whether that worked.
    """
    try:
        client.raw_query("SELECT 1", fmt="Null")
    except ClickHouseError:
        return False
    return True

"""A shop that writes orders while the connector is killed and PostgreSQL restarted: every order once."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from support.connector import Connector, read_log
from support.flow import wait_until
from support.postgres import PostgresServer, execute

from connectors.postgres.server import Connection
from contracts.topics import POSITIONS

pytestmark = pytest.mark.stack
BEFORE = 2_500
WRITERS = 3
TABLE = """
    CREATE TABLE orders (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        customer text NOT NULL,
        total numeric(10, 2) NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now()
    )
"""
INSERT = "INSERT INTO orders (customer, total) SELECT 'c' || n, n + 0.25 FROM generate_series(1, %s) n"
FILE = """
    source: {source}
    mode: {mode}
    poll_seconds: 0.05
    tables:
      orders:
        {watermark}
        name: Order Completed
        customer_id: customer
        occurred_at: created_at
        properties:
          order_id: id
          total: {{column: total, type: money, currency: EUR}}
"""


FOLLOWED = "SELECT 1 FROM pg_replication_slots WHERE active AND database = current_database()"


class Shop:
    """Several tills that write orders at once, until they are told to close; contact may be lost meanwhile."""

    def __init__(self, connect: Callable[[], Connection]):
        self._connect = connect
        self._closing = threading.Event()
        self._tills = [threading.Thread(target=self._till, args=(random.Random(number),)) for number in range(WRITERS)]

    def __enter__(self) -> "Shop":
        for till in self._tills:
            till.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for till in self._tills:
            till.join()

    def _till(self, choice: random.Random) -> None:
        while not self._closing.is_set():
            try:
                connection = self._connect()
                connection.autocommit = False
                while not self._closing.is_set():
                    self._sell(connection, choice)
            except psycopg2.Error:
                time.sleep(0.1)

    def _sell(self, connection: Connection, choice: random.Random) -> None:
        """One transaction: short or long, with a savepoint or without, given up or not."""
        execute(connection, INSERT, [choice.choice([1, 1, 2, 40])])
        if choice.random() < 0.3:
            execute(connection, "SAVEPOINT second_thoughts")
            execute(connection, INSERT, [2])
            if choice.random() < 0.5:
                execute(connection, "ROLLBACK TO second_thoughts")
        time.sleep(choice.choice([0.0, 0.01, 0.02, 0.4]))
        if choice.random() < 0.2:
            connection.rollback()
        else:
            connection.commit()


def written(database: Connection) -> set[str]:
    return {order for (order,) in execute(database, "SELECT id::text FROM orders")}


def shown_by_another_reading(connector: Connector, source: str, database: Connection) -> set[str]:
    """The orders that may come twice: those that were there when the first reading, once cut off, began for good."""
    log = [record for record in read_log(connector.kafka, [POSITIONS]) if record.key() == f"postgres-{source}".encode()]
    positions = [json.loads(record.value()) for record in log]
    begin = next(position for position in positions if position["phase"] == "stream")
    if "shown" not in begin:
        return set()
    seen = "SELECT id::text FROM orders WHERE pg_visible_in_snapshot(xmin::text::xid8, %s::pg_snapshot)"
    return {order for (order,) in execute(database, seen, [begin["shown"]["snapshot"]])}


def orders_of(events: list[dict[str, Any]]) -> Counter[str]:
    return Counter(event["properties"]["order_id"] for event in events)


@pytest.mark.parametrize("mode", ["watermark", "replication"])
def test_every_order_once_whatever_dies(
    mode: str, connector: Connector, server: PostgresServer, shop: Connection, database: str
) -> None:
    execute(shop, TABLE)
    execute(shop, INSERT, [BEFORE])
    before = written(shop)
    watermark = "watermark: created_at" if mode == "watermark" else ""
    source = database.replace("_", "-")
    file = connector.file(FILE.format(source=source, mode=mode, watermark=watermark))
    choice = random.Random(mode)
    with Shop(lambda: server.connect(database)):
        for life in range(7):
            connector.start("postgres", file)
            time.sleep(choice.uniform(0.2, 1.6))
            if life == 4:
                connector.wait_until_it_tells("events, ")
                if mode == "replication":
                    wait_until(lambda: execute(shop, FOLLOWED) == [(1,)], "the slot is followed")
                server.stop()
                server.start()
                time.sleep(1.5)
            assert connector.alive, connector.told()
            connector.kill()
    done = connector.run("postgres", file, "--once")
    assert done.code == 0, done.err
    events = connector.events(source)
    repeated = {order for order, count in orders_of(events).items() if count > 1}
    with server.connect(database) as reader:
        orders = written(reader)
        may_repeat = shown_by_another_reading(connector, source, reader) if mode == "replication" else set()
    assert len(orders) > BEFORE + 200
    once = {event["event_id"]: event for event in events}
    assert orders_of(list(once.values())) == Counter(orders), "what comes again has the id that it had"
    assert repeated <= may_repeat - before, "once the log is followed, no death brings anything twice"

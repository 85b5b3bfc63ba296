"""A shop that writes orders while the connector is killed and PostgreSQL restarted: every order once."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from support.connector import Connector
from support.postgres import PostgresServer, execute

from connectors.postgres.server import Connection

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


def orders_of(events: list[dict[str, Any]]) -> Counter[str]:
    return Counter(event["properties"]["order_id"] for event in events)


@pytest.mark.parametrize("mode", ["watermark", "replication"])
def test_every_order_once_whatever_dies(
    mode: str, connector: Connector, server: PostgresServer, shop: Connection, database: str
) -> None:
    execute(shop, TABLE)
    execute(shop, INSERT, [BEFORE])
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
                server.stop()
                server.start()
                time.sleep(1.5)
            assert connector.alive, connector.told()
            connector.kill()
    done = connector.run("postgres", file, "--once")
    assert done.code == 0, done.err
    with server.connect(database) as reader:
        written = Counter(order for (order,) in execute(reader, "SELECT id::text FROM orders"))
    assert len(written) > BEFORE + 200
    events = connector.events(source)
    once = {event["event_id"]: event for event in events}
    assert orders_of(list(once.values())) == written
    assert mode == "replication" or len(once) == len(events), "only a first reading that is killed repeats some"

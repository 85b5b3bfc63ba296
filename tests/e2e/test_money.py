"""Money in any currency, from the first order into an empty installation on: it counts once, also after ``kill -9``."""

import csv
import urllib.request
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from support.collecting import basic, write_sources
from support.flow import Flow, wait_until

from contracts.settings import Settings
from sinks.clients import clickhouse_client, redis_client

KEY = "wk_money"
MAPPING = """
source: shop
name: Order Completed
customer_id: customer
occurred_at: {column: day, format: "%Y-%m-%d"}
properties:
  order_id: order
  total: {column: total, type: money, currency: {column: currency}}
"""
FIRST_DAY = date(2026, 1, 1)
Order = tuple[str, str, str]
"""Customer, total, currency."""
EURO: list[Order] = [(f"c-{number % 7}", f"{number}.10", "EUR") for number in range(1, 200)]
MIXED: list[Order] = [("c-1", "1500", "JPY"), ("c-1", "20", "eur"), ("c-2", "10.50", "USD"), ("c-2", "7", "QQQ")]
TABLE = """
    SELECT currency, count(), toString(sum(amount)), toString(sum(amount_base)), sum(amount_waits)
    FROM transactions FINAL GROUP BY currency ORDER BY currency
"""


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """An installation of its own that says nothing of money, with two workers and a collector."""
    folder = tmp_path_factory.mktemp("money")
    write_sources(folder, {"shop": KEY})
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url", "base_currency"))
    with Flow(Settings(data_dir=folder, workers=2, collector_port=0, **unset)) as running:  # type: ignore[arg-type]
        yield running


def replay(flow: Flow, folder: Path, orders: Sequence[Order]) -> str:
    file, mapping = folder / "orders.csv", folder / "mapping.yaml"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["customer", "order", "day", "total", "currency"])
        for number, (customer, total, currency) in enumerate(orders):
            day = FIRST_DAY + timedelta(days=number % 60)
            writer.writerow([customer, f"{folder.name}-{number}", day, total, currency])
    mapping.write_text(MAPPING)
    return flow.run("replay", str(file), "--mapping", str(mapping))


def collect(flow: Flow, **properties: object) -> None:
    now = datetime.now(UTC).isoformat()
    message = {"type": "track", "event": "Order Completed", "userId": "c-3", "timestamp": now, "messageId": f"m-{now}",
               "properties": properties}  # fmt: skip
    request = urllib.request.Request(
        f"{flow.endpoints.collector_url}/v1/batch", orjson.dumps({"batch": [message], "sentAt": now}),
        {"Authorization": basic(KEY), "Content-Type": "application/json"},
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def stored(flow: Flow) -> dict[str, tuple[int, str, str, int]]:
    """By currency: transactions, their amounts, their worth in the base currency, and how many wait."""
    client = clickhouse_client(flow.endpoints.clickhouse_url, "crm")
    return {str(code): (int(count), *figures) for code, count, *figures in client.query(TABLE).result_rows}


def profiles(flow: Flow) -> tuple[int, Decimal]:
    """Orders and revenue of all customers, in ClickHouse."""
    client = clickhouse_client(flow.endpoints.clickhouse_url, "crm")
    orders, revenue = client.query("SELECT sum(orders), sum(revenue) FROM customers FINAL").result_rows[0]
    return int(orders), revenue


def published(flow: Flow) -> Decimal:
    """The revenue of all customers, in Redis."""
    with redis_client(flow.endpoints.redis_url) as redis:
        keys = list(redis.scan_iter("crm:profile:*"))
        return sum((Decimal(redis.hget(key, "revenue") or 0) for key in keys), Decimal(0))


def await_profiles(flow: Flow, orders: int, revenue: Decimal) -> None:
    """Wait until profiles and facts agree on what there is."""

    def agree() -> bool:
        base = sum(Decimal(worth) for _, _, worth, _ in stored(flow).values())
        return (profiles(flow), published(flow), base) == ((orders, revenue), revenue, revenue)

    try:
        wait_until(agree, "profiles and facts agree", 60, pause=0.5)
    except AssertionError:
        pytest.fail(f"{profiles(flow)} {published(flow)} {stored(flow)}\n{flow.told()}")


def test_money_of_any_currency_counts_once(flow: Flow, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In order, as the days of a shop go: nothing decided, euros, other currencies, rates, a crash, other rates."""
    # a producer of the shop's own writes to Kafka directly: nothing has decided before it
    body = {"event_id": "direct", "kind": "transaction", "name": "Order Completed", "customer_id": "c-1",
            "occurred_at": "2026-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:01Z", "source": "till",
            "properties": {"total": 5, "currency": "EUR"}}  # fmt: skip
    producer = Producer({
        "bootstrap.servers": flow.endpoints.kafka, "partitioner": "murmur2_random", "log_level": 0,
    })  # fmt: skip
    producer.produce("crm-transactions", orjson.dumps(body), b"c-1")
    assert producer.flush(20) == 0
    decided = flow.settings.data_dir / "base-currency.json"
    flow.await_that(decided.exists, "the base currency is decided")
    told = replay(flow, tmp_path_factory.mktemp("euros"), EURO)
    assert "Base currency: EUR (from the first order)." in told
    assert "wait" not in told
    revenue = 5 + sum((Decimal(total) for _, total, _ in EURO), Decimal(0))
    await_profiles(flow, len(EURO) + 1, revenue)

    told = replay(flow, tmp_path_factory.mktemp("mixed"), MIXED)
    assert "1 amount in JPY waits for a rate: `crmstream rates set JPY RATE` (1 JPY in EUR)." in " ".join(told.split())
    collect(flow, total=100, currency="GBP")
    collect(flow, total=3)
    revenue += 20 + 3
    await_profiles(flow, len(EURO) + 1 + len(MIXED) + 2, revenue)
    assert stored(flow)["GBP"] == (1, "100", "0", 1)
    status = orjson.loads(flow.run("status", "--json"))
    waiting = {one["currency"]: one["amounts"] for one in status["waiting_amounts"]}
    assert (status["base_currency"], waiting) == ("EUR", {"GBP": 1, "JPY": 1, "QQQ": 1, "USD": 1})
    assert "1 amount in QQQ" in flow.run("status")
    assert status["dead_letters"] == 0

    flow.run("rates", "set", "GBP", "1.2")
    flow.run("rates", "set", "JPY", "0.006")
    flow.run("rates", "set", "USD", "0.9")
    flow.kill()  # at any moment of the conversion
    flow.start()
    revenue += 120 + 9 + Decimal("9.45")
    await_profiles(flow, len(EURO) + 1 + len(MIXED) + 2, revenue)

    rates = tmp_path_factory.mktemp("rates") / "bank.csv"
    rates.write_text("currency,from,rate\nGBP,2020-01-01,1.5\nJPY,,0.01\nUSD,,2\nCHF,,1\nCHF,2026-01-02,1.1\n")
    flow.run("rates", "load", str(rates))
    told = replay(flow, tmp_path_factory.mktemp("later"), [("c-5", "1", "CHF"), ("c-5", "1", "CHF")])
    assert "wait" not in told
    revenue += Decimal("2.1")
    await_profiles(flow, len(EURO) + 1 + len(MIXED) + 4, revenue)
    assert stored(flow)["QQQ"][3] == 1

    flow.stop()
    flow.settings = flow.settings.model_copy(update={"base_currency": "USD"})
    refused = flow.fails()
    assert "CRM_BASE_CURRENCY is USD, but this installation counts in EUR (from the first order)" in refused



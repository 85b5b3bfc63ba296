"""Live events, as any Kafka producer would write them: no ticks, no history, and scores at once."""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from confluent_kafka import Producer
from support.collecting import basic, write_sources
from support.flow import Flow, wait_until

from connectors.files.replay import FileConnector
from connectors.kafka.publisher import Publisher, publish_history
from connectors.rows.mapping import parse_mapping
from contracts.settings import Settings
from sinks.clients import clickhouse_client, redis_client

KEY = "wk_live"
EXPORT = {
    "source": "export",
    "name": "Order Completed",
    "customer_id": "customer",
    "occurred_at": "at",
    "event_id": {"from": ["order", "event"]},
    "properties": {"status": "status", "total": {"column": "total", "type": "money", "currency": "USD"}},
}
CUSTOMERS = [f"live-{number}" for number in range(5)]


def purchase(number: int, customer: str) -> bytes:
    """An order of this moment."""
    now = datetime.now(UTC).isoformat()
    return orjson.dumps({
        "event_id": f"order-{number}", "kind": "transaction", "name": "Order Completed", "customer_id": customer,
        "occurred_at": now, "received_at": now, "source": "till", "schema_version": 1,
        "properties": {"order_id": str(number), "total": 12.5, "currency": "USD", "items": 1},
    })  # fmt: skip


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """An installation that the tests of this file share, with a collector.

    Its base currency is decided: else the first order of any test restarts the workers, a second later and for
    seconds, in which `status` says that they are down. tests/e2e/test_money.py is about that.
    """
    folder = tmp_path_factory.mktemp("live")
    write_sources(folder, {"shop": KEY})
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(data_dir=folder, collector_port=0, base_currency="USD", **unset)  # type: ignore[arg-type]
    with Flow(settings) as running:
        running.await_that(lambda: takes_events(running), "the collector takes events")
        yield running


def takes_events(flow: Flow) -> bool:
    """Whether the collector has found Kafka."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{flow.endpoints.collector_url}/ready") as answer:
        return bool(answer.status == 200)
    return False


def test_events_of_now_have_scores_at_once_and_move_them(flow: Flow) -> None:
    with redis_client(flow.endpoints.redis_url) as redis:
        producer = Producer({"bootstrap.servers": flow.endpoints.kafka, "partitioner": "murmur2_random"})

        def publish(number: int) -> str:
            customer = CUSTOMERS[number % len(CUSTOMERS)]
            producer.produce("crm-transactions", purchase(number, customer), customer.encode())
            assert producer.flush(20) == 0
            return f"crm:score:{{{customer}}}"

        keys = [publish(number) for number in range(20)]
        flow.await_that(lambda: all(redis.exists(key) for key in keys), "every customer has a score")
        before = redis.hgetall(keys[0])
        assert before["opportunity"] == "0.500000"  # nothing has been learned yet
        assert before["lifecycle"] == "new" or before["lifecycle"] == "active"
        began = time.monotonic()
        publish(20)
        wait_until(lambda: redis.hget(keys[0], "version") != before["version"], "the score follows", pause=0.002)
        print(f"from the producer to Redis: {(time.monotonic() - began) * 1000:.0f} ms")
        after = redis.hgetall(keys[0])
        assert int(after["version"]) > int(before["version"])
        assert after["as_of"] >= before["as_of"]
        profile = f"crm:profile:{{{CUSTOMERS[0]}}}"
        flow.await_that(lambda: redis.hget(profile, "orders") == "5", "the profile follows")


def replay(flow: Flow, path: Path, rows: str) -> None:
    """Publish an export as `crmstream replay` does."""
    path.write_text("order,customer,at,total,status\n" + rows, encoding="utf-8")
    with Publisher(flow.endpoints.kafka, flow.settings.partitions, flow.settings.sweep_hours) as publisher:
        publish_history(FileConnector(path, parse_mapping(EXPORT)), publisher)


def test_orders_that_are_exported_again_with_another_status_count_once(flow: Flow, tmp_path: Path) -> None:
    now, path = datetime.now(UTC).isoformat(), tmp_path / "orders.csv"
    old = [f"e-{number},export-1,{now},10.00," for number in range(3)]
    profile = "crm:profile:{export-1}"
    with redis_client(flow.endpoints.redis_url) as redis:
        replay(flow, path, "".join(f"{row}open\n" for row in old))
        flow.await_that(lambda: redis.hget(profile, "orders") == "3", "the profile has the orders")
        tonight = [f"{row}{status}\n" for row, status in zip(old, ("shipped", "refunded", "open"), strict=True)]
        replay(flow, path, "".join([*tonight, tonight[0], f"e-3,export-1,{now},10.00,open\n"]))
        flow.await_that(lambda: redis.hget(profile, "orders") == "4", "the profile has tonight's order")
    query = (
        "SELECT count(), countIf(JSONExtractString(properties, 'status') = 'shipped') FROM transactions FINAL "
        "WHERE customer_id = 'export-1'"
    )
    with clickhouse_client(flow.endpoints.clickhouse_url, flow.settings.clickhouse_database) as client:
        wait_until(lambda: client.query(query).result_rows[0] == (4, 1), "the warehouse has each order, as it is now")


def collect(flow: Flow, *messages: dict[str, object]) -> None:
    """Send messages to the collector as an SDK does."""
    now = datetime.now(UTC).isoformat()
    batch = [{"timestamp": now, "messageId": f"{now}-{number}", **each} for number, each in enumerate(messages)]
    request = urllib.request.Request(
        f"{flow.endpoints.collector_url}/v1/batch",
        orjson.dumps({"batch": batch, "sentAt": now}),
        {"Authorization": basic(KEY), "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def page(visitor: str) -> dict[str, object]:
    return {"type": "page", "anonymousId": visitor, "properties": {"url": "https://shop.example/"}}


def test_two_browsers_become_the_customer_who_signs_in(flow: Flow) -> None:
    """Through HTTP: visitors have scores; by a sign-in here and an alias there all of it becomes one person's."""
    visitors = ("browser-1", "browser-2")
    with redis_client(flow.endpoints.redis_url) as redis:
        collect(flow, *[page(visitors[0])] * 2, *[page(visitors[1])] * 3)
        scores = [f"crm:score:{{anonymous:{visitor}}}" for visitor in visitors]
        flow.await_that(lambda: all(redis.hget(score, "opportunity") for score in scores), "visitors have scores")
        told = [redis.hgetall(score) for score in scores]
        assert all(0 < float(each["opportunity"]) < 0.2 for each in told), "a visit is no order"
        assert not [each for each in told if "order" in each["opportunity_reasons"] or "churn" in each]
        collect(
            flow,
            {"type": "identify", "userId": "ann", "anonymousId": visitors[0]},
            {"type": "alias", "userId": "ann", "previousId": visitors[1]},
            {
                "type": "track", "event": "Order Completed", "userId": "ann",
                "properties": {"order_id": "o-1", "total": 30, "currency": "USD"},
            },
        )  # fmt: skip
        flow.await_that(
            lambda: [redis.hget(score, "merged_into") for score in scores] == ["ann", "ann"], "visitors are known"
        )
        assert not any(redis.hget(score, "opportunity") for score in scores), "two scores for one person"
        profile = "crm:profile:{ann}"
        wanted = {"web_events": "5", "orders": "1"}
        flow.await_that(
            lambda: {name: redis.hget(profile, name) for name in wanted} == wanted, "the customer has it all"
        )
        collect(flow, page(visitors[1]))
        flow.await_that(lambda: redis.hget(profile, "web_events") == "6", "what comes later is the customer's too")
        assert redis.hget("crm:score:{ann}", "opportunity")
    known = "SELECT count() FROM customers FINAL WHERE customer_id = 'ann'"
    with clickhouse_client(flow.endpoints.clickhouse_url, flow.settings.clickhouse_database) as client:
        wait_until(lambda: client.query(known).result_rows[0][0] == 1, "the warehouse knows what Redis knows")
    told = flow.run("identity", "show", "ann")
    assert "ann is a customer" in told


def test_a_link_shows_at_once_and_can_be_undone(flow: Flow) -> None:
    collect(flow, page("borrowed"), {"type": "identify", "userId": "cleo", "anonymousId": "borrowed",
                                     "traits": {"email": "cleo@example.com"}})  # fmt: skip
    with redis_client(flow.endpoints.redis_url) as redis:
        score = "crm:score:{anonymous:borrowed}"
        flow.await_that(lambda: redis.hget(score, "merged_into") == "cleo", "the device belongs to the customer")
        assert "borrowed is customer cleo." in flow.run("identity", "show", "borrowed")
        assert "cleo@example.com is customer cleo." in flow.run("identity", "show", "cleo@example.com")
        for identity in ("borrowed", "cleo@example.com"):
            assert f"{identity} is unlinked from cleo." in " ".join(
                flow.run("identity", "unlink", identity, "--yes").split()
            )
        assert "borrowed is a visitor who is not identified." in flow.run("identity", "show", "borrowed")
        assert flow.run("identity", "show", "cleo").count("unlinked from cleo") == 2
        assert redis.hget("crm:profile:{cleo}", "web_events") == "1", "what was merged stays"
        collect(flow, {"type": "alias", "userId": "dora", "previousId": "borrowed"})
        flow.await_that(lambda: redis.hget(score, "merged_into") == "dora", "the device is linked to another customer")
        assert "borrowed is customer dora." in flow.run("identity", "show", "borrowed")


def test_other_vocabularies_are_orders_and_a_synchronisation_is_no_visit(flow: Flow) -> None:
    """Events as older SDKs, Google Analytics and careless programs send them, down to the profile."""
    bought = [
        {"event": "Completed Order", "properties": {"orderId": "o-1", "revenue": "20.50", "currency": "USD"}},
        {"event": "purchase", "properties": {"transaction_id": "o-2", "value": 10, "currency": "USD",
                                             "items": [{"item_id": "p-1", "quantity": 5_000_000_000}]}},
        {"event": "Order Completed", "properties": {"id": "o-3", "currency": "USD",
                                                    "products": [{"price": 3, "quantity": 2}, {"price": 4}]}},
    ]  # fmt: skip
    person = {"userId": "bea"}
    groups = [{"type": "group", "groupId": "g-1", "traits": {"seats": number}, **person} for number in range(5)]
    wanted = {"orders": "3", "web_events": "2", "sessions": "1", "product_views": "1", "items": "65535"}
    with redis_client(flow.endpoints.redis_url) as redis:
        collect(
            flow, *groups, *({"type": "track", **person, **each} for each in bought),
            {"type": "track", **person, "event": "view_item", "properties": {"items": [{"item_id": "p-1"}]}},
            {"type": "track", **person, "event": "Order Complete", "properties": {"total": 5}},
        )  # fmt: skip
        profile = "crm:profile:{bea}"
        flow.await_that(
            lambda: {name: redis.hget(profile, name) for name in wanted} == wanted, "the profile has it all"
        )
    near = {"source": "shop", "note": "name: resembles Order Completed", "count": 1}
    flow.await_that(lambda: near in json.loads(flow.run("status", "--json"))["notes"], "the near miss is counted")

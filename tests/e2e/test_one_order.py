"""One order, told by the site's SDK, the shop's webhooks, its nightly exports and the payment provider, counts once."""

import csv
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from segment.analytics import Client as Segment
from support.flow import Flow, Log, wait_until

from connectors.sources.keys import key_hash
from contracts.settings import Settings
from sinks.clients import clickhouse_client

SAMPLES = Path(__file__).parents[2] / "docs" / "sources" / "samples"
KEY = "wk_site"
SECRETS = {"SHOPIFY_WEBHOOK_SECRET": "of-the-shop", "STRIPE_WEBHOOK_SECRET": "of-the-bank"}
NUMBER, NAME = "820982911946154508", "#9999"
TOTAL = Decimal("369.97")
ORDERS = """
    SELECT source, order_id, state, toString(total), toString(net_base), channel, payment_method, items
    FROM orders ORDER BY completed_at
"""
PROFILE = "SELECT customer_id, orders, toString(revenue) FROM customers FINAL WHERE customer_id LIKE '1153%'"
SOURCES = {
    "site": {"keys": [{"hash": key_hash(KEY), "created": "2026-01-01T00:00:00Z"}]},
    "shop": {"webhook": {"mapping": "shopify", "secret": "SHOPIFY_WEBHOOK_SECRET"}},
    "pay": {"webhook": {"mapping": "stripe", "secret": "STRIPE_WEBHOOK_SECRET"}},
}


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    """An installation of its own with a collector; the shop's webhooks lead."""
    folder = tmp_path_factory.mktemp("order")
    (folder / "sources.yaml").write_text(yaml.safe_dump({"sources": SOURCES}), encoding="utf-8")
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(
        data_dir=folder, collector_port=0, base_currency="USD", order_sources="shop, shopify, site, pay", **unset  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, secret in SECRETS.items():
            patch.setenv(name, secret)
        assert os.environ["STRIPE_WEBHOOK_SECRET"]
        with Flow(settings) as running:
            yield running


def ask(flow: Flow, query: str) -> list[tuple[Any, ...]]:
    client = clickhouse_client(flow.endpoints.clickhouse_url, flow.settings.clickhouse_database)
    return [tuple(row) for row in client.query(query).result_rows]


def facts(flow: Flow) -> dict[str, int]:
    """How many completed orders each source has reported."""
    return dict(ask(flow, "SELECT source, count() FROM transactions FINAL WHERE name = 'Order Completed' GROUP BY 1"))


def send(flow: Flow, sample: Path, source: str, *options: str) -> None:
    flow.run("webhook", "send", str(sample), "--source", source, "--url", flow.endpoints.collector_url or "", *options)


def exported(path: Path, fulfilment: str) -> Path:
    """Shopify's export of a night: one row per line of the order, its totals and states on the first row only."""
    with (SAMPLES / "shopify-orders.csv").open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
    order = {
        "Name": NAME, "Email": "customer-2@example.com", "Financial Status": "paid", "Currency": "USD",
        "Total": str(TOTAL), "Created at": "2021-12-31 19:00:00 -0500", "Paid at": "2021-12-31 19:00:00 -0500",
        "Fulfillment Status": fulfilment, "Refunded Amount": "0.00", "Id": NUMBER, "Source": "web",
    }  # fmt: skip
    lines = [{"Name": NAME, "Lineitem name": name, "Lineitem quantity": "1", "Lineitem price": price} for name, price in
             (("Sunglasses", "89.99"), ("Lounger", "159.99"), ("Table", "139.99"))]  # fmt: skip
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, restval="")
        writer.writeheader()
        writer.writerows([order | lines[0], *lines[1:]])
    return path


def test_an_order_that_everybody_reports_counts_once(flow: Flow, tmp_path: Path) -> None:
    url = flow.endpoints.collector_url
    assert url is not None
    site = Segment(KEY, host=url, sync_mode=True)
    lines = [{"product_id": "p", "quantity": 3}]
    said = {"order_id": NUMBER, "total": float(TOTAL), "currency": "USD", "products": lines}
    site.track("115310627314723954", "Order Completed", said)
    wait_until(lambda: facts(flow) == {"site": 1}, "the site's order is stored")
    assert [row[:3] for row in ask(flow, ORDERS)] == [("site", NUMBER, "completed")]

    charge = json.loads((SAMPLES / "stripe-charge-succeeded.json").read_text(encoding="utf-8"))
    charge["data"]["object"]["metadata"]["order_id"] = NUMBER
    paid = tmp_path / "charge.json"
    paid.write_text(json.dumps(charge), encoding="utf-8")
    send(flow, paid, "pay")
    wait_until(lambda: facts(flow).get("pay") == 1, "the payment is stored")
    send(flow, SAMPLES / "shopify-order-paid.json", "shop", "--header", "X-Shopify-Topic: orders/paid")
    wait_until(lambda: facts(flow).get("shop") == 1, "the webhook's order is stored")
    for fulfilment in ("unfulfilled", "fulfilled"):
        export = exported(tmp_path / f"{fulfilment}.csv", fulfilment)
        flow.run("replay", str(export), "--mapping", "shopify-orders")
        flow.drain(Log(flow.endpoints.kafka, flow.settings.partitions))

    assert facts(flow) == {"site": 1, "pay": 1, "shop": 1, "shopify": 1}
    assert ask(flow, PROFILE) == [("115310627314723954", 1, str(TOTAL))], "the site and the shop know the same customer"
    assert ask(flow, ORDERS) == [("shop", NUMBER, "completed", str(TOTAL), str(TOTAL), "web", "visa", 3)]
    assert ask(flow, "SELECT kind, toString(sum(amount_base)) FROM revenue GROUP BY kind") == [("sale", str(TOTAL))]
    assert len(ask(flow, "SELECT * FROM order_items")) == 3
    assert ask(flow, "SELECT count() FROM dead_letters") == [(0,)]


def test_what_only_the_payment_provider_reports_counts_too(flow: Flow, tmp_path: Path) -> None:
    """A refund that somebody made at the provider. What it pays back is less than the order."""
    refunded = json.loads((SAMPLES / "stripe-charge-refunded.json").read_text(encoding="utf-8"))
    refunded["data"]["object"]["metadata"]["order_id"] = NUMBER
    path = tmp_path / "refund.json"
    path.write_text(json.dumps(refunded), encoding="utf-8")
    send(flow, path, "pay")
    wait_until(lambda: bool(ask(flow, "SELECT 1 FROM revenue WHERE kind = 'refund'")), "the refund counts")
    [(source, number, state, total, net, *_)] = ask(flow, ORDERS)
    assert (source, number, state, total) == ("shop", NUMBER, "refunded_in_part", str(TOTAL))
    assert 0 < Decimal(net) < TOTAL

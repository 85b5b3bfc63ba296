"""Real SDKs, unmodified, pointed at the collector: every event arrives once, with its customer, time and properties."""

import functools
import os
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from pydantic import SecretStr
from support.collecting import CollectorProcess, read_records, write_sources
from support.sdks import SDKS, install

from contracts.settings import Settings
from crmstream.stack.supervisor import LocalStack

pytestmark = pytest.mark.stack

KEY = "wk_shop"
WRONG_CLOCK = timedelta(hours=3)
BACK_DATED = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
TOLERANCE = timedelta(seconds=5)
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--no-first-run")  # fmt: skip
PLACE = "<!-- the snippet of the collector's page -->"
Events = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CollectorProcess, str]]:
    """A collector, and its Kafka."""
    folder = tmp_path_factory.mktemp("sdks")
    write_sources(folder / "crm", {"shop": KEY})
    outside = {"clickhouse_url": SecretStr("http://127.0.0.1:1"), "redis_url": SecretStr("redis://127.0.0.1:1")}
    settings = Settings(data_dir=folder / "stack", kafka_bootstrap_servers=None, **outside)
    with (
        LocalStack(settings, with_dataflow=False) as stack,
        CollectorProcess(folder / "crm", stack.endpoints.kafka) as running,
    ):
        yield running, stack.endpoints.kafka


@pytest.fixture(scope="module")
def node_modules() -> Path:
    return install()


@pytest.fixture(scope="module")
def site(collector: tuple[CollectorProcess, str], node_modules: Path, tmp_path_factory: Any) -> Iterator[str]:
    """A shop's own web server, with analytics.js on it."""
    folder = tmp_path_factory.mktemp("site")
    shop = (SDKS / "shop.html").read_text(encoding="utf-8")
    assert PLACE in shop
    (folder / "index.html").write_text(shop.replace(PLACE, snippet(collector[0])), encoding="utf-8")
    shutil.copytree(node_modules / "@segment" / "analytics-next" / "dist" / "umd", folder / "js")
    shutil.copy(folder / "js" / "standalone.js", folder / "js" / "analytics.min.js")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def snippet(collector: CollectorProcess) -> str:
    """What the collector's page says to put into one's own pages, as the browser shows it there."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        page = browser.new_page()
        page.goto(collector.url)
        page.get_by_role("tab", name="Browser").click()
        page.locator("#key").fill(KEY)
        text = page.locator("#snippet").text_content() or ""
        browser.close()
    assert KEY in text
    return text


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing."""


def run(command: list[str], collector: CollectorProcess, customer: str, clock: timedelta = timedelta()) -> None:
    """Let a program with an SDK in it send its events."""
    environment = os.environ | {
        "URL_OF_COLLECTOR": collector.url,
        "WRITE_KEY": KEY,
        "CUSTOMER": customer,
        "BACK_DATED": BACK_DATED.isoformat(),
        "CLOCK_SECONDS": str(clock.total_seconds()),
    }
    done = subprocess.run(
        command, cwd=SDKS, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rror" not in done.stderr, done.stderr


def visit(site: str, collector: CollectorProcess) -> None:
    """A visit to the shop, in a browser whose clock is wrong: views, a cart, a sign-in, an order.

    Then a look at the collector's own page: it shows them, without ids and properties unless asked.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        page = browser.new_page()
        page.clock.install(time=datetime.now(UTC) + WRONG_CLOCK)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto(site)
        for button in ("view", "add", "cart", "sign-in", "order"):
            with page.expect_response(lambda answer: "/v1/" in answer.url and answer.request.method == "POST") as sent:
                page.click(f"#{button}")
            assert sent.value.status == 200
        view = browser.new_page()
        view.on("console", lambda message: problems.append(message.text))
        view.goto(collector.url)
        view.get_by_text("Order Completed").first.wait_for()
        assert "browser-customer" not in view.content()
        view.get_by_label("ids and properties").check()
        view.get_by_text("browser-customer").first.wait_for()
        view.get_by_role("tab", name="curl").click()
        assert f"{collector.url}/v1/track" in (view.locator("#snippet").text_content() or "")
        browser.close()
        assert problems == []


@pytest.fixture(scope="module")
def sent(
    collector: tuple[CollectorProcess, str], node_modules: Path, site: str
) -> tuple[Events, datetime, datetime]:
    """All events that all SDKs sent, by customer (of the browser: ``browser``), and when that began and ended."""
    running, kafka = collector
    began = datetime.now(UTC)
    python, node = sys.executable, ["node", "--require", "./clock.cjs"]
    run([python, "server_python.py", "segment"], running, "segment-python")
    run([python, "server_python.py", "rudder"], running, "rudder-python")
    run([*node, "segment.cjs"], running, "segment-node", WRONG_CLOCK)
    run([*node, "rudder.cjs"], running, "rudder-node", -WRONG_CLOCK)
    visit(site, running)
    events: Events = defaultdict(list)
    records, refusals = read_records(kafka)
    assert refusals == []
    for event in records:
        name = event.get("customer_id", "")
        events[name if name in SERVERS else "browser"].append(event)
    return events, began, datetime.now(UTC)


LIBRARIES = {
    "segment-python": "analytics-python", "rudder-python": "analytics-python",
    "segment-node": "@segment/analytics-node", "rudder-node": "analytics-node",
}  # fmt: skip
SERVERS = tuple(LIBRARIES)
TOPIC_OF = {
    "Identify": "crm-identities", "Page Viewed": "crm-web-events", "Screen Viewed": "crm-web-events",
    "Group": "crm-identities", "Alias": "crm-identities", "Product Viewed": "crm-web-events",
    "Order Completed": "crm-transactions", "Order Refunded": "crm-transactions",
}  # fmt: skip


@pytest.mark.parametrize("customer", SERVERS)
def test_a_server_sdk_sends_each_event_once_with_its_customer_and_properties(
    customer: str, sent: tuple[Events, datetime, datetime]
) -> None:
    events = sent[0][customer]
    assert {event["name"]: event["topic"] for event in events} == TOPIC_OF
    assert len(events) == len(TOPIC_OF)
    assert len({event["event_id"] for event in events}) == len(events)
    assert all((event["source"], event["customer_id"]) == ("shop", customer) for event in events)
    by_name = {event["name"]: event["properties"] for event in events}
    assert {"email": "ada@example.com", "plan": "gold"}.items() <= by_name["Identify"]["traits"].items()
    (identify,) = (event for event in events if event["name"] == "Identify")
    assert identify["anonymous_id"] == f"{customer}-visitor"
    assert by_name["Page Viewed"]["url"] == "https://shop.example/shoes"
    assert by_name["Page Viewed"]["name"] == "Shoes"
    assert by_name["Alias"]["previous_id"] == f"{customer}-before"
    assert by_name["Group"]["group_id"] == "77"
    assert by_name["Group"]["group_traits"] == {"name": "Example Ltd"}
    order = by_name["Order Completed"]
    assert (order["order_id"], order["total"], order["currency"], order["items"]) == (f"{customer}-o1", 59.9, "EUR", 2)
    assert order["products"] == [{"product_id": "p-1", "quantity": 2, "price": 29.95}]
    assert order["context"]["library"]["name"] == LIBRARIES[customer]


@pytest.mark.parametrize("customer", SERVERS)
def test_the_times_of_a_server_stand_unless_they_lie_in_the_future(
    customer: str, sent: tuple[Events, datetime, datetime]
) -> None:
    events, began, ended = sent
    slow = WRONG_CLOCK if customer == "rudder-node" else timedelta()
    for event in events[customer]:
        occurred_at = datetime.fromisoformat(event["occurred_at"])
        if event["name"] == "Order Refunded":  # the program's own time, to the microsecond
            assert occurred_at == BACK_DATED
        else:  # the clock of segment-node is fast, and its times are corrected
            assert began - slow - TOLERANCE < occurred_at < ended - slow + TOLERANCE


def test_analytics_js_in_a_browser(sent: tuple[Events, datetime, datetime]) -> None:
    events, began, ended = sent
    found = sorted(events["browser"], key=lambda event: event["occurred_at"])
    assert [event["name"] for event in found] == [
        "Page Viewed", "Product Viewed", "Product Added", "Cart Viewed", "Identify", "Order Completed",
    ]  # fmt: skip
    assert len({event["event_id"] for event in found}) == len(found)
    (visitor,) = {event["anonymous_id"] for event in found}
    assert visitor
    known = [event.get("customer_id") for event in found]
    assert known == [None, None, None, None, "browser-customer", "browser-customer"]
    page, view, _, cart, identify, order = (event["properties"] for event in found)
    assert page["url"].startswith("http://127.0.0.1:")
    assert page["context"]["page"]["title"] == "A shop"
    assert (view["product_id"], view["price"]) == ("p-1", 29.95)
    assert cart["products"][0]["quantity"] == 2
    assert identify["traits"] == {"email": "ada@example.com", "plan": "gold"}
    assert (order["order_id"], order["total"], order["currency"], order["items"]) == ("browser-o1", 59.9, "EUR", 2)
    for event in found:
        assert began - TOLERANCE < datetime.fromisoformat(event["occurred_at"]) < ended + TOLERANCE
        assert "time_problem" not in event["properties"]

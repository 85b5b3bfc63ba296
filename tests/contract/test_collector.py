"""Every endpoint of the collector, as SDKs use it, over a Deliver that is no Kafka."""

import asyncio
import base64
import gzip
import re
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from starlette.routing import Route
from starlette.types import ASGIApp
from support.asgi import Answer, ask
from support.collecting import basic, write_sources
from support.deliver import FakeDeliver
from support.deliver_contract import keeps_the_contract

from connectors.collector.app import ENDPOINTS, PIXELS, Collector, create_app
from connectors.collector.auth import Senders
from connectors.collector.body import BodyLimits, BodyReader
from connectors.collector.intake import Intake
from connectors.collector.page import Page
from connectors.collector.recent import Recent
from connectors.protocol import Record
from contracts.errors import NoRoomError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MESSAGE = {"userId": "c-1", "event": "Search", "groupId": "g", "previousId": "p", "mergeProperties": [
    {"type": "user_id", "value": "c-1"}, {"type": "anonymous_id", "value": "p"}]}  # fmt: skip
NAMES = {"track": "Search", "page": "Page Viewed", "screen": "Screen Viewed", "identify": "Identify",
         "alias": "Alias", "merge": "Alias", "group": "Group", "batch": "Search"}  # fmt: skip

_PAGE = """
const answers = %s, json = (content) => ({ ok: true, json: async () => content });
const any = new Proxy(function () {}, { get: (_, name) => name === Symbol.toPrimitive ? () => "" : any, set: () => true,
  apply: () => any });
globalThis.window = { location: { origin: "" }, setTimeout: () => {} };
globalThis.document = { getElementById: () => any, createElement: () => any };
let collector = 0;
globalThis.fetch = async (path) => json(path.startsWith("/feed") ? answers[collector][path.includes("after=0") ? 0 : 1]
  : { sources: 1, kafka: "up" });
%s
setTimeout(async () => { collector = 1; await look(); await look(); process.stdout.write(String(events.length)); }, 0);
"""
"""The page's script, without a browser, over the answers of a collector and, after its restart, of the next."""


class Wall:
    """A clock that stands where it is put."""

    seconds = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.seconds


class Bench:
    """A collector under test, and what it did."""

    def __init__(self, folder: Path, **parts: Any):
        write_sources(folder, {"shop": "wk", "slow": "wk-slow"}, slow={"events_per_second": 2})
        self.deliver, self.clock, recent = FakeDeliver(), Wall(), Recent()
        page = Page(recent, parts.pop("audience", "loopback"), parts.pop("bound_to", "127.0.0.1"))
        routes = parts.pop("routes", ())
        collector = Collector(
            **{
                "senders": Senders(folder / "sources.yaml"),
                "intake": Intake(self.deliver, recent, self.clock),
                "reader": BodyReader(BodyLimits(most_bytes=50_000)),
                "page": page,
                "available": lambda: self.deliver.available,
                "version": "1",
                "most_batch_events": 20,
                "now": lambda: NOW,
            }
            | parts
        )
        self.app: ASGIApp = create_app(collector, routes)

    def post(self, path: str, body: object, key: str | None = "wk", **headers: str) -> Answer:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        own = {} if key is None else {"Authorization": basic(key)}
        return ask(self.app, "POST", path, content, own | {name.replace("_", "-"): v for name, v in headers.items()})

    def get(self, path: str, **options: Any) -> Answer:
        return ask(self.app, "GET", path, **options)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(("path", "kind"), ENDPOINTS.items())
def test_every_path_takes_its_kind_of_message(path: str, kind: str, bench: Bench) -> None:
    body = {"batch": [{**MESSAGE, "type": "track"}]} if kind == "batch" else MESSAGE
    answer = bench.post(path, body)
    assert (answer.status, answer.json()) == (200, {"success": True})
    (event,) = bench.deliver.events
    assert (event["name"], event["customer_id"], event["source"]) == (NAMES[kind], "c-1", "shop")
    assert event["received_at"] == "2026-11-22T12:00:00Z"


@pytest.mark.parametrize("path", ["//v1//track", "/v1/track/", "/v1/track//"])
def test_an_address_with_a_slash_too_many_is_served_and_not_redirected(path: str, bench: Bench) -> None:
    assert bench.post(path, MESSAGE).status == 200
    assert bench.get("/health/").status == 200


FORMS: list[Callable[[Bench], Answer]] = [
    lambda bench: bench.post("/v1/track", MESSAGE),
    lambda bench: bench.post("/v1/track", MESSAGE, None, Authorization="Bearer wk"),
    lambda bench: bench.post("/v1/t", MESSAGE | {"writeKey": "wk"}, None, Content_Type="text/plain"),
    lambda bench: bench.post("/v1/t", MESSAGE | {"writeKey": "wk"}, None, Authorization="Basic Og=="),
    lambda bench: bench.post("/v1/b", {"batch": [{**MESSAGE, "type": "track"}], "writeKey": "wk"}, None),
    lambda bench: bench.post("/beacon/v1/batch?writeKey=wk", {"batch": [{**MESSAGE, "type": "track"}]}, None),
    lambda bench: bench.get("/pixel/v1/track?writeKey=wk&userId=c-1&event=Search"),
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_write_key(form: Callable[[Bench], Answer], bench: Bench) -> None:
    assert form(bench).status == 200
    assert [event["source"] for event in bench.deliver.events] == ["shop"]


@pytest.mark.parametrize(("key", "code"), [("nobody's", "unknown_write_key"), (None, "no_write_key")])
def test_a_key_that_is_none_is_told_with_401(key: str | None, code: str, bench: Bench) -> None:
    for answer in (bench.post("/v1/track", MESSAGE, key), bench.post("/v1/batch", {"batch": []}, key)):
        assert (answer.status, answer.json()["code"]) == (401, code)
        assert set(answer.json()) == {"success", "code", "message"}
    assert bench.get("/pixel/v1/track?writeKey=x&userId=c&event=e").status == 401
    assert bench.get("/v1/projects/x/settings").status == 401
    assert bench.get("/sourceConfig").status == 401
    assert bench.deliver.records == []


def test_a_key_that_is_nobody_s_is_told_before_the_body_is_read(bench: Bench) -> None:
    for path, own in (("/v1/batch", "nobody's"), ("/v1/batch?writeKey=x", None), ("/v1/track?writeKey=x", None)):
        assert bench.post(path, b"0" * 60_000, own).status == 401
    assert bench.post("/v1/track", b"0" * 60_000, "wk").status == 400


def test_a_context_that_would_grow_without_bounds_in_a_batch_is_told_with_400(tmp_path: Path) -> None:
    bench = Bench(tmp_path, reader=BodyReader(BodyLimits(most_bytes=50_000, most_copied_bytes=100_000)))
    message = {**MESSAGE, "type": "track"}
    for events, status in ((9, 200), (11, 400)):
        answer = bench.post("/v1/batch", {"batch": [message] * events, "context": {"x": "y" * 10_000}})
        assert answer.status == status
    assert answer.json()["code"] == "too_large"
    assert len(bench.deliver.events) == 9


def test_what_is_too_large_or_no_json_is_told_with_400(bench: Bench) -> None:
    large = {"userId": "c", "event": "x", "properties": {"text": "x" * 33_000}}
    many = {"batch": [{}] * 21}
    wrong: list[object] = [b"{", b"[]", b"\xff", large, b"x" * 50_001]
    for body in wrong:
        assert bench.post("/v1/track", body).status == 400
    assert bench.post("/v1/batch", many).status == 400
    assert bench.post("/v1/batch", gzip.compress(b"0" * 50_001), Content_Encoding="gzip").status == 400
    assert bench.deliver.records == []


def test_an_invalid_message_goes_to_the_dead_letters_and_its_batch_is_taken(bench: Bench) -> None:
    large = {"type": "track", "userId": "c", "event": "x", "properties": {"text": "x" * 33_000}}
    batch = [{**MESSAGE, "type": "track"}, {"type": "track", "writeKey": "wk"}, 5, large]
    assert bench.post("/v1/batch", {"batch": batch}).status == 200
    assert len(bench.deliver.events) == 1
    assert [(one.stage, one.field, one.source) for one in bench.deliver.refusals] == [
        ("collect", "event", "shop"), ("collect", "body", "shop"), ("collect", "body", "shop"),
    ]  # fmt: skip
    assert all(b"wk" not in (record.value or b"") for record in bench.deliver.records)


def test_a_packed_batch_is_merged_and_its_times_are_corrected(bench: Bench) -> None:
    body = {
        "batch": [{**MESSAGE, "type": "track", "timestamp": "2026-11-22T14:50:00Z", "context": {"app": {"build": 7}}}],
        "sentAt": "2026-11-22T15:00:00Z",
        "context": {"app": {"name": "shop"}},
    }
    assert bench.post("/v1/batch", gzip.compress(orjson.dumps(body)), Content_Encoding="gzip").status == 200
    (event,) = bench.deliver.events
    assert event["occurred_at"] == "2026-11-22T11:50:00Z"
    assert event["properties"]["context"] == {"app": {"name": "shop", "build": 7}}


def test_an_event_of_2099_is_of_now_and_says_so(bench: Bench) -> None:
    bench.post("/v1/track", MESSAGE | {"timestamp": "2099-01-01T00:00:00Z"})
    (event,) = bench.deliver.events
    assert (event["occurred_at"], event["properties"]["time_problem"]) == ("2026-11-22T12:00:00Z", "in the future")


def test_the_same_request_again_has_the_same_ids(bench: Bench) -> None:
    body = {"batch": [{**MESSAGE, "type": "track"}] * 2}
    for _ in range(2):
        assert bench.post("/v1/batch", body).status == 200
    ids = [event["event_id"] for event in bench.deliver.events]
    assert ids[:2] == ids[2:]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("message_id", ["1", None, "m" * 100])
def test_two_sources_may_use_the_same_ids(bench: Bench, message_id: str | None) -> None:
    for key in ("wk", "wk-slow"):
        assert bench.post("/v1/track", MESSAGE | {"messageId": message_id}, key).status == 200
    assert len({event["event_id"] for event in bench.deliver.events}) == 2


def test_kafka_away_is_503_with_retry_after_and_nothing_is_taken(bench: Bench) -> None:
    bench.deliver.available = False
    answer = bench.post("/v1/track", MESSAGE)
    assert (answer.status, answer.json()["code"]) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0
    ready = bench.get("/ready")
    assert (ready.status, ready.json()["kafka"]) == (503, "away")
    assert bench.get("/health").status == 200
    assert bench.get("/feed").json()["events"] == []
    bench.deliver.available = True
    assert bench.post("/v1/track", MESSAGE).status == 200
    assert bench.get("/ready").json() == {
        "status": "ready", "kafka": "up", "disk": "well", "sources": 2, "sources_file": "well",
    }  # fmt: skip


def test_a_full_disk_is_507_with_retry_after_and_nothing_is_taken(tmp_path: Path) -> None:
    full, recent, delivered = True, Recent(), FakeDeliver()

    async def deliver(records: Sequence[Record]) -> None:
        if full:
            raise NoRoomError("the disk is full")
        await delivered(records)

    bench = Bench(tmp_path, intake=Intake(deliver, recent), disk_full=lambda: full)
    for path, body in (("/v1/track", MESSAGE), ("/v1/batch", {"batch": [{**MESSAGE, "type": "track"}]})):
        answer = bench.post(path, body)
        assert (answer.status, answer.json()["code"]) == (507, "no_room")
        assert int(answer.headers["retry-after"]) > 0
    ready = bench.get("/ready")
    assert (ready.status, ready.json()["disk"], ready.json()["kafka"]) == (507, "full", "up")
    full = False
    assert bench.post("/v1/track", MESSAGE).status == 200
    assert bench.get("/ready").status == 200


def test_a_key_that_sends_too_much_waits_and_no_other(bench: Bench) -> None:
    batch = {"batch": [{**MESSAGE, "type": "track"}] * 8}
    assert bench.post("/v1/batch", batch, "wk-slow").status == 200
    answer = bench.post("/v1/track", MESSAGE, "wk-slow")
    assert (answer.status, answer.json()["code"]) == (429, "rate_limited")
    assert answer.headers["retry-after"] == answer.headers["x-ratelimit-reset"] == "4"
    assert bench.post("/v1/batch", batch).status == 200
    bench.clock.seconds += int(answer.headers["retry-after"])
    assert bench.post("/v1/track", MESSAGE, "wk-slow").status == 200


def test_pages_of_any_origin_may_send(bench: Bench) -> None:
    origin = {"Origin": "https://shop.example"}
    asked = origin | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = ask(bench.app, "OPTIONS", "/v1/track", headers=asked)
    assert preflight.status == 204
    assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for answer in (bench.post("/v1/t", MESSAGE, **origin), bench.post("/v1/t", b"{", **origin)):
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in bench.post("/v1/t", MESSAGE).headers


@pytest.mark.parametrize(("path", "kind"), PIXELS.items())
def test_pictures_take_messages(path: str, kind: str, bench: Bench) -> None:
    data = base64.urlsafe_b64encode(orjson.dumps(MESSAGE | {"writeKey": "wk"})).decode().rstrip("=")
    answer = bench.get(f"{path}?data={data}")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/gif")
    assert answer.body.startswith(b"GIF89a")
    assert [event["name"] for event in bench.deliver.events] == [NAMES[kind]]


def test_a_picture_s_parameters_are_fields(bench: Bench) -> None:
    query = "writeKey=wk&anonymousId=a-1&event=Product+Viewed&properties.product_id=p&context.locale=de&properties=5"
    assert bench.get(f"/pixel/v1/track?{query.removesuffix('&properties=5')}").status == 200
    (event,) = bench.deliver.events
    assert (event["anonymous_id"], event["properties"]) == ("a-1", {"product_id": "p", "context": {"locale": "de"}})
    assert bench.get(f"/pixel/v1/track?{query}").status == 200
    for data in ("%25", "%C3%8A"):
        assert bench.get(f"/pixel/v1/track?writeKey=wk&data={data}").status == 400


PLUS = {"userId": "c-1", "event": "Search", "properties": {"q": "~~~~~~>>>>>>??????"}}
"""A message in whose base64 there are pluses and slashes."""
ENCODED = base64.b64encode(orjson.dumps(PLUS)).decode()


@pytest.mark.parametrize(
    "data",
    [
        ENCODED,  # a plus that is not escaped arrives as a blank
        ENCODED.rstrip("="),
        base64.urlsafe_b64encode(orjson.dumps(PLUS)).decode(),
        quote(ENCODED, safe=""),
        quote(quote(ENCODED, safe=""), safe=""),
        ENCODED[:40] + "%0D%0A" + ENCODED[40:],
        quote(orjson.dumps(PLUS).decode()),
    ],
)
def test_a_picture_s_base64_is_read_however_the_address_writes_it(data: str, bench: Bench) -> None:
    assert "+" in ENCODED
    assert bench.get(f"/pixel/v1/track?writeKey=wk&data={data}").status == 200
    assert [event["properties"]["q"] for event in bench.deliver.events] == ["~~~~~~>>>>>>??????"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_body_with_a_byte_order_mark_is_taken(encoding: str, packed: bool, bench: Bench) -> None:
    body = '{"batch": [{"type": "track", "userId": "c-1", "event": "Söarch"}]}'.encode(encoding)
    assert bench.post("/v1/batch", gzip.compress(body) if packed else body).status == 200
    assert [event["name"] for event in bench.deliver.events] == ["Söarch"]


@pytest.mark.parametrize("header", [{}, {"Content_Encoding": "gzip"}, {"Content_Encoding": "deflate"}])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_how_a_body_is_packed_is_seen_in_it(
    pack: Callable[[bytes], bytes], header: dict[str, str], bench: Bench
) -> None:
    assert bench.post("/v1/track", pack(orjson.dumps(MESSAGE)), **header).status == 200
    assert [event["name"] for event in bench.deliver.events] == ["Search"]


def test_the_batch_s_time_of_sending_counts_for_all_its_messages(bench: Bench) -> None:
    item = {"type": "track", "userId": "c-1", "event": "Search", "timestamp": "2024-02-01T10:00:00Z",
            "sentAt": "2024-02-01T10:00:03Z"}  # fmt: skip
    bench.post("/v1/batch", {"batch": [item], "sentAt": "2026-11-22T12:00:00Z"})
    bench.post("/v1/batch", {"batch": [item], "sentAt": "garbage"})
    assert [event["occurred_at"] for event in bench.deliver.events] == ["2024-02-01T10:00:00Z", "2026-11-22T11:59:57Z"]


def test_a_server_s_times_stand_when_a_batch_is_late(bench: Bench) -> None:
    item = {"type": "track", "userId": "c-1", "event": "Search", "timestamp": "2026-11-01T10:00:00Z"}
    for name in ("analytics-python", "analytics.js"):
        context = {"library": {"name": name}}
        bench.post("/v1/batch", {"batch": [item], "context": context, "sentAt": "2026-11-22T11:59:30Z"})
    assert [event["occurred_at"] for event in bench.deliver.events] == ["2026-11-01T10:00:00Z", "2026-11-01T10:00:30Z"]


def test_an_order_of_another_vocabulary_is_an_order(bench: Bench) -> None:
    sent = {"transaction_id": "T-1", "value": 25.5, "currency": "EUR", "items": [{"item_id": "p", "quantity": 2}]}
    bench.post("/v1/track", {"userId": "c-1", "event": "purchase", "properties": sent})
    (event,) = bench.deliver.events
    assert (event["name"], event["kind"]) == ("Order Completed", "transaction")
    assert event["properties"]["original_name"] == "purchase"
    assert bench.deliver.records[0].topic == "crm-transactions"


def test_groups_are_statements_about_people_and_no_visits(bench: Bench) -> None:
    for number in range(5):
        bench.post("/v1/group", {"userId": "c-1", "groupId": "g", "messageId": str(number), "traits": {"seats": 5}})
    assert {record.topic for record in bench.deliver.records} == {"crm-identities"}
    assert bench.deliver.events[0]["properties"] == {"group_id": "g", "group_traits": {"seats": 5}}


def test_rudderstack_s_visitor_in_a_header_counts_where_a_message_has_none(bench: Bench) -> None:
    visitor = base64.b64encode(b"a-9").decode()
    bench.post("/v1/track", {"event": "x"}, AnonymousId=visitor)
    assert bench.deliver.events[0]["anonymous_id"] == "a-9"


def test_browser_sdks_read_their_settings(bench: Bench) -> None:
    settings = bench.get("/v1/projects/wk/settings", headers={"Host": "c.example:81"}).json()
    segment = settings["integrations"]["Segment.io"]
    assert (segment["apiKey"], segment["apiHost"], segment["protocol"]) == ("wk", "c.example:81/v1", "http")
    config = bench.get("/sourceConfig/?p=web&v=3", headers={"Authorization": basic("wk")}).json()
    assert (config["source"]["writeKey"], config["source"]["enabled"]) == ("wk", True)
    assert bench.post("/v1/m", {"series": []}, None).status == 200


def test_a_public_address_is_what_browsers_are_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, public_url="https://t.example.com")
    segment = bench.get("/v1/projects/wk/settings").json()["integrations"]["Segment.io"]
    assert (segment["apiHost"], segment["protocol"]) == ("t.example.com/v1", "https")


def test_the_client_s_address_is_kept_only_where_that_is_wanted(tmp_path: Path, bench: Bench) -> None:
    bench.post("/v1/track", MESSAGE)
    keeping = Bench(tmp_path, keep_ip=True)
    keeping.post("/v1/track", MESSAGE)
    assert "context" not in bench.deliver.events[0]["properties"]
    assert keeping.deliver.events[0]["properties"]["context"] == {"ip": "127.0.0.0"}  # cut, as the rules say


def test_what_is_not_there_and_what_must_not_be_done(bench: Bench) -> None:
    assert bench.get("/v2/track").status == 404
    assert bench.get("/v1/track").status == 405
    assert bench.get("/v2/track").json()["success"] is False
    assert bench.get("/version").json() == {"version": "1"}


def test_routes_of_other_connectors_are_served(tmp_path: Path) -> None:
    async def hook(request: Any) -> Any:
        raise AssertionError

    bench = Bench(tmp_path, routes=[Route("/v1/webhook/{source}", hook, methods=["POST"])])
    assert bench.get("/v1/webhook/x").status == 405


class TestPage:
    """The collector's own page and what is behind it."""

    def test_the_feed_tells_no_personal_data_unless_asked(self, bench: Bench) -> None:
        bench.post("/v1/track", MESSAGE | {"writeKey": "wk-live"}, "wk")
        bench.post("/v1/track", {"userId": "c-1", "writeKey": "wk-live"})
        (seen, wrong) = bench.get("/feed").json()["events"]
        assert (seen["name"], seen["source"], seen["kind"], seen["outcome"]) == ("Search", "shop", "web", "accepted")
        assert (wrong["outcome"], wrong["field"]) == ("refused", "event")
        assert "c-1" not in bench.get("/feed").body.decode()
        (again,) = bench.get("/feed?after=1&personal=1").json()["events"]
        assert "c-1" in again["body"]
        assert b"wk-live" not in bench.get("/feed?personal=1").body

    def test_only_so_many_are_kept(self, bench: Bench) -> None:
        for _ in range(6):
            bench.post("/v1/batch", {"batch": [{**MESSAGE, "type": "track"}] * 20})
        events = bench.get("/feed").json()["events"]
        assert [events[0]["number"], events[-1]["number"]] == [21, 120]

    @pytest.mark.parametrize(
        "options",
        [
            {"client": "10.0.0.5"},
            {"headers": {"Host": "evil.example"}},
            {"headers": {"X-Forwarded-For": "10.0.0.5"}},
            {"http_version": "1.0"},
        ],
    )
    def test_feed_and_metrics_are_for_this_machine(self, options: dict[str, Any], bench: Bench) -> None:
        assert bench.get("/feed").status == bench.get("/metrics").status == 200
        for path in ("/feed", "/metrics", "/feed?personal=1"):
            assert bench.get(path, **options).status == 403
        assert bench.get("/", **options).status == 200  # which tells nothing

    def test_bound_to_the_world_it_shows_events_only_if_a_setting_says_so(self, tmp_path: Path) -> None:
        for path in ("/feed", "/metrics"):
            refused = Bench(tmp_path, bound_to="0.0.0.0").get(path)
            assert refused.status == 403
            assert "CRM_COLLECTOR_HOST" in refused.json()["message"]
        assert Bench(tmp_path, audience="nobody").get("/feed").status == 403
        everybody = Bench(tmp_path, bound_to="0.0.0.0", audience="everybody")
        assert everybody.get("/feed", client="10.0.0.5").status == 200
        assert everybody.get("/feed?personal=1", client="10.0.0.5").status == 403

    def test_the_page_shows_what_comes_after_a_restart(self, tmp_path: Path) -> None:
        answers = []
        for count in (3, 1):  # the second collector's numbers begin at 1 again
            bench = Bench(tmp_path)
            for _ in range(count):
                bench.post("/v1/track", MESSAGE)
            answers += [[bench.get(f"/feed?after={after}").json() for after in (0, 3)]]
        script = bench.get("/static/page.js").body.decode()
        program = _PAGE % (orjson.dumps(answers).decode(), script)
        assert subprocess.run(["node", "-e", program], check=True, capture_output=True, timeout=60).stdout == b"4"

    def test_no_script_but_its_own_runs_in_it_and_no_other_page_reads_it(self, bench: Bench) -> None:
        page = bench.get("/")
        assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert not re.search(rb"<script>|<style>|\son\w+=|style=", page.body)
        for path in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.body.decode()):
            assert bench.get(path).status == 200
        assert b"innerHTML" not in bench.get("/static/page.js").body
        for path in ("/", "/feed", "/metrics", "/static/page.js"):
            assert "access-control-allow-origin" not in bench.get(path, headers={"Origin": "https://x"}).headers
        assert bench.get("/static/..%2fapp.py").status == 404


def test_the_document_names_every_endpoint(bench: Bench) -> None:
    paths = bench.get("/openapi.json").json()["paths"]
    assert {*ENDPOINTS, *PIXELS} <= set(paths)
    assert {"/health", "/ready", "/version", "/sourceConfig", "/v1/m"} <= set(paths)
    for path in ENDPOINTS:
        assert {"writeKey", "Content-Encoding"} <= {one["name"] for one in paths[path]["post"]["parameters"]}


def test_the_deliver_of_these_tests_keeps_the_contract_of_the_real_one() -> None:
    deliver = FakeDeliver()

    async def go_away() -> None:
        deliver.available = False

    def held() -> set[bytes]:
        return {record.value or b"" for record in deliver.records}

    asyncio.run(keeps_the_contract(deliver, held, go_away))

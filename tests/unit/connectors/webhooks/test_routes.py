"""The endpoint: what is taken is in Kafka before it is answered, and everything else is told apart."""

import asyncio
import errno
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.testclient import TestClient

from connectors.collector.body import BodyLimits, BodyReader
from connectors.protocol import Record
from connectors.sources.file import SourcesFile
from connectors.sources.signatures import PRESETS, sign
from connectors.webhooks.receivers import Receivers
from connectors.webhooks.routes import routes
from contracts.errors import StoreUnavailableError
from contracts.refused import REFUSED_KEY, read_refusal

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SAMPLES = Path(__file__).parents[4] / "docs" / "sources" / "samples"
CHARGE = (SAMPLES / "stripe-charge-succeeded.json").read_bytes()
SOURCES = """\
sources:
  pay: {webhook: {mapping: stripe, secret: [PAY_SECRET, PAY_SECRET_OLD]}}
  unset: {webhook: {mapping: stripe, secret: NOBODY_SET_THIS}}
  wrong: {webhook: {mapping: no-such.yaml, secret: PAY_SECRET}}
  open: {webhook: {mapping: mine.yaml, signature: none}}
  store: {webhook: {mapping: woocommerce, secret: PAY_SECRET}}
  unset-store: {webhook: {mapping: woocommerce, secret: NOBODY_SET_THIS}}
  slow: {webhook: {mapping: mine.yaml, secret: PAY_SECRET, signature: stripe}, events_per_second: 2}
  site: {currency: EUR}
"""
MINE = "customer_id: who\nunknown: refuse\nrules: [{when: {n: 1}, name: Identify}]\n"


@dataclass
class Kafka:
    """Stands in for the delivery."""

    records: list[Record] = field(default_factory=list)
    away: bool = False

    async def deliver(self, records: Sequence[Record]) -> None:
        if self.away:
            raise StoreUnavailableError("Kafka is away.")
        self.records += records


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


@pytest.fixture
def receivers(tmp_path: Path) -> Receivers:
    (tmp_path / "sources.yaml").write_text(SOURCES)
    (tmp_path / "mine.yaml").write_text(MINE)
    file = SourcesFile(tmp_path / "sources.yaml", check_seconds=0)
    return Receivers(file.current, tmp_path, environment={"PAY_SECRET": "new", "PAY_SECRET_OLD": "old"})


@pytest.fixture
def client(receivers: Receivers, kafka: Kafka) -> Iterator[TestClient]:
    bodies = BodyReader(BodyLimits(most_bytes=20_000))
    with TestClient(Starlette(routes=routes(receivers, kafka.deliver, bodies, clock=lambda: NOW))) as client:
        yield client


def post(client: TestClient, source: str, body: bytes, secret: str | None = None, at: datetime = NOW) -> Response:
    headers = sign(PRESETS["stripe"], body, secret, at) if secret else {}
    return client.post(f"/v1/webhook/{source}", content=body, headers=headers)


def counted(source: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("crm_webhooks_total", {"source": source, "outcome": outcome}) or 0


@pytest.mark.parametrize("secret", ["new", "old"])
def test_what_is_signed_is_in_kafka_before_it_is_answered(client: TestClient, kafka: Kafka, secret: str) -> None:
    before = counted("pay", "accepted")
    answer = post(client, "pay", CHARGE, secret)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "events": 1, "ignored": 0, "refused": 0, "type": "charge.succeeded"}
    (record,) = kafka.records
    event = json.loads(record.value or b"")
    assert (event["name"], event["source"], event["received_at"]) == ("Order Completed", "pay", "2026-05-01T12:00:00Z")
    assert counted("pay", "accepted") == before + 1


def test_the_same_again_has_the_same_id(client: TestClient, kafka: Kafka) -> None:
    for _ in range(2):
        post(client, "pay", CHARGE, "new")
    assert len({json.loads(record.value or b"")["event_id"] for record in kafka.records}) == 1


@pytest.mark.parametrize(
    ("secret", "at", "said"),
    [
        (None, NOW, "Stripe-Signature is missing"),
        ("wrong", NOW, "does not match"),
        ("new", datetime(2026, 5, 1, 11, tzinfo=UTC), "300 seconds off"),
    ],
)
def test_what_is_not_signed_leaves_no_trace(
    client: TestClient, kafka: Kafka, secret: str | None, at: datetime, said: str
) -> None:
    before = counted("pay", "bad_signature")
    answer = post(client, "pay", CHARGE, secret, at)
    assert answer.status_code == 401
    assert said in answer.json()["message"]
    assert kafka.records == []
    assert counted("pay", "bad_signature") == before + 1


def test_an_unsigned_body_is_not_even_read_as_json(client: TestClient) -> None:
    assert post(client, "pay", b"{no json").status_code == 401
    assert post(client, "pay", b"{no json", "new").status_code == 400


@pytest.mark.parametrize("source", ["nobody", "site"])
def test_who_takes_no_webhooks_is_not_found(client: TestClient, source: str) -> None:
    assert post(client, source, CHARGE, "new").status_code == 404


def test_a_body_that_is_too_large_is_refused(client: TestClient, kafka: Kafka) -> None:
    answer = post(client, "pay", b"[" + b" " * 20_000 + b"]", "new")
    assert (answer.status_code, answer.json()["code"]) == (400, "too_large")
    assert kafka.records == []


def test_a_secret_that_is_not_set_keeps_webhooks_until_it_is(
    client: TestClient, kafka: Kafka, caplog: pytest.LogCaptureFixture
) -> None:
    post(client, "unset", CHARGE, "new")
    answer = post(client, "unset", CHARGE, "new")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "NOBODY_SET_THIS" in answer.json()["message"]
    assert caplog.text.count("NOBODY_SET_THIS") == 2  # all are kept out, one was refused: whoever calls cannot fill it
    assert kafka.records == []


def test_a_mapping_that_is_wrong_keeps_webhooks_and_is_told_in_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert post(client, "wrong", CHARGE, "new").status_code == 503
        assert post(client, "wrong", CHARGE, "new").status_code == 503
    assert caplog.text.count("no-such.yaml: no such file") == 1


def test_while_kafka_is_away_the_provider_is_to_send_again(client: TestClient, kafka: Kafka) -> None:
    kafka.away = True
    answer = post(client, "pay", CHARGE, "new")
    assert answer.status_code == 503
    assert 0 < int(answer.headers["retry-after"]) < 60  # Zendesk sends again only then
    kafka.away = False
    assert post(client, "pay", CHARGE, "new").status_code == 200
    assert len(kafka.records) == 1


def test_what_is_ignored_is_told_and_leaves_nothing(client: TestClient, kafka: Kafka) -> None:
    answer = post(client, "pay", b'{"type": "payout.paid", "id": "evt"}', "new").json()
    assert (answer["ignored"], answer["reason"]) == (1, "no rule is for this type")
    assert kafka.records == []


def test_what_is_refused_goes_to_the_dead_letters_and_is_told_without_values(client: TestClient, kafka: Kafka) -> None:
    body = CHARGE.replace(b"1099", b'"SECRET"')
    answer = post(client, "pay", body, "new")
    assert answer.status_code == 200
    assert answer.json()["problems"] == [{"field": "properties.total", "problem": "is not a number"}]
    (record,) = kafka.records
    refusal = read_refusal(record.headers)
    assert record.key == REFUSED_KEY
    assert refusal is not None
    assert (refusal.stage, refusal.source, refusal.field) == ("webhook", "pay", "properties.total")
    assert json.loads(record.value or b"") == json.loads(body)


def test_without_a_signature_only_where_that_is_written_out(client: TestClient, kafka: Kafka) -> None:
    assert post(client, "open", b'{"who": "c-1", "n": 1}').json()["events"] == 1
    assert post(client, "open", b'{"who": "c-1", "n": 2}').json()["refused"] == 1
    assert [record.key for record in kafka.records] == [b"c-1", REFUSED_KEY]


def test_a_changed_file_of_sources_counts_at_once(client: TestClient, tmp_path: Path) -> None:
    assert post(client, "wrong", CHARGE, "new").status_code == 503
    (tmp_path / "sources.yaml").write_text(SOURCES.replace("no-such.yaml", "stripe") + "\n")
    assert post(client, "wrong", CHARGE, "new").status_code == 200
    (tmp_path / "sources.yaml").write_text("sources: {site: {}}")
    assert post(client, "wrong", CHARGE, "new").status_code == 404


def test_a_changed_mapping_counts_at_once_and_a_broken_one_not_at_all(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def events() -> int:
        return int(post(client, "open", b'{"who": "c-1", "n": 2}').json()["events"])

    assert events() == 0
    (tmp_path / "mine.yaml").write_text(MINE.replace("n: 1", "n: [1, 2]"))
    assert events() == 1
    (tmp_path / "mine.yaml").write_text("rules: [")
    assert events() == 1
    assert "Source open keeps the mapping from before" in caplog.text


def test_a_read_error_that_passes_keeps_nobody_out(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read_text = Path.read_text

    def fail(path: Path, *given: Any, **options: Any) -> str:
        if path.name == "mine.yaml":
            raise OSError(errno.EMFILE, "Too many open files")
        return read_text(path, *given, **options)

    def status() -> int:
        return post(client, "open", b'{"who": "c-1", "n": 1}').status_code

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", fail)
        assert [status(), status()] == [503, 503]
    assert status() == 200
    (tmp_path / "mine.yaml").write_text(MINE + "\n")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", fail)
        assert status() == 200  # by the mapping from before
        (tmp_path / "sources.yaml").write_text(SOURCES.replace("signature: none}", "signature: none}, currency: EUR"))
        assert status() == 503  # not by the rules from before
    assert status() == 200
    assert caplog.text.count("Too many open files") == 2  # whoever calls cannot fill the log


FORM = "application/x-www-form-urlencoded"


def ping(client: TestClient, source: str, body: bytes, content_type: str = FORM, **headers: str) -> Response:
    sent = {"Content-Type": content_type, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.post(f"/v1/webhook/{source}", content=body, headers=sent)


@pytest.mark.parametrize("body", [b"webhook_id=3", b"webhook_id=12345", b"webhook_id=0"])
@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=UTF-8", FORM.upper()])
def test_the_ping_that_a_mapping_allows_is_answered_and_becomes_no_event(
    client: TestClient, kafka: Kafka, caplog: pytest.LogCaptureFixture, body: bytes, content_type: str
) -> None:
    before = counted("store", "ignored")
    answer = ping(client, "store", body, content_type)
    assert answer.status_code == 200
    told = {"success": True, "events": 0, "ignored": 1, "refused": 0, "reason": "the provider has tried the address"}
    assert answer.json() == told
    assert (kafka.records, caplog.text, counted("store", "ignored")) == ([], "", before + 1)


@pytest.mark.parametrize(
    ("source", "body", "content_type"),
    [
        ("pay", b"webhook_id=3", FORM),  # its mapping allows none
        ("store", b"webhook_id=3", "application/json"),
        ("store", b"webhook_id=3&id=7", FORM),
        ("store", b"webhook_id=3\n", FORM),
        ("store", b"webhook_id=x", FORM),
        ("store", b"webhook_id=", FORM),
        ("store", b"webhook_id=" + b"9" * 21, FORM),
        ("store", b"hook=3", FORM),
        ("store", b'{"webhook_id": 3}', FORM),
        ("store", b"", FORM),
    ],
)
def test_nothing_else_gets_in_unsigned(
    client: TestClient, kafka: Kafka, source: str, body: bytes, content_type: str
) -> None:
    assert ping(client, source, body, content_type).status_code == 401
    assert kafka.records == []


def test_a_ping_with_a_wrong_signature_or_without_a_secret_is_none(client: TestClient) -> None:
    assert ping(client, "store", b"webhook_id=3", X_WC_Webhook_Signature="x").status_code == 401
    assert ping(client, "unset-store", b"webhook_id=3").status_code == 503


def test_an_order_of_woocommerce_is_taken_by_its_signature(client: TestClient, kafka: Kafka) -> None:
    body = (SAMPLES / "woocommerce-order-created.json").read_bytes()
    headers = sign(PRESETS["woocommerce"], body, "new", NOW) | {"X-WC-Webhook-Topic": "order.created"}
    answer = client.post("/v1/webhook/store", content=body, headers=headers)
    assert (answer.status_code, answer.json()["events"]) == (200, 1)
    assert kafka.records[0].key == b"26"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_body_may_begin_with_a_byte_order_mark(client: TestClient, kafka: Kafka, encoding: str) -> None:
    answer = post(client, "open", '{"who": "c-1", "n": 1}'.encode(encoding))
    assert answer.json()["events"] == 1
    assert post(client, "pay", CHARGE.decode().encode(encoding), "new").json()["events"] == 1
    first = json.loads(kafka.records[0].value or b"")
    post(client, "open", b'{"who": "c-1", "n": 1}')
    assert json.loads(kafka.records[-1].value or b"")["event_id"] == first["event_id"]


def test_what_is_refused_leaves_a_line_and_a_flood_does_not(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(50):
        post(client, "pay", CHARGE, "wrong")
        post(client, "nobody-%0A-knows", CHARGE)
        post(client, "open", b'{"who": "SECRET", "n": 2}')
    body = b'{"n": 1}'
    post(client, "slow", body, "new")
    assert [record.getMessage() for record in caplog.records] == [
        "Source pay: a webhook was refused: 401 the signature does not match.",
        "Source (not configured): a webhook was refused: 404 There is no such source of webhooks.",
        "Source open: a webhook was refused: type: has no rule in the mapping (the body is in the dead letters).",
        "Source slow: a webhook was refused: customer_id: one of customer_id and anonymous_id is required "
        "(the body is in the dead letters).",
    ]


def test_what_is_taken_leaves_no_line(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    post(client, "pay", CHARGE, "new")
    post(client, "pay", b'{"type": "payout.paid", "id": "evt"}', "new")
    assert caplog.text == ""


def test_a_source_that_sends_too_much_shall_wait(receivers: Receivers, kafka: Kafka, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("customer_id: who\nrules: [{each: list, name: Identify, event_id: item}]\n")
    now = [NOW]
    limited = routes(receivers, kafka.deliver, BodyReader(BodyLimits()), clock=lambda: now[0])

    def status(count: int, secret: str = "new", later: float = 0) -> int:
        now[0] += timedelta(seconds=later)
        body = json.dumps({"who": "c-1", "list": list(range(count))}).encode()
        answer = post(client, "slow", body, secret, now[0])
        if answer.status_code == 429:
            assert answer.headers["retry-after"] == answer.headers["x-ratelimit-reset"] == "2"
        return answer.status_code

    with TestClient(Starlette(routes=limited)) as client:
        assert [status(1, "wrong") for _ in range(4)] == [401] * 4  # strangers take nothing away from it
        kafka.away = True
        assert [status(1) for _ in range(4)] == [503] * 4
        kafka.away = False
        before = counted("slow", "rate_limited")
        assert [status(5), status(1), status(1, later=1.6)] == [200, 429, 200]
        assert counted("slow", "rate_limited") == before + 1
    assert len(kafka.records) == 6


def test_receivers_are_made_beside_the_event_loop(receivers: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    makers: list[str] = []
    make = Receivers._new
    monkeypatch.setattr(
        Receivers, "_new", lambda *given: (makers.append(threading.current_thread().name), make(*given))[1]
    )

    async def ask() -> None:
        found = await asyncio.gather(*(receivers.ready("pay") for _ in range(3)), receivers.ready("site"))
        assert found[0] is found[1] is found[2] is not None
        assert found[3] is None

    asyncio.run(ask())
    assert len(makers) == 1
    assert makers[0] != threading.main_thread().name


def test_who_watches_is_told_what_kafka_holds(receivers: Receivers, kafka: Kafka) -> None:
    seen: list[tuple[object, ...]] = []
    watched = routes(receivers, kafka.deliver, BodyReader(BodyLimits()), note=lambda *it: seen.append(it))
    with TestClient(Starlette(routes=watched)) as client:
        kafka.away = True
        post(client, "open", b'{"who": "c-1", "n": 1}')
        kafka.away = False
        post(client, "open", b'{"who": "c-1", "n": 1}')
        post(client, "open", b'{"who": "c-1", "n": 3}')
    assert [(source, name, record) for source, name, record, *_ in seen] == [
        ("open", "Identify", kafka.records[0]),
        ("open", "", kafka.records[1]),
    ]


def test_the_start_tells_what_will_be_kept_out(receivers: Receivers) -> None:
    unset, wrong, store = receivers.doubts()
    assert "NOBODY_SET_THIS" in store
    assert unset.startswith("Webhooks of source unset get 503: set the environment variable NOBODY_SET_THIS")
    assert wrong.startswith("Webhooks of source wrong get 503: Mapping no-such.yaml: no such file")

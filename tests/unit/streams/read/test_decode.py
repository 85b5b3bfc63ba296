"""Decoding: every record becomes an event, a tick or a dead letter that names the field; none stops the rest."""

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import murmur2
from hypothesis import given
from hypothesis import strategies as st
from support.bodies import BODIES
from support.records import DAY, NOW, NOW_MS, POLICY, Record, event

from contracts import wire
from contracts.currencies import number_of
from contracts.events import MAX_AMOUNT, TICK_KEY, Event, key_of
from contracts.rates import Rates
from contracts.refused import REFUSED_KEY, Refusal
from contracts.topics import ALERTS, IDENTITIES, INPUT_TOPICS, SERVICE_EVENTS, TRANSACTIONS, WEB_EVENTS, Topic
from streams import codes
from streams.read import facts
from streams.read.bodies import to_wire
from streams.read.clock import TopicClock
from streams.read.decode import Decoded, decode
from streams.read.validation import DecodePolicy


def microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def order(total: Any = 12.5, currency: Any = "USD", **changes: Any) -> dict[str, Any]:
    return event(
        "transaction", "Order Completed", properties={"total": total, "currency": currency, "items": 2} | changes
    )


def numbers(*bodies: dict[str, Any], **policy: Any) -> list[int]:
    """The numbers of orders."""
    log = Log(TRANSACTIONS, replace(POLICY, **policy))
    found: list[int] = log.read(*bodies).people.events["score"].tolist()
    return found


def test_reports_of_one_order_have_one_number() -> None:
    first, again, other, none = numbers(order(order_id="o-1"), order(5, order_id="o-1"), order(order_id="o-2"), order())
    assert first == again != other
    assert 0 not in (first, other)
    assert none == 0


def test_an_order_of_another_customer_or_source_has_another_number_and_a_refund_none() -> None:
    body = order(order_id="o-1")
    visitor = {name: value for name, value in body.items() if name != "customer_id"}
    refund = body | {"name": "Order Refunded"}
    found = numbers(body, visitor | {"anonymous_id": body["customer_id"]}, body | {"source": "pay"}, refund)
    assert len(set(found)) == 4
    assert found[3] == 0
    shops = {body["source"]: "shop", "pay": "shop"}
    one, other = numbers(body, body | {"source": "pay"}, shops=shops)
    assert one == other


def tick(time: datetime = NOW, **changes: Any) -> bytes:
    return json.dumps({"kind": "tick", "occurred_at": time.isoformat(), "source": "heartbeat"} | changes).encode()


@dataclass
class Log:
    """One topic-partition: records go in with their offsets."""

    topic: Topic = WEB_EVENTS
    policy: DecodePolicy = POLICY
    partition: int = 0
    clock: TopicClock = field(default_factory=TopicClock)

    def read(self, *bodies: Any, entered: datetime = NOW) -> Decoded:
        records = [
            body if isinstance(body, Record) else Record(json.dumps(body).encode() if isinstance(body, dict) else body)
            for body in bodies
        ]
        for at, record in enumerate(records):
            record.at = at
            record.entered_ms = int(entered.timestamp() * 1_000)
        return decode(records, self.topic, self.partition, self.clock, self.policy)


def reason(decoded: Decoded) -> tuple[str, str]:
    (letter,) = decoded.dead
    return letter.field, letter.stage


def fact(decoded: Decoded, column: str) -> list[Any]:
    assert decoded.facts is not None
    return decoded.facts.render([]).column(column).to_pylist()


# What is right


def test_an_event_is_known_by_its_kind_its_customer_and_its_id() -> None:
    """As in the fact tables: shops that number orders and visits alike must not lose one of them."""
    same = [Log().read(event(), event(name="Product Viewed", properties={"product_id": "p"})).people.events["id_hash"]]
    other = [
        Log().read(event(event_id="e-2")).people.events["id_hash"],
        Log().read(event(customer_id="c-2")).people.events["id_hash"],
        Log(SERVICE_EVENTS).read(event("service", "Call Missed")).people.events["id_hash"],
    ]
    assert len(set(np.concatenate(same))) == 1
    assert len(set(np.concatenate(same + other))) == 4


def test_what_is_worth_too_much_in_the_base_currency_waits_for_another_rate() -> None:
    """Sums of money are 64-bit integers, and one event must not come near their bounds."""
    decoded = Log(TRANSACTIONS).read(order(MAX_AMOUNT / 1.25, "EUR"), order(MAX_AMOUNT, "EUR"))
    assert (decoded.dead, fact(decoded, "amount_waits")) == ([], [0, 1])


@pytest.mark.parametrize(
    ("topic", "body", "code"),
    [
        (WEB_EVENTS, event(name="Product Added", properties={"product_id": "p"}), codes.PRODUCT_ADDED),
        (WEB_EVENTS, event(name="Anything Else"), codes.OTHER_WEB),
        (TRANSACTIONS, order(), codes.ORDER),
        (TRANSACTIONS, event("transaction", "Voucher Bought"), codes.OTHER_TRANSACTION),
        (SERVICE_EVENTS, event("service", "Ticket Opened", properties={"ticket_id": "t"}), codes.TICKET_OPENED),
        (SERVICE_EVENTS, event("service", "Call Missed"), codes.OTHER_SERVICE),
        (IDENTITIES, event("identity", "Identify"), codes.IDENTITY),
    ],
)
def test_an_event_becomes_a_fact_and_an_update(topic: Topic, body: dict[str, Any], code: int) -> None:
    decoded = Log(topic).read(body)
    assert decoded.dead == []
    (one,) = decoded.people.events
    assert one["code"] == code
    assert one["occurred"] == microseconds(NOW)
    assert one["slot"] == microseconds(NOW) // DAY
    assert one["entered"] == NOW_MS
    assert decoded.people.customers.tolist() == ["c-1"]
    assert decoded.people.home.tolist() == decoded.people.customer_buckets.tolist() == [murmur2(b"c-1", POLICY.buckets)]
    assert fact(decoded, "event_id") == ["e-1"]
    assert fact(decoded, "name") == [body["name"]]
    assert fact(decoded, "occurred_at") == [NOW]
    assert json.loads(fact(decoded, "properties")[0]) == body["properties"]


def test_a_visitor_is_a_fact_and_an_event_of_a_device() -> None:
    decoded = Log().read(event(customer_id=..., anonymous_id="a-1"))
    assert fact(decoded, "anonymous_id") == ["a-1"]
    assert fact(decoded, "customer_id") == [""]
    assert (decoded.people.customers.tolist(), decoded.people.devices.tolist()) == ([""], ["a-1"])
    assert decoded.people.customer_buckets.tolist() == [-1]
    assert decoded.people.home.tolist() == [murmur2(b"a-1", POLICY.buckets)]


def test_money_is_exact_in_its_own_and_in_the_base_currency() -> None:
    decoded = Log(TRANSACTIONS).read(order(12.34), order(0.1, "EUR"), order(MAX_AMOUNT), order(0))
    assert decoded.people.events["amount"].tolist() == [123_400, 1_250, MAX_AMOUNT * 10_000, 0]
    assert [str(amount) for amount in fact(decoded, "amount")] == ["12.3400", "0.1000", f"{MAX_AMOUNT}.0000", "0.0000"]
    assert [str(amount) for amount in fact(decoded, "amount_base")] == [
        "12.3400",
        "0.1250",
        f"{MAX_AMOUNT}.0000",
        "0.0000",
    ]
    assert decoded.people.events["items"].tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("currency", ["GBP", "JPY", "XXX", "QQQ"])
def test_money_without_a_rate_is_kept_in_its_own_currency_and_waits(currency: str) -> None:
    decoded = Log(TRANSACTIONS).read(order(12.34, currency), order(1), event("transaction", "Voucher Bought"))
    assert decoded.dead == []
    assert fact(decoded, "amount_waits") == [1, 0, 0]
    assert [float(amount) for amount in fact(decoded, "amount_base")] == [0, 1, 0]
    assert [float(amount) for amount in fact(decoded, "amount")] == [12.34, 1, 0]
    assert fact(decoded, "currency") == [currency, "USD", ""]
    assert decoded.people.events["currency"].tolist() == [number_of(currency), 0, 0]
    assert decoded.people.events["amount"].tolist() == [123_400, 10_000, 0]


@given(st.integers(0, 10**11))
def test_every_amount_of_whole_cents_is_kept_to_the_cent(cents: int) -> None:
    decoded = Log(TRANSACTIONS).read(Record(json.dumps(order(cents / 100)).encode()))
    assert decoded.people.events["amount"].tolist() == [cents * 100]


def test_satisfaction_is_scaled_and_missing_stays_missing() -> None:
    scored = event("service", "CSAT Submitted", properties={"score": 4.5})
    decoded = Log(SERVICE_EVENTS).read(scored, event("service", "Ticket Opened", properties={"ticket_id": "t"}))
    assert decoded.people.events["score"].tolist() == [45_000, 0]
    assert fact(decoded, "satisfaction") == [4.5, None]


def test_times_of_other_zones_are_kept_in_utc() -> None:
    decoded = Log().read(event(occurred_at="2026-03-01T13:00:00.123456+01:00"))
    assert fact(decoded, "occurred_at") == [NOW.replace(microsecond=123_456)]


def test_ticks_move_the_clock_and_are_nothing_else() -> None:
    log = Log()
    decoded = log.read(Record(tick(), record_key=TICK_KEY))
    assert (decoded.ticks, decoded.read, decoded.facts, decoded.dead) == (1, 1, None, [])
    assert len(decoded.people.events) == 0
    assert log.clock.now == microseconds(NOW)


@pytest.mark.parametrize("intent", ["open", "finished"])
def test_notes_of_a_publisher_of_history_move_no_clock_not_even_the_first(intent: str) -> None:
    log = Log(WEB_EVENTS)
    note = Record(tick(datetime(1970, 1, 1, tzinfo=UTC), history=intent), record_key=TICK_KEY)
    decoded = log.read(note)
    assert (decoded.ticks, decoded.dead, log.clock) == (1, [], TopicClock())
    log.read(Record(tick(), record_key=TICK_KEY))
    before = deepcopy(log.clock)
    log.read(note)
    assert log.clock == before
    assert before.first == before.now


def test_nothing_read_is_nothing_decoded() -> None:
    decoded = Log().read()
    assert (decoded.facts, decoded.dead, decoded.read, len(decoded.people.events)) == (None, [], 0, 0)


def test_late_events_are_marked_in_facts_and_updates() -> None:
    yesterday = (NOW - timedelta(days=1)).isoformat()
    decoded = Log().read(event(), event(event_id="e-2", occurred_at=yesterday))
    assert decoded.people.events["late"].tolist() == [False, True]
    assert fact(decoded, "is_late") == [0, 1]
    assert decoded.people.events["slot"].tolist() == [microseconds(NOW) // DAY] * 2


# What is wrong


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (None, ("body", "decode")),
        (b"", ("body", "decode")),
        (b"not json", ("body", "decode")),
        (b"\xff\xfe\x00", ("body", "decode")),
        (b"[]", ("body", "decode")),
        (b"7", ("body", "decode")),
        (b"[" * 10_000, ("body", "decode")),
        (b'{"a": ' * 5_000, ("body", "decode")),
        (b" " * 40_000, ("body", "decode")),
        (event(event_id=...), ("event_id", "decode")),
        (event(customer_id=7), ("customer_id", "decode")),
        (event(customer_id="c\x00"), ("customer_id", "decode")),
        (event(customer_id="c\x7f"), ("customer_id", "decode")),
        (event(source="s\n"), ("source", "decode")),
        (event(occurred_at="soon"), ("occurred_at", "decode")),
        (event(occurred_at="2026-03-01T12:00:00"), ("occurred_at", "decode")),
        (event(properties=[]), ("properties", "decode")),
        (event(properties=None), ("properties", "decode")),
        (event(properties={"url": 5}), ("properties.url", "decode")),
        (event(surprise=1), ("surprise", "decode")),
        (event(customer_id=...), ("customer_id", "validate")),
        (event(name="Order Completed"), ("kind", "validate")),
        (event(name="Product Viewed"), ("properties.product_id", "validate")),
        (event(kind="service"), ("kind", "validate")),
        (event(occurred_at="1969-12-31T00:00:00Z"), ("occurred_at", "validate")),
        (event(occurred_at="2099-01-01T00:00:00Z"), ("occurred_at", "validate")),
        (event(occurred_at="2099-01-01T00:00:00Z", received_at="2099-01-01T00:00:00Z"), ("received_at", "validate")),
        (event(received_at="9999-12-31T23:59:59Z"), ("received_at", "validate")),
        (event(occurred_at="0001-01-01T00:00:00+23:59"), ("occurred_at", "validate")),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_refusal_names_the_field_and_the_stage(body: Any, refused: tuple[str, str]) -> None:
    decoded = Log().read(body, event(event_id="fine"))
    assert reason(decoded) == refused
    assert fact(decoded, "event_id") == ["fine"]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b'{"properties": {"total": NaN}}', "event_id"),
        (json.dumps(order(float("nan"))).encode(), "properties.total"),
        (json.dumps(order(float("inf"))).encode(), "properties.total"),
        (order(-1), "properties.total"),
        (order("12"), "properties.total"),
        (order(1e300), "properties.total"),
        (order(currency="usd"), "properties.currency"),
        (order(currency=None), "properties.currency"),
        (order(items=-1), "properties.items"),
        (order(items=10**30), "properties.items"),
        (event("transaction", "Gift", properties={"total": 1}), "properties.currency"),
        (event("transaction", "Gift", properties={"currency": "USD"}), "properties.total"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_money_that_is_none_is_refused(body: Any, refused: str) -> None:
    decoded = Log(TRANSACTIONS).read(body)
    assert reason(decoded)[0] == refused
    assert decoded.facts is None


@pytest.mark.parametrize(
    ("body", "field_name"),
    [
        (b"", "body"),
        (None, "body"),
        (b"{}", "body"),
        (tick(customer_id="c-1"), "body"),
        (tick(NOW + timedelta(days=2)), "occurred_at"),
    ],
)
def test_a_tick_that_is_none_is_refused_and_moves_nothing(body: bytes | None, field_name: str) -> None:
    log = Log()
    decoded = log.read(Record(body, record_key=TICK_KEY))
    assert reason(decoded) == (field_name, "decode")
    assert (decoded.ticks, log.clock) == (0, TopicClock())


def test_a_record_in_a_partition_that_is_not_its_own_is_refused() -> None:
    home = murmur2(b"c-1", 4)
    policy = DecodePolicy(DAY, 4, 8, Rates("USD"))
    assert Log(policy=policy, partition=home).read(event()).dead == []
    decoded = Log(policy=policy, partition=(home + 1) % 4).read(event())
    assert reason(decoded) == ("customer_id", "validate")
    assert f"belongs in partition {home}" in decoded.dead[0].problem


SPREAD = DecodePolicy(DAY, 4, 8, Rates("USD"))
IDS_OF_PARTITION = {murmur2(f"x-{n}".encode(), 4): f"x-{n}" for n in range(30)}
HERE, THERE, ELSEWHERE = IDS_OF_PARTITION[0], IDS_OF_PARTITION[1], IDS_OF_PARTITION[2]
KIND_OF_TOPIC = {WEB_EVENTS: "web", IDENTITIES: "identity", TRANSACTIONS: "transaction", SERVICE_EVENTS: "service"}


@pytest.mark.parametrize(
    ("topics", "customer", "device", "expected"),
    [
        # in partition 0: (customer, device that the event is tied to, the id by which its bucket is found), or a field
        ([WEB_EVENTS, IDENTITIES], None, HERE, ("", HERE, HERE)),
        ([WEB_EVENTS, IDENTITIES], THERE, HERE, (THERE, HERE, HERE)),
        ([WEB_EVENTS, IDENTITIES], HERE, THERE, (HERE, "", HERE)),  # stands with its customer: older logs
        ([WEB_EVENTS, IDENTITIES], HERE, None, (HERE, "", HERE)),
        ([WEB_EVENTS, IDENTITIES], HERE, HERE, (HERE, HERE, HERE)),
        ([WEB_EVENTS, IDENTITIES], THERE, ELSEWHERE, "anonymous_id"),
        ([WEB_EVENTS, IDENTITIES], None, THERE, "anonymous_id"),
        ([WEB_EVENTS, IDENTITIES, TRANSACTIONS, SERVICE_EVENTS], THERE, None, "customer_id"),
        ([TRANSACTIONS, SERVICE_EVENTS], HERE, None, (HERE, "", HERE)),
        ([TRANSACTIONS, SERVICE_EVENTS], HERE, THERE, (HERE, "", HERE)),
        ([TRANSACTIONS, SERVICE_EVENTS], None, HERE, ("", HERE, HERE)),
        ([TRANSACTIONS, SERVICE_EVENTS], THERE, HERE, "customer_id"),
        ([TRANSACTIONS, SERVICE_EVENTS], None, THERE, "anonymous_id"),
    ],
)
def test_a_record_stands_with_its_device_or_its_customer(
    topics: list[Topic], customer: str | None, device: str | None, expected: tuple[str, str, str] | str
) -> None:
    for topic in topics:
        ids = {"customer_id": customer or ..., "anonymous_id": device or ...}
        decoded = Log(topic, policy=SPREAD).read(event(KIND_OF_TOPIC[topic], "Anything Else", **ids))
        if isinstance(expected, str):
            assert reason(decoded) == (expected, "validate")
            continue
        people = decoded.people
        assert (people.customers[0], people.devices[0], people.home[0]) == (
            *expected[:2], murmur2(expected[2].encode(), 8),
        )  # fmt: skip
        assert people.customer_buckets[0] == (murmur2(customer.encode(), 8) if customer else -1)
        assert fact(decoded, "anonymous_id") == [device or ""]


@pytest.mark.parametrize(
    ("customer", "device", "previous", "expected"),
    [
        (THERE, None, HERE, (HERE, HERE)),
        (THERE, ELSEWHERE, HERE, (HERE, HERE)),
        (HERE, None, THERE, ("", HERE)),  # stands with its customer
        (None, HERE, THERE, (HERE, HERE)),  # says nothing, so it stands with its own device
        (THERE, HERE, "null", (HERE, HERE)),
        (THERE, HERE, ELSEWHERE, "properties.previous_id"),
    ],
)
def test_an_alias_stands_with_the_id_that_it_gives_away(
    customer: str | None, device: str | None, previous: str, expected: tuple[str, str] | str
) -> None:
    ids = {"customer_id": customer or ..., "anonymous_id": device or ...}
    body = event("identity", "Alias", properties={"previous_id": previous}, **ids)
    decoded = Log(IDENTITIES, policy=SPREAD).read(body)
    if isinstance(expected, str):
        assert reason(decoded) == (expected, "validate")
    else:
        assert decoded.people.devices.tolist() == [expected[0]]
        assert decoded.people.home.tolist() == [murmur2(expected[1].encode(), 8)]


@given(
    st.sampled_from(["web", "transaction", "service", "identity"]), st.sampled_from(["Anything", "Alias"]),
    *[st.sampled_from([None, HERE, THERE, ELSEWHERE])] * 3,
)  # fmt: skip
def test_a_record_in_the_partition_of_its_key_is_always_accepted(
    kind: Any, name: str, customer: str | None, device: str | None, previous: str | None
) -> None:
    if not (customer or device) or (name == "Alias" and (kind != "identity" or not previous)):
        return
    ids = {"customer_id": customer or ..., "anonymous_id": device or ...}
    body = event(kind, name, properties={"previous_id": previous} if previous else {}, **ids)
    judged = wire.judge(kind, json.dumps(body).encode())
    partition = murmur2(key_of(judged, judged.properties).encode(), 4)
    (topic,) = (topic for topic, each in KIND_OF_TOPIC.items() if each == kind)
    decoded = Log(topic, policy=SPREAD, partition=partition).read(body)
    assert decoded.dead == []
    assert decoded.people.home[0] % 4 == partition


def test_a_dead_letter_keeps_the_record_and_where_it_stood_in_log_order() -> None:
    bad = event(name="Order Completed")
    decoded = Log().read(bad, event(), b"x", bad)
    assert [letter.offset for letter in decoded.dead] == [0, 2, 3]
    assert [letter.stage for letter in decoded.dead] == ["validate", "decode", "validate"]
    letter = decoded.dead[1]
    assert (letter.topic, letter.partition, letter.timestamp_ms) == (WEB_EVENTS.name, 0, NOW_MS)
    assert (letter.key, letter.body, letter.reason) == (b"c-1", b"x", "body: is not valid JSON")
    assert fact(decoded, "log_offset") == [1]


def test_a_refused_event_moves_no_clock() -> None:
    log = Log()
    log.read(event(name="Order Completed"))
    assert log.clock == TopicClock()


def test_what_is_no_input_topic_cannot_be_decoded() -> None:
    with pytest.raises(ValueError, match="crm-alerts is not an input topic"):
        Log(ALERTS).read(event())


# The fast reader and the judge


def judgement(kind: Any, body: bytes) -> Event | wire.RejectedError:
    try:
        return wire.judge(kind, body)
    except wire.RejectedError as refused:
        return refused


@given(st.sampled_from(["web", "transaction", "service", "identity"]), BODIES)
def test_what_the_fast_reader_accepts_the_judge_reads_alike(kind: Any, body: bytes) -> None:
    """Rules across fields are the judge's alone; all values that it reads are the fast reader's."""
    try:
        envelope, properties = wire.read(kind, body)
    except Exception:  # noqa: BLE001 - whatever it cannot read goes to the judge
        return
    judged = judgement(kind, body)
    if isinstance(judged, wire.RejectedError):
        across = {
            "kind",
            "customer_id",
            "occurred_at",
            *(f"properties.{name}" for name in properties.__struct_fields__),
        }
        assert judged.field in across
        assert judged.field == "kind" or "requir" in judged.problem or "lies" in judged.problem
        return
    for name in ("event_id", "kind", "name", "customer_id", "anonymous_id", "source", "schema_version"):
        assert getattr(envelope, name) == getattr(judged, name), name
    for name in ("occurred_at", "received_at"):
        assert abs(getattr(envelope, name) - getattr(judged, name)) <= timedelta(microseconds=1), name
    for name in properties.__struct_fields__:
        assert getattr(properties, name) == getattr(judged.properties, name), name
    again, same = to_wire(judged)
    assert (again.event_id, again.occurred_at, same) == (envelope.event_id, judged.occurred_at, properties)


@given(st.sampled_from(INPUT_TOPICS), st.lists(BODIES | st.binary(max_size=40), max_size=6), st.booleans())
def test_nothing_stops_decoding_and_every_record_is_somewhere(topic: Topic, bodies: list[bytes], ticks: bool) -> None:
    log = Log(topic)
    decoded = log.read(*[Record(body, record_key=TICK_KEY if ticks else b"c-1") for body in bodies])
    kept = 0 if decoded.facts is None else len(decoded.facts)
    assert kept + decoded.ticks + len(decoded.dead) == decoded.read == len(bodies)
    assert len(decoded.people.events) <= kept
    assert (decoded.people.events["occurred"] >= 0).all()
    day = decoded.people.events["occurred"] // DAY  # a device may be a day ahead
    assert np.all(decoded.people.events["slot"] >= day - 1)
    for letter in decoded.dead:
        assert letter.field
        assert letter.problem


def test_what_a_connector_refused_becomes_a_dead_letter_with_its_reason() -> None:
    refusal = Refusal("collect", "properties.total", "is no number", "web-shop")
    valid = json.dumps(event()).encode()  # even what would be an event stays refused
    told, untold = (
        Record(valid, record_key=REFUSED_KEY, record_headers=headers) for headers in (refusal.headers(), ())
    )
    dead = decode([told, untold], WEB_EVENTS, 0, TopicClock(), POLICY).dead
    assert [(d.stage, d.field, d.problem, d.source) for d in dead] == [
        ("collect", "properties.total", "is no number", "web-shop"),
        ("decode", "body", "was refused by a connector", ""),
    ]
    assert dead[0].body == valid


@pytest.mark.parametrize(
    ("body", "source"),
    [
        (order("12", source="x") | {"source": "till"}, "till"),
        (order(currency=None) | {"source": "till"}, "till"),
        (order(currency="XXXX") | {"source": "web-shop"}, "web-shop"),
        (json.dumps(order(float("nan")) | {"source": "till"}).encode(), "till"),
        (event("transaction", "Order Completed") | {"source": "till"}, "till"),  # the rules across fields refuse it
        (order(note="x" * 40_000) | {"source": "till"}, "till"),
        (order() | {"source": 5}, ""),
        (order() | {"source": "a\nb"}, ""),
        (order() | {"source": "s" * 101}, ""),
        (b"{", ""),
        (b'["source"]', ""),
        (b"[" * 10_000, ""),
        (b"\xff", ""),
        (None, ""),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_dead_letter_carries_the_source_that_its_body_names(body: Any, source: str) -> None:
    (letter,) = Log(TRANSACTIONS).read(body).dead
    assert letter.source == source


@given(st.sampled_from(INPUT_TOPICS), st.lists(BODIES, min_size=1, max_size=4))
def test_few_facts_become_the_same_rows_as_many(topic: Topic, bodies: list[bytes]) -> None:
    few = Log(topic).read(*bodies).facts
    with patch.object(facts, "FEW", 0):
        many = Log(topic).read(*bodies).facts
    assert (few is None) == (many is None)
    if few is not None and many is not None:
        assert few.render([]).equals(many.render([]))
        assert few.fits(many)
        assert many.fits(few)
        for first, second in ((few, many), (many, few), (few, few)):
            assert first.render([second]).equals(pa.concat_tables([many.render([])] * 2))

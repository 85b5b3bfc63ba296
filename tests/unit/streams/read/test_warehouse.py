"""Facts give the same events, links and clocks as the records that they were made of."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from support.past import Facts
from support.records import DAY, NOW, POLICY, Record, event

from contracts.blocks import Link, PeopleEvents
from contracts.events import KINDS, TICK_KEY, Kind
from contracts.topics import IDENTITIES, TOPIC_OF_KIND, WEB_EVENTS
from streams.read import warehouse
from streams.read.batch import _joined
from streams.read.clock import TopicClock
from streams.read.decode import Decoded, decode
from streams.read.warehouse import PastTopic

NAMES = {
    "web": ("Page Viewed", "Product Viewed", "Cart Viewed", "Odd"),
    "transaction": ("Order Completed", "Order Refunded", "Order Cancelled", "Odd"),
    "service": ("Ticket Opened", "CSAT Submitted", "Odd"),
    "identity": ("Identify", "Alias", "Unlink", "Odd"),
}
PROPERTIES: dict[str, dict[str, Any]] = {
    "web": {"product_id": "p-1", "url": "https://x/\n", "odd": [1, {"a": None}]},
    "transaction": {"order_id": "o-1", "total": 12.3456, "currency": "EUR", "items": 3},
    "service": {"ticket_id": "t-1", "score": 4.33335},
    "identity": {"previous_id": "d-9", "traits": {"email": "Ann@x.example", "name": "Ä\u2028"}},
}
IDS = st.sampled_from(["c-1", "c-2", "é", 'quote"d', "null"])
DEVICES = st.sampled_from(["d-1", "d-2", "\u2028", None])


@st.composite
def records(draw: st.DrawFn, kind: Kind) -> list[Record]:
    """A log of one topic: events on time and late, ticks, garbage, and repeats."""
    made = []
    for at in range(draw(st.integers(1, 30))):
        days = draw(st.floats(-3, 3)) + at / 4
        time = NOW + timedelta(days=days)
        what = draw(st.integers(0, 9))
        if what == 0:
            body = json.dumps({"kind": "tick", "occurred_at": time.isoformat(), "source": "t"}).encode()
            made.append(Record(body, record_key=TICK_KEY))
        elif what == 1:
            made.append(Record(b"{"))
        else:
            name = draw(st.sampled_from(NAMES[kind]))
            properties = {key: value for key, value in PROPERTIES[kind].items() if draw(st.integers(0, 5))}
            if "currency" in properties:
                properties["currency"] = draw(st.sampled_from(["USD", "EUR", "JPY"]))
            received = time + timedelta(days=draw(st.sampled_from([0, 0, 2, -0.5])))
            body = json.dumps(event(
                kind, name, event_id=f"e-{draw(st.integers(0, 40))}", customer_id=draw(IDS), anonymous_id=draw(DEVICES),
                occurred_at=time.isoformat(), received_at=received.isoformat(), properties=properties,
            )).encode()  # fmt: skip
            made.append(Record(body))
    for at, record in enumerate(made):
        record.at = 3 * at + 7
        record.entered_ms = int((NOW + timedelta(days=20)).timestamp() * 1_000)
    return made


def timeless(parts: Sequence[Decoded]) -> tuple[PeopleEvents, list[Link], list[int]]:
    """What was decoded, without when it entered Kafka, which serves only to measure latencies."""
    people = _joined([part.people for part in parts if len(part.people)])
    people.events["entered"] = 0
    links = [link._replace(entered=0) for part in parts for link in part.links]
    return people, links, [bucket for part in parts for bucket in part.link_buckets]


def assert_equal(one: Sequence[Decoded], other: Sequence[Decoded]) -> None:
    (people, *links), (others, *other_links) = timeless(one), timeless(other)
    assert links == other_links
    assert people.events.tobytes() == others.events.tobytes()
    for name in ("customers", "devices", "home", "customer_buckets"):
        assert getattr(people, name).tolist() == getattr(others, name).tolist(), name


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(KINDS))
def test_facts_give_what_decoding_gave(data: st.DataObject, kind: Kind) -> None:
    log, topic = data.draw(records(kind)), TOPIC_OF_KIND[kind]
    end = log[-1].at + 1
    cut = data.draw(st.integers(0, len(log)))
    clock = TopicClock()
    whole = [decode(part, topic, 0, clock, POLICY) for part in (log[:cut], log[cut:]) if part]
    past_clock, past = TopicClock(), PastTopic(Facts(whole, kind), topic, 0, 0, end)
    found, reads = [], data.draw(st.lists(st.integers(1, 7), min_size=1))
    while not past.is_done:
        before = past.offset
        with patch.object(warehouse, "BLOCK_ROWS", 5):
            found.append(past.take(reads[len(found) % len(reads)], past_clock, POLICY))
        assert past.offset > before
        assert found[-1].facts is found[-1].clocks is None, "what the warehouse has is not written again"
    assert past.offset == end
    assert_equal(whole, found)
    assert past_clock.first == clock.first
    assert None not in (past_clock.now, clock.now) or past_clock.now is clock.now
    if clock.now is not None and past_clock.now is not None:
        assert past_clock.now // DAY == clock.now // DAY
        assert past_clock.now <= clock.now


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(KINDS))
def test_the_log_goes_on_where_the_facts_end(data: st.DataObject, kind: Kind) -> None:
    """Wherever the log begins now, the rest is decoded as if nothing had been lost: late events stay late."""
    log, topic = data.draw(records(kind)), TOPIC_OF_KIND[kind]
    low = data.draw(st.integers(1, len(log) - 1)) if len(log) > 1 else 1
    whole = [decode(log, topic, 0, TopicClock(), POLICY)]
    start = log[low].at if low < len(log) else log[-1].at + 1
    clock, past = TopicClock(), PastTopic(Facts(whole, kind), topic, 0, 0, start)
    found = []
    while not past.is_done:
        found.append(past.take(4, clock, POLICY))
    rest = log[low:]
    assert_equal(whole, [*found, *([decode(rest, topic, 0, clock, POLICY)] if rest else [])])


def test_a_topic_reads_on_when_its_log_has_lost_more_meanwhile() -> None:
    log = [Record(json.dumps(event(event_id=f"e-{at}")).encode(), at) for at in range(10)]
    facts = Facts([decode(log, WEB_EVENTS, 0, TopicClock(), POLICY)], "web")
    past, clock = PastTopic(facts, WEB_EVENTS, 0, 0, 4), TopicClock()
    first = past.take(100, clock, POLICY)
    assert (len(first.people), past.offset, past.is_done) == (4, 4, True)
    past.reach(7)
    assert not past.is_done
    assert (len(past.take(100, clock, POLICY).people), past.offset, past.is_done) == (3, 7, True)


def test_a_topic_without_facts_has_its_clock() -> None:
    time = (NOW + timedelta(days=3)).isoformat()
    tick = Record(json.dumps({"kind": "tick", "occurred_at": time, "source": "t"}).encode(), 5, TICK_KEY)
    tick.entered_ms += 3 * 86_400_000
    decoded, clock = decode([tick], IDENTITIES, 0, TopicClock(), POLICY), TopicClock()
    assert decoded.yields
    past = PastTopic(Facts([decoded], "identity"), IDENTITIES, 0, 0, 6)
    assert len(past.take(10, clock, POLICY).people) == 0
    assert clock.now == int((NOW + timedelta(days=3)).timestamp() * 1e6)

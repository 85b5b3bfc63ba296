"""Reading bodies in chunks gives what reading them one by one gives, whatever is among them."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bodies import BODIES
from support.records import POLICY, Record, event

from contracts import wire
from contracts.events import MAX_EVENT_BYTES
from contracts.topics import INPUT_TOPICS, Topic
from streams.read.bodies import read_bodies
from streams.read.clock import TopicClock
from streams.read.columns import Reading
from streams.read.decode import Decoded, decode

GOOD = json.dumps(event()).encode()
SPACED = json.dumps(event(event_id="e-2"), indent=1).encode()
ESCAPED = json.dumps(event(event_id="é\"'")).encode()
BROKEN = st.sampled_from([
    b"", b" ", b"{", b"}", b"{}", b"[]", b"\n", b"null", b"{}{}", GOOD + GOOD, GOOD + b"\n" + GOOD,
    b" " + GOOD, GOOD + b"\n",
    GOOD[:-1], GOOD[1:], GOOD[:40], GOOD.replace(b"{}", b"{"), GOOD.replace(b"{}", b'{"a":"}'), b'{"}' + GOOD[1:],
    GOOD.replace(b"test", b"t\xff"), GOOD.replace(b"test", b"t\x7f"), GOOD.replace(b"test", b"t\\n"),
    GOOD.replace(b"test", b"\\ud800"), GOOD.replace(b"test", b"\\ud83d\\ude00"), SPACED, ESCAPED,
    GOOD.replace(b"{}", b'{"note":"' + b"x" * MAX_EVENT_BYTES + b'"}'),
    GOOD.replace(b"{}", b'{"a":' + b"[" * 2_000 + b"]" * 2_000 + b"}"),
])  # fmt: skip


def good(kind: str) -> st.SearchStrategy[bytes]:
    def body(number: int, text: str) -> bytes:
        return json.dumps(event(kind, "Anything", event_id=f"e-{number}", properties={"note": text})).encode()

    return st.builds(body, st.integers(0, 9), st.text(max_size=4))


def shape(decoded: Decoded) -> Any:
    people = decoded.people
    return (
        None if decoded.facts is None else decoded.facts.render([]).to_pylist(),
        people.events.tolist(), people.customers.tolist(), people.devices.tolist(), people.home.tolist(),
        decoded.links, decoded.link_buckets, decoded.dead, decoded.read, decoded.ticks,
    )  # fmt: skip


@given(st.data(), st.sampled_from(INPUT_TOPICS), st.sampled_from([2, 3, 16, 256]))
def test_chunks_read_like_single_bodies(data: st.DataObject, topic: Topic, chunk: int) -> None:
    kind = str(topic.kind)
    bodies = data.draw(st.lists(st.one_of(good(kind), good(kind), BODIES, BROKEN, st.binary(max_size=20)), max_size=40))
    records = [Record(body, at) for at, body in enumerate(bodies)]
    whole, single = TopicClock(), TopicClock()
    in_chunks = decode(records, topic, 0, whole, replace(POLICY, chunk=chunk))
    one_by_one = decode(records, topic, 0, single, replace(POLICY, chunk=1))
    assert shape(in_chunks) == shape(one_by_one)
    assert whole == single


@pytest.mark.parametrize(
    "bodies",
    [
        [GOOD + GOOD, b"  "],
        [GOOD + GOOD, b""],
        [GOOD[:50], GOOD[50:]],
        [GOOD.replace(b"{}", b'{"a":"}'), b'{"}' + GOOD[1:], GOOD + GOOD],  # one value of two lines, and two of one
        [GOOD + b" ", GOOD],
        [GOOD, GOOD + b"\n"],
    ],
)
def test_bodies_that_are_not_one_value_each_are_not_read_together(bodies: list[bytes]) -> None:
    with pytest.raises(msgspec.DecodeError):
        wire.read_lines("web", bodies)


def test_bodies_read_together_are_those_read_alone() -> None:
    others = [ESCAPED, json.dumps(event(event_id="ü"), ensure_ascii=False).encode(), GOOD]
    envelopes, properties = wire.read_lines("web", others)
    alone = [wire.read("web", body) for body in others]
    assert [envelope.event_id for envelope in envelopes] == [envelope.event_id for envelope, _ in alone]
    assert [bytes(envelope.properties) for envelope in envelopes] == [bytes(each.properties) for each, _ in alone]
    assert properties == [each for _, each in alone]


def test_what_is_refused_is_refused_in_the_order_of_the_log() -> None:
    refused: list[int] = []
    records = [Record(GOOD if at % 7 else b"{", at) for at in range(100)]
    reading: Reading = read_bodies(records, "web", lambda message, _: refused.append(message.offset()), 32)
    assert refused == list(range(0, 100, 7))
    assert [message.offset() for message in reading.messages] == [at for at in range(100) if at % 7]

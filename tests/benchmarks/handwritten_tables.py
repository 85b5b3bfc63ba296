"""The rows that the hand-written loop inserts, as Arrow tables."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from confluent_kafka import Message
from handwritten_people import COUNTS, DECAYED, LAST, OUTCOMES, Event, Person, Scores

TIME: Final = pa.timestamp("us", tz="UTC")
FACTS: Final = {
    "web": ("web_events", ("session_id", "url", "product_id")),
    "transaction": ("transactions", ("order_id", "currency")),
    "service": ("service_events", ("ticket_id", "conversation_id")),
    "identity": ("identity_events", ("previous_id",)),
}


def facts(kind: str, events: Sequence[Event]) -> pa.Table:
    """Events as rows of their fact table."""
    properties = [event["properties"] for event in events]
    columns: dict[str, Any] = {
        "event_id": [event["event_id"] for event in events],
        "name": [event["name"] for event in events],
        "customer_id": [event.get("customer_id") or "" for event in events],
        "anonymous_id": [event.get("anonymous_id") or "" for event in events],
        "occurred_at": pa.array([event["at"] for event in events], TIME),
        "received_at": pa.array([event["in"] for event in events], TIME),
        "source": [event["source"] for event in events],
        "properties": [orjson.dumps(each) for each in properties],
        "schema_version": np.ones(len(events), np.uint8),
        "is_late": np.zeros(len(events), np.uint8),
        "log_partition": np.array([event["position"][0] for event in events], np.uint16),
        "log_offset": np.array([event["position"][1] for event in events], np.uint64),
    }
    columns |= {name: [each.get(name) or "" for each in properties] for name in FACTS[kind][1]}
    if kind == "transaction":
        amount = pa.array([round(each.get("total") or 0.0, 4) for each in properties]).cast(pa.decimal128(18, 4))
        columns |= {"amount": amount, "amount_base": amount}
        columns["items"] = np.array([each.get("items") or 0 for each in properties], np.uint32)
    if kind == "service":
        columns["satisfaction"] = pa.array([each.get("score") for each in properties], pa.float32())
    return pa.table(columns)


def letters(dead: Sequence[tuple[Message, str]]) -> pa.Table:
    """Refused records as rows of ``dead_letters``."""
    entered = [datetime.fromtimestamp(message.timestamp()[1] / 1e3, UTC) for message, _ in dead]
    return pa.table({
        "topic": [message.topic() for message, _ in dead],
        "log_partition": np.array([message.partition() for message, _ in dead], np.uint16),
        "log_offset": np.array([message.offset() for message, _ in dead], np.uint64),
        "entered_at": pa.array(entered, pa.timestamp("ms", tz="UTC")),
        "stage": ["decode"] * len(dead),
        "field": [reason for _, reason in dead],
        "reason": [reason for _, reason in dead],
        "body": [message.value() or b"" for message, _ in dead],
    })


class Scored(NamedTuple):
    """Where the newest scores of a person are: at position ``at`` of the scores of a batch."""

    person: Person
    lifecycle: str
    segment: str
    scores: Sequence[Scores]
    at: int


def changes(scored: Mapping[str, Scored]) -> pa.Table:
    """The newest scores of each person as rows of ``score_changes``."""
    people = list(scored.values())
    return pa.table({
        "customer_id": list(scored),
        "as_of": times([each.person.last_seen for each in people]),
        "version": np.array([each.person.events for each in people], np.uint64),
        "segment": [each.segment for each in people],
        "lifecycle": [each.lifecycle for each in people],
        "model_version": ["handwritten"] * len(people),
        "probability": _map([score.probability[each.at] for each in people for score in each.scores]),
        "percentile": _map([score.percentile[each.at] for each in people for score in each.scores]),
        "reasons": _map([score.reasons[each.at] for each in people for score in each.scores]),
    })


def _map(values: Sequence[Any]) -> pa.MapArray:
    """One map from outcome to value per person; ``values`` holds the first person's values, then the second's, ..."""
    names = pa.array(list(OUTCOMES) * (len(values) // len(OUTCOMES)))
    offsets = pa.array(range(0, len(values) + 1, len(OUTCOMES)), pa.int32())
    return pa.MapArray.from_arrays(offsets, names, pa.array(values))


def customers(people: Mapping[str, Person], merged: Mapping[str, str]) -> pa.Table:
    """Profiles as rows of ``customers``; ``merged`` are the visitors who turned out to be customers."""
    known, blank = list(people.values()), Person()
    rows = known + [blank] * len(merged)
    columns: dict[str, Any] = {
        "customer_id": [*people, *merged],
        "merged_into": [""] * len(known) + list(merged.values()),
        "version": np.array([person.events for person in known] + [2**32] * len(merged), np.uint64),
        "first_seen": times([person.first_seen for person in rows]),
        "first_order": times([person.first_order or None for person in rows]),
        "currency": ["USD"] * len(rows),
        "decayed_at": times([person.last_seen for person in rows]).cast(pa.timestamp("s", tz="UTC"), safe=False),
        "satisfaction": [person.satisfaction() for person in rows],
        "mean_gap_days": [person.mean_gap() if person.orders > 1 else None for person in rows],
    }
    columns |= {name: times([getattr(person, name) or None for person in rows]) for name in LAST}
    columns |= {name: np.array([getattr(person, name) for person in rows], np.uint64) for name in COUNTS}
    columns |= {name: np.array([getattr(person, name) for person in rows]) for name in DECAYED}
    for name in ("revenue", "refunded"):
        amounts = pa.array([round(getattr(person, name), 4) for person in rows], pa.float64())
        columns[name] = amounts.cast(pa.decimal128(18, 4))
    return pa.table(columns)


def links(verdicts: Sequence[tuple[str, str, str, datetime]]) -> pa.Table:
    """Decisions about identity as rows of ``identity_links``."""
    identity, person, outcome, occurred = zip(*verdicts, strict=True)
    return pa.table({
        "identity": identity, "person": person, "outcome": outcome, "occurred_at": pa.array(occurred, TIME),
    })  # fmt: skip


def times(seconds: Sequence[float | None]) -> pa.Array:
    """Seconds since the Unix epoch as times."""
    return pa.array([None if each is None else int(each * 1e6) for each in seconds], pa.int64()).cast(TIME)

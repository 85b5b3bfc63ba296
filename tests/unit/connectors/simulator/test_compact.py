"""The compact shop keeps its word: one world per seed, however it is read, and only valid events in order."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from connectors.protocol import Record
from connectors.simulator.compact.bodies import Template, beside, digits, hexadecimal, texts, times
from connectors.simulator.compact.config import CompactConfig, start_before
from connectors.simulator.compact.shop import CompactShop
from connectors.simulator.config import DAY_US
from connectors.simulator.shop import Period
from contracts.events import Event, key_of
from contracts.topics import INPUT_TOPICS
from contracts.wire import judge

KIND_OF = {topic.name: topic.kind for topic in INPUT_TOPICS}
START = datetime(2026, 3, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def shop(**changes: object) -> CompactShop:
    return CompactShop(CompactConfig.model_validate(
        {"customers": 500, "history_days": 10, "start": START, "visits_per_day": 0.5} | changes))  # fmt: skip


def history(of: CompactShop) -> list[Record]:
    return list(of.records(of.config.end_us))


@pytest.fixture(scope="module")
def events() -> list[tuple[Record, Event]]:
    return [(record, judge(KIND_OF[record.topic], record.value)) for record in history(shop())]


def test_same_seed_same_world_other_seed_another() -> None:
    first, again, other = (history(shop(seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert not {record.value for record in first} & {record.value for record in other}


def test_reading_in_parts_is_reading_at_once() -> None:
    parts, end = shop(), shop().config.end_us + DAY_US
    stops = [parts.config.start_us + n * 37 * DAY_US // 24 for n in range(1, 7)]
    pieces = [record for stop in (*stops, end) for record in Period(parts, stop).records()]
    assert pieces == list(shop().records(end))
    assert parts.now_us == end


def test_a_reader_who_stops_loses_nothing() -> None:
    whole, parts = history(shop()), shop()
    reading = parts.records()
    head = [next(reading) for _ in range(777)]
    reading.close()
    assert head + list(parts.records(parts.config.end_us)) == whole


def test_events_are_valid_and_placed_by_the_contract(events: list[tuple[Record, Event]]) -> None:
    for record, event in events:
        assert record.key == key_of(event, event.properties).encode()
        assert event.occurred_at == EPOCH + timedelta(microseconds=record.occurred_at or 0)
        assert timedelta(0) < event.received_at - event.occurred_at < timedelta(seconds=1)
    assert {record.topic for record, _ in events} == set(KIND_OF)
    assert len({event.event_id for _, event in events}) == len(events)


def test_the_stream_is_in_order_and_ends_with_its_history(events: list[tuple[Record, Event]]) -> None:
    assert all(one.received_at <= two.received_at for (_, one), (_, two) in pairwise(events))
    config = shop().config
    assert config.start_us <= (events[0][0].occurred_at or 0)
    assert events[-1][1].received_at <= EPOCH + timedelta(microseconds=config.end_us)


def test_every_customer_joins_with_a_device_and_an_order(events: list[tuple[Record, Event]]) -> None:
    by_customer: dict[str, list[Event]] = defaultdict(list)
    for _, event in events:
        if event.customer_id:
            by_customer[event.customer_id].append(event)
    assert sorted(by_customer) == [f"c-{number:06}" for number in range(1, 501)]
    for customer, own in by_customer.items():
        assert [event.name for event in own[:2]] == ["Identify", "Order Completed"], customer
    joined = Counter(own[0].occurred_at.date() for own in by_customer.values())
    assert max(joined.values()) - min(joined.values()) <= 2


def test_after_the_history_customers_go_on_and_nobody_joins() -> None:
    live = shop()
    known = {record.key for record in history(live) if record.topic == "crm-transactions"}
    later = list(live.records(live.config.end_us + 2 * DAY_US))
    assert live.joined == 500
    assert len(later) > 1_000
    assert {record.key for record in later if record.topic == "crm-transactions"} <= known


def test_a_month_of_a_customer_has_about_six_events() -> None:
    month = CompactShop(CompactConfig(customers=2_000, start=START))
    assert 5 < len(history(month)) / 2_000 < 6


def test_ids_are_as_wide_as_the_largest_needs() -> None:
    first = next(iter(CompactShop(CompactConfig(customers=5_000_000, start=START)).records()))
    assert len(first.key or b"") == len("a-0000001-00")


def test_a_history_that_ends_at_the_last_midnight() -> None:
    config = CompactConfig(start=start_before(datetime(2026, 3, 11, 23, 59, tzinfo=UTC), 10), history_days=10)
    assert config.start == START
    assert config.end_us == int(datetime(2026, 3, 11, tzinfo=UTC).timestamp()) * 1_000_000


def test_times_without_a_zone_are_refused() -> None:
    with pytest.raises(ValidationError):
        CompactConfig(start=datetime(2026, 3, 1))  # noqa: DTZ001


def test_texts_of_fixed_width() -> None:
    numbers = np.array([0, 7, 254], np.int64)
    assert texts(digits(numbers, 4)) == [b"0000", b"0007", b"0254"]
    assert texts(hexadecimal(numbers, 3)) == [b"000", b"007", b"0fe"]
    assert texts(beside("c-", digits(numbers, 3))) == [b"c-000", b"c-007", b"c-254"]
    assert texts(times(np.array([0, 1_234_567], np.int64))) == [
        b"1970-01-01T00:00:00.000000Z", b"1970-01-01T00:00:01.234567Z",
    ]  # fmt: skip


def test_a_template_is_filled_row_by_row() -> None:
    fields = {"a": digits(np.array([1, 2]), 1), "b": digits(np.array([30, 40]), 2)}
    assert Template("<$a|$b|$a>", {"a": 1, "b": 2}).fill(fields) == [b"<1|30|1>", b"<2|40|2>"]

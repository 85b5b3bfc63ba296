"""The simulated shop keeps its word: one world per seed, honest shares, and a truth that its events obey."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import orjson
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from connectors.simulator.config import DAY_US, ShopConfig
from connectors.simulator.noise import FAULTS, broken_body
from connectors.simulator.shop import Period, Sent, Shop
from connectors.simulator.truth import ShopTruth
from contracts.events import KINDS, Event, key_of
from contracts.topics import INPUT_TOPICS
from contracts.wire import RejectedError, judge

KIND_OF = {topic.name: topic.kind for topic in INPUT_TOPICS}
CONFIG = ShopConfig(customers=600, history_days=600, duplicate_share=0.02, late_share=0.02, broken_share=0.01)


@pytest.fixture(scope="module")
def told() -> tuple[list[Sent], ShopTruth]:
    shop = Shop(CONFIG)
    return list(shop.sent(CONFIG.end_us)), shop.truth()


@pytest.fixture(scope="module")
def events(told: tuple[list[Sent], ShopTruth]) -> list[tuple[Sent, Event]]:
    sent, _ = told
    return [(one, judge(KIND_OF[one.record.topic], one.record.value)) for one in sent if one.mark != "broken"]


def orders_by_customer(events: list[tuple[Sent, Event]]) -> dict[str, list[datetime]]:
    found: dict[str, dict[str, datetime]] = {}
    for _, event in events:
        if event.name == "Order Completed":
            found.setdefault(event.customer_id, {})[event.event_id] = event.occurred_at
    return {customer: sorted(orders.values()) for customer, orders in found.items()}


def small(**changes: object) -> Shop:
    return Shop(ShopConfig(customers=40, history_days=60, **changes))


def test_same_seed_same_world_other_seed_another() -> None:
    end = small().config.end_us
    first, again, other = (list(small(seed=seed).records(end)) for seed in (1, 1, 2))
    assert first == again
    assert len(first) > 500
    ids = [{orjson.loads(r.value)["event_id"] for r in some if r.occurred_at} for some in (first, other)]
    assert not ids[0] & ids[1]


def test_reading_in_parts_is_reading_at_once() -> None:
    whole, parts = small(), small()
    end = whole.config.end_us
    stops = [parts.config.start_us + n * 37 * DAY_US // 24 for n in range(1, 39)]
    pieces = [record for stop in (*stops, end) for record in Period(parts, stop).records()]
    assert pieces == list(whole.records(end))
    assert parts.truth() == whole.truth()


def test_a_reader_who_stops_loses_nothing() -> None:
    whole, parts = list(small().records(small().config.end_us)), small()
    reading = parts.records()
    head = [next(reading) for _ in range(777)]
    reading.close()
    assert head + list(parts.records(parts.config.end_us)) == whole


def test_the_stream_is_in_order_of_receipt(told: tuple[list[Sent], ShopTruth]) -> None:
    sent, _ = told
    assert all(one.received_at <= two.received_at for one, two in pairwise(sent))
    assert sent[-1].received_at < CONFIG.end_us
    assert all((one.record.occurred_at or 0) <= one.received_at for one in sent)


def test_bodies_say_what_the_records_say(events: list[tuple[Sent, Event]]) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for sent, event in events:
        assert sent.record.key == key_of(event, event.properties).encode()
        assert event.occurred_at == epoch + timedelta(microseconds=sent.record.occurred_at)
        assert event.received_at == epoch + timedelta(microseconds=sent.received_at)


def test_broken_records_fail_the_contract_and_reach_every_topic(told: tuple[list[Sent], ShopTruth]) -> None:
    broken = [one.record for one in told[0] if one.mark == "broken"]
    for record in broken:
        with pytest.raises(RejectedError):
            judge(KIND_OF[record.topic], record.value)
    per_topic = Counter(record.topic for record in broken)
    assert set(per_topic) == set(KIND_OF)
    assert max(per_topic.values()) - min(per_topic.values()) <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(len(FAULTS)), ids=list(FAULTS))
def test_every_fault_fails_in_every_kind(kind: str, number: int) -> None:
    with pytest.raises(RejectedError):
        judge(kind, broken_body(number, kind, "c-1", "e-1", CONFIG.start_us))


def test_shares_are_near_the_configured_and_counted(told: tuple[list[Sent], ShopTruth]) -> None:
    sent, truth = told
    marks = Counter(one.mark for one in sent)
    counts = truth.counts
    assert counts.duplicates == marks["duplicate"]
    assert counts.late == marks["late"]
    assert counts.broken == marks["broken"]
    assert counts.records == len(sent)
    assert counts.duplicates / len(sent) == pytest.approx(0.02, rel=0.15)
    assert counts.late / len(sent) == pytest.approx(0.02, rel=0.15)
    assert counts.broken / len(sent) == pytest.approx(0.01, rel=0.2)


def test_duplicates_repeat_an_id_that_was_sent_before(told: tuple[list[Sent], ShopTruth]) -> None:
    seen: set[str] = set()
    for one in told[0]:
        if one.mark == "broken":
            continue
        event_id = orjson.loads(one.record.value)["event_id"]
        assert (event_id in seen) == (one.mark == "duplicate")
        seen.add(event_id)


def test_late_events_are_an_hour_late_or_more(told: tuple[list[Sent], ShopTruth]) -> None:
    delays = {"late": [], "plain": []}
    for one in told[0]:
        if one.mark in delays:
            delays[one.mark].append((one.received_at - one.record.occurred_at) / 3_600_000_000)
    assert min(delays["late"]) >= 1
    assert max(delays["late"]) > 24
    assert max(delays["plain"]) < 0.1


def test_truth_lists_every_buyer_and_nobody_buys_after_leaving(
    told: tuple[list[Sent], ShopTruth], events: list[tuple[Sent, Event]]
) -> None:
    truth = {customer.customer_id: customer for customer in told[1].customers}
    orders = orders_by_customer(events)
    assert set(orders) <= set(truth)
    assert len(orders) > 0.97 * len(truth)
    for customer, times in orders.items():
        left = truth[customer].left_at
        assert truth[customer].joined_at <= times[0]
        assert left is None or times[-1] < left
    assert 0.2 < np.mean([customer.left_at is not None for customer in truth.values()]) < 0.7
    assert len(truth) == pytest.approx(CONFIG.customers, rel=0.15)


def test_customers_differ_in_rhythm(
    told: tuple[list[Sent], ShopTruth], events: list[tuple[Sent, Event]]
) -> None:
    truth = {customer.customer_id: customer for customer in told[1].customers}
    gaps = {
        customer: float(np.mean(np.diff([time.timestamp() for time in times]))) / 86_400
        for customer, times in orders_by_customer(events).items()
        if len(times) >= 8
    }
    ours = np.log([truth[customer].gap_days for customer in gaps])
    seen = np.log(list(gaps.values()))
    assert np.corrcoef(ours, seen)[0, 1] > 0.8
    assert np.percentile(seen, 90) - np.percentile(seen, 10) > np.log(2)


def test_busy_days_and_hours(events: list[tuple[Sent, Event]]) -> None:
    views = [event.occurred_at for _, event in events if event.kind == "web"]
    weekdays, hours = Counter(t.weekday() for t in views), Counter(t.hour for t in views)
    assert weekdays[5] > 1.1 * weekdays[1]
    assert hours[20] > 5 * hours[3]
    year = Counter(t.timetuple().tm_yday // 15 for t in views if t.year == 2022)
    assert year[22] > 1.2 * year[20]


def test_recency_and_satisfaction_foretell_leaving(
    told: tuple[list[Sent], ShopTruth], events: list[tuple[Sent, Event]]
) -> None:
    at = datetime(2023, 3, 1, tzinfo=UTC)
    gone, silence = [], []
    truth = {customer.customer_id: customer for customer in told[1].customers}
    for customer, times in orders_by_customer(events).items():
        if times[0] < at:
            last = max(time for time in times if time < at)
            gone.append(truth[customer].left_at is not None and truth[customer].left_at < at)
            silence.append((at - last).days / truth[customer].gap_days)
    assert roc_auc_score(gone, silence) > 0.8
    before, content = scores_by_time_to_leaving(events, truth)
    assert np.mean(before) < np.mean(content) - 0.5


def scores_by_time_to_leaving(events: list, truth: dict) -> tuple[Sequence[float], Sequence[float]]:
    """Satisfaction scores of the last 20 days before leaving, and of customers who stay at least 120 days."""
    before, content = [], []
    for _, event in events:
        if event.name == "CSAT Submitted":
            left = truth[event.customer_id].left_at
            days = (left - event.occurred_at).days if left else 1_000
            (before if days < 20 else content if days > 120 else []).append(event.properties.score)
    return before, content


@pytest.mark.parametrize(
    ("field", "value"),
    [("customers", 0), ("late_share", 0.9), ("start", datetime(2022, 1, 1)), ("seed", -1)],  # noqa: DTZ001 - the naive time is the fault
)
def test_wrong_settings_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        ShopConfig(**{field: value})

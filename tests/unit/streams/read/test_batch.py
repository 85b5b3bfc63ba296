"""What a lane's batch holds, and how it is split over buckets of the devices step."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.blocks import EVENT_DTYPE, NOBODY, LaneBatch, Link, PeopleEvents, Progress
from streams.read.batch import ReportedCustomers, lane_batch
from streams.read.decode import Decoded
from streams.read.split import split_lane

PROGRESS = Progress(source=1, slot=20, start=3, fresh=True, guarded=False)


def people(*rows: tuple[str, str, int, int]) -> PeopleEvents:
    """Events of (customer, device, home, the customer's bucket); the first has the hash 0."""
    events = np.zeros(len(rows), EVENT_DTYPE)
    events["id_hash"] = np.arange(len(rows))
    customers, devices, homes, buckets = zip(*rows, strict=True) if rows else ((), (), (), ())
    return PeopleEvents(
        events,
        np.array(customers, object),
        np.array(devices, object),
        np.array(homes, np.int64),
        np.array(buckets, np.int64),
    )


def link(number: int) -> Link:
    return Link(number, number, number, f"anonymous:a-{number}", NOBODY)


def test_a_customer_of_another_bucket_is_reported_once() -> None:
    known = ReportedCustomers()
    first = people(
        ("c-1", "a-1", 1, 3), ("c-2", "a-2", 1, 1), ("", "a-3", 1, -1), ("c-1", "a-4", 1, 3), ("c-5", "a", 1, 0)
    )
    first.events["slot"] = [7, 1, 1, 5, 9]
    customers, buckets, slots = known.unreported(first)
    assert (customers.tolist(), buckets.tolist(), slots.tolist()) == (["c-1", "c-5"], [3, 0], [5, 9])
    then = people(("c-1", "a-1", 1, 3), ("c-6", "a-1", 1, 2))
    then.events["slot"] = 5
    customers, buckets, _ = known.unreported(then)
    assert (customers.tolist(), buckets.tolist()) == (["c-6"], [2])


def test_a_customer_is_reported_again_for_an_event_of_an_earlier_slot() -> None:
    """A lane's topics are read in any order, and events come late. An alias between the two slots is refused."""
    known = ReportedCustomers()
    found = []
    for slot in (10, 5, 7, 5, 4):
        use = people(("tmp", "v", 1, 0))
        use.events["slot"] = slot
        found += known.unreported(use)[2].tolist()
    assert found == [10, 5, 4]


def test_a_full_memory_reports_again() -> None:
    known = ReportedCustomers(most=2)
    for customer in ("a", "b", "c", "a"):
        assert known.unreported(people((customer, "d", 1, 0)))[0].tolist() == [customer]
    assert known.unreported(people(("a", "d", 1, 0)))[0].tolist() == []


def test_topics_are_joined_in_their_order() -> None:
    parts = [
        Decoded(people=people(("c-1", "", 1, 1)), links=[link(1)], link_buckets=[5]),
        Decoded(),
        Decoded(people=people(("", "a-1", 1, -1), ("c-2", "a-1", 1, 0)), links=[link(2)], link_buckets=[1]),
    ]
    batch = lane_batch(parts, PROGRESS, ReportedCustomers(), turned=True)
    assert batch.people.customers.tolist() == ["c-1", "", "c-2"]
    assert batch.people.devices.tolist() == ["", "a-1", "a-1"]
    assert (batch.links, batch.link_buckets) == ((link(1), link(2)), (5, 1))
    assert (batch.known_customers.tolist(), batch.known_buckets.tolist()) == (["c-2"], [0])


def test_a_batch_of_nothing_goes_nowhere_unless_it_turned() -> None:
    nothing = LaneBatch(PROGRESS, turned=False)
    assert split_lane(nothing, buckets=8, partitions=4) == []
    parts = split_lane(replace(nothing, turned=True), buckets=8, partitions=4)
    assert [(key, part.bucket, part.progress) for key, part in parts] == [("1", 1, PROGRESS), ("5", 5, PROGRESS)]


def test_foreign_links_and_notices_move_no_clock() -> None:
    batch = LaneBatch(
        PROGRESS, links=(link(1), link(2), link(3)), link_buckets=(2, 5, 2), known_customers=np.array(["c-1"], object),
        known_buckets=np.array([3]), known_slots=np.array([9]), turned=False,
    )  # fmt: skip
    parts = dict(split_lane(batch, buckets=8, partitions=4))
    assert {key: part.progress for key, part in parts.items()} == {"2": None, "3": None, "5": PROGRESS}
    assert parts["2"].links == (link(1), link(3))
    assert parts["5"].links == (link(2),)
    assert (parts["3"].known_customers.tolist(), parts["3"].known_slots.tolist()) == (["c-1"], [9])


@pytest.mark.parametrize("buckets", [4, 8, 16])
@given(data=st.data())
def test_every_event_link_and_notice_goes_to_its_bucket_once_and_in_order(buckets: int, data: st.DataObject) -> None:
    own = list(range(1, buckets, 4))
    homes = data.draw(st.lists(st.sampled_from(own), max_size=20))
    places = data.draw(st.lists(st.integers(0, buckets - 1), max_size=10))
    notices = data.draw(st.lists(st.integers(0, buckets - 1), max_size=5))
    batch = LaneBatch(
        PROGRESS,
        people(*((f"c-{at}", "", home, home) for at, home in enumerate(homes))),
        tuple(link(at) for at in range(len(places))), tuple(places),
        np.array([f"c-{at}" for at in range(len(notices))], object), np.array(notices, np.int64),
        np.arange(len(notices)), turned=data.draw(st.booleans()),
    )  # fmt: skip
    parts = split_lane(batch, buckets, 4)
    assert len({key for key, _ in parts}) == len(parts)
    for key, part in parts:
        assert key == str(part.bucket)
        assert part.progress == (PROGRESS if part.bucket in own else None)
        assert part.people.events["id_hash"].tolist() == [at for at, home in enumerate(homes) if home == part.bucket]
        assert [each.slot for each in part.links] == [at for at, place in enumerate(places) if place == part.bucket]
        assert part.known_customers.tolist() == [f"c-{at}" for at, each in enumerate(notices) if each == part.bucket]
        assert part.known_customers.tolist() == [f"c-{slot}" for slot in part.known_slots.tolist()]
        assert batch.turned or len(part.people) or part.links or len(part.known_customers)
    assert sum(len(part.people) for _, part in parts) == len(homes)
    assert sum(len(part.links) for _, part in parts) == len(places)
    assert sum(len(part.known_customers) for _, part in parts) == len(notices)

"""Devices and addresses step by step: what each rule means for events, rows, verdicts and blocks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
from support.columns import DAY, HOUR, MINUTE
from support.state import frozen, thawed

from contracts.blocks import (
    EVENT_DTYPE,
    NOBODY,
    CustomerBatch,
    Departures,
    DeviceBatch,
    Forwarded,
    Link,
    Parcel,
    PeopleBlock,
    PeopleEvents,
    ProfileBlock,
    Progress,
    Verdicts,
)
from contracts.currencies import number_of
from contracts.identity import ANONYMOUS, visitor_id
from contracts.metrics import DUPLICATES, VISITORS
from contracts.model_blocks import VisitorSample  # fmt: skip
from contracts.rates import Rates
from streams import codes
from streams.identity.addresses import Addresses
from streams.identity.devices import Devices
from streams.identity.policy import IdentityPolicy

MAIL = "email:1"
POLICY = IdentityPolicy(DAY, 2, 2, lambda name: int(name == "d"), most_merges=2, visitors_forgotten_after=3 * DAY)
"""Everybody lives in bucket 0, but for customer ``d``."""
Event = tuple[int, str, str]
"""When (microseconds), customer, device."""
T = TypeVar("T")


def people(*events: Event, slot: int | None = None, **columns: Any) -> PeopleEvents:
    rows = np.zeros(len(events), EVENT_DTYPE)
    rows["occurred"] = [at for at, *_ in events]
    rows["entered"] = rows["occurred"] // 1000 + 7
    rows["slot"] = rows["occurred"] // DAY if slot is None else slot
    rows["code"] = codes.PAGE_VIEW
    rows["id_hash"] = [hash(event) % 2**63 for event in events]
    for name, value in columns.items():
        rows[name] = value
    customers = np.array([customer for _, customer, _ in events], object)
    buckets = np.array([POLICY.bucket_of(customer) if customer else -1 for customer in customers], np.int64)
    return PeopleEvents(rows, customers, np.array([device for *_, device in events], object), 0 * buckets, buckets)


def link(device: str, person: str, at: int = 0) -> Link:
    """A link, or the undoing of one: ``-c`` stands for an unlink from c."""
    identity = device if device.startswith("email:") else visitor_id(device)
    undoes = person.removeprefix("-") if person.startswith("-") else ""
    return Link(at // DAY, at, at // 1000, identity, NOBODY if undoes else person, undoes)


def batch(slot: int, *parts: Any, fresh: bool = True, known: Sequence[str] = ()) -> DeviceBatch:
    """A batch of the bucket's own lane; ``parts`` are events and links."""
    links = tuple(part for part in parts if isinstance(part, Link))
    events = next((part for part in parts if isinstance(part, PeopleEvents)), PeopleEvents())
    progress = Progress(0, slot, 0, fresh, guarded=False)
    return DeviceBatch(0, progress, events, links, np.array(known, object), np.full(len(known), slot, np.int64))


def of(outputs: Sequence[Any], kind: type[T]) -> list[T]:
    return [each for each in outputs if isinstance(each, kind)]


def verdicts(outputs: Sequence[Any]) -> list[tuple[str, str, str]]:
    return [(v.identity.removeprefix(ANONYMOUS), v.person, v.outcome) for out in of(outputs, Verdicts)
            for v in out.verdicts]  # fmt: skip


def went(outputs: Sequence[Any]) -> list[tuple[int, str]]:
    """Events that left, as (bucket, owner)."""
    return [(out.bucket, owner) for out in of(outputs, Forwarded)
            for owner in [*out.customers.owners, *out.addresses.owners]]  # fmt: skip


def moved(outputs: Sequence[Any]) -> list[tuple[str, str, int, int]]:
    """Rows that left, as (device, owner, slot, events)."""
    parcels = [parcel for out in of(outputs, Forwarded) for parcel in (out.customers, out.addresses) if parcel.moved]
    return [(source.removeprefix(ANONYMOUS), owner, slot, events) for parcel in parcels if parcel.moved
            for source, owner, slot, events in zip(parcel.moved.sources, parcel.moved.owners,
            parcel.moved.slots.tolist(), parcel.moved.rows["events"].tolist(), strict=True)]  # fmt: skip


def test_nothing_counts_before_the_lane_has_started() -> None:
    devices = Devices(POLICY)
    item = DeviceBatch(0, Progress(0, None, None, fresh=False, guarded=False), people((5, "", "v")), (link("v", "c"),))
    assert devices.take([item]) == []
    assert moved(devices.take([batch(0)])) == []
    assert went(devices.take([batch(0, people((6, "", "v")))])) == [(0, "c")]


def test_a_visitor_is_scored_at_once_and_moves_with_the_link() -> None:
    devices = Devices(POLICY)
    outputs = devices.take([batch(0, people((5 * MINUTE, "", "v"), (HOUR, "", "v")))])
    block = of(outputs, PeopleBlock)[0]
    assert (block.kind, block.table, block.ids.tolist(), block.entered.tolist()) == (
        "live", "devices", [visitor_id("v")], [5 * MINUTE // 1000 + 7])  # fmt: skip
    assert block.rows is not None
    assert block.rows[["events", "sessions"]].tolist() == [(2, 2)]
    assert VISITORS.labels(0)._value.get() == 1
    outputs = devices.take([batch(0, link("v", "d", 2 * HOUR))])
    assert verdicts(outputs) == [("v", "d", "linked")]
    assert moved(outputs) == [("v", "d", 0, 2)]
    assert of(outputs, Departures)[0].persons.tolist() == ["d"]
    assert of(outputs, Departures)[0].versions[0] > block.versions[0]
    assert of(outputs, PeopleBlock) == []
    assert VISITORS.labels(0)._value.get() == 0
    assert went(devices.take([batch(0, people((3 * HOUR, "", "v")))])) == [(1, "d")]


def test_events_with_a_customer_count_for_that_customer_whoever_owns_the_device() -> None:
    devices = Devices(POLICY)
    outputs = devices.take([batch(0, link("v", "c"), people((5, "d", "v"), (6, "", "v"), (7, "e", "")))])
    assert sorted(went(outputs)) == [(0, "c"), (0, "e"), (1, "d")]


def test_sessions_follow_the_device_else_the_customer() -> None:
    devices = Devices(POLICY)
    first = people((0, "c", "v"), (29 * MINUTE, "", "v"), (40 * MINUTE, "c", ""), (71 * MINUTE, "c", ""))
    outputs = devices.take([batch(0, link("v", "c"), first), batch(0, people((60 * MINUTE, "c", "v")))])
    events = np.concatenate([out.customers.events for out in of(outputs, Forwarded)])
    assert sorted(zip((events["occurred"] // MINUTE).tolist(), events["session"].tolist(), strict=True)) == [
        (0, True), (29, False), (40, True), (60, True), (71, True)]  # fmt: skip


def test_what_counts_later_waits_for_its_slot() -> None:
    devices = Devices(POLICY)
    outputs = devices.take([batch(0, people((DAY, "c", "v"), (DAY, "", "w")), link("w", "c", DAY))])
    assert (went(outputs), verdicts(outputs)) == ([], [])
    outputs = devices.take([batch(1)])
    assert went(outputs) == [(0, "c"), (0, "c")]
    assert verdicts(outputs) == [("w", "c", "linked")]


def test_duplicates_of_visitors_count_once_and_those_of_customers_pass() -> None:
    devices, before = Devices(POLICY), DUPLICATES._value.get()
    devices.take([batch(0, people((5, "", "v"), (5, "", "v"), (6, "c", "w"), (6, "c", "w")))])
    assert DUPLICATES._value.get() - before == 1
    assert moved(devices.take([batch(0, link("v", "c"))])) == [("v", "c", 0, 1)]


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([("v", "c"), ("v", "c")], [("v", "c", "linked")]),
        ([("v", "c"), ("v", "d")], [("v", "c", "linked"), ("v", "d", "belongs_to_another")]),
        ([("v", MAIL), ("v", MAIL)], [("v", MAIL, "linked")]),
        ([("v", MAIL), ("v", "email:2")], [("v", MAIL, "linked"), ("v", "email:2", "belongs_to_another")]),
        ([("v", MAIL), ("v", "c")], [("v", MAIL, "linked"), ("v", "c", "linked")]),
        ([("v", "c"), ("v", MAIL)], [("v", "c", "linked")]),
        ([("v", "v")], [("v", "v", "linked")]),
        ([("w", "v"), ("v", "c")], [("w", "v", "linked"), ("v", "c", "is_a_customer")]),
        ([("v", "-c")], []),
        ([("v", "c"), ("v", "-c")], [("v", "c", "linked"), ("v", "c", "unlinked")]),
        ([("v", "c"), ("v", "-d")], [("v", "c", "linked")]),
        ([("v", MAIL), ("v", "c"), ("v", f"-{MAIL}")], [("v", MAIL, "linked"), ("v", "c", "linked")]),
        ([("v", MAIL), ("v", f"-{MAIL}")], [("v", MAIL, "linked"), ("v", MAIL, "unlinked")]),
        ([("v", "c"), ("v", "-c"), ("v", "d")], [("v", "c", "linked"), ("v", "c", "unlinked"), ("v", "d", "linked")]),
        ([("u", "c"), ("v", "c"), ("w", "c"), ("w", "d")],
         [("u", "c", "linked"), ("v", "c", "linked"), ("w", "c", "merge_limit"), ("w", "d", "linked")]),
        ([("u", "c"), ("v", "c"), ("v", "-c"), ("w", "c")],
         [("u", "c", "linked"), ("v", "c", "linked"), ("v", "c", "unlinked"), ("w", "c", "linked")]),
        ([("u", "c"), ("v", "c"), ("w", "c"), ("v", "-c"), ("w", "c")],
         [("u", "c", "linked"), ("v", "c", "linked"), ("w", "c", "merge_limit"), ("v", "c", "unlinked"),
          ("w", "c", "merge_limit")]),
    ],
)  # fmt: skip
def test_verdicts(links: list[tuple[str, str]], expected: list[tuple[str, str, str]]) -> None:
    together, alone = Devices(POLICY), Devices(POLICY)
    made = [link(device, person, at) for at, (device, person) in enumerate(links)]
    assert verdicts(together.take([batch(0, *made)])) == expected
    assert [each for one in made for each in verdicts(alone.take([batch(0, one)]))] == expected


@pytest.mark.parametrize("how", ["event", "notice", "transaction"])
def test_the_id_of_a_customer_is_never_given_away(how: str) -> None:
    """In the same activation, and later."""
    for later in (False, True):
        devices = Devices(POLICY)
        item = {
            "event": batch(0, people((5, "tmp", "v"))),
            "notice": batch(0, known=["tmp"]),
            "transaction": batch(0, people((5, "tmp", ""), code=codes.ORDER)),
        }[how]
        alias = batch(0, link("tmp", "real", 9))
        outputs = [*devices.take([item]), *devices.take([alias])] if later else devices.take([item, alias])
        assert verdicts(outputs) == [("tmp", "real", "is_a_customer")]
        assert moved(outputs) == []


def test_a_customer_of_a_later_slot_does_not_count_yet() -> None:
    """Another lane may be ahead by weeks when a log is read again: live, the link came first."""
    devices = Devices(POLICY)
    ahead = DeviceBatch(0, None, known_customers=np.array(["tmp"], object), known_slots=np.array([5]))
    outputs = devices.take([batch(0), ahead, batch(4, link("tmp", "real", 4 * DAY))])
    assert verdicts(outputs) == [("tmp", "real", "linked")]
    outputs = devices.take([batch(5, link("tmp", "-real", 5 * DAY), link("tmp", "real", 5 * DAY + 1))])
    assert verdicts(outputs) == [("tmp", "real", "unlinked"), ("tmp", "real", "is_a_customer")]
    assert len(devices._state.notices) == 0


def test_an_unlink_takes_effect_with_the_next_slot_and_what_moved_stays() -> None:
    devices = Devices(POLICY)
    devices.take([batch(0, people((5, "", "v")), link("v", "c"))])
    outputs = devices.take([batch(1, link("v", "-c", DAY), people((DAY + 5, "", "v")))])
    assert went(outputs) == [(0, "c")]
    assert of(outputs, Departures)[-1].persons.tolist() == [""]
    assert not of(outputs, Departures)[-1].forgotten
    outputs = devices.take([batch(2, people((2 * DAY, "", "v")))])
    assert went(outputs) == []
    assert of(outputs, PeopleBlock)[0].ids.tolist() == [visitor_id("v")]
    assert moved(devices.take([batch(2, link("v", "d", 2 * DAY))])) == [("v", "d", 2, 1)]


def test_several_links_of_one_device_in_one_activation() -> None:
    devices = Devices(POLICY)
    events = people(*[(day * DAY + 5, "", "v") for day in range(7)])
    links = [link("v", "c", DAY), link("v", "-c", 2 * DAY), link("v", "d", 5 * DAY)]
    outputs = devices.take([batch(0), batch(6, *links, events)])
    assert moved(outputs) == [("v", "c", 1, 1), ("v", "d", 5, 2)]
    assert went(outputs) == [(0, "c"), (0, "c"), (1, "d"), (1, "d")]


def test_silent_visitors_are_forgotten_and_their_positions_used_again() -> None:
    devices = Devices(POLICY)
    first = of(devices.take([batch(0, people((5, "", "v")), link("w", "c"))]), PeopleBlock)[0]
    assert of(devices.take([batch(3)]), Departures) == []
    outputs = devices.take([batch(4)])
    gone = of(outputs, Departures)[0]
    assert (gone.ids.tolist(), gone.persons.tolist(), gone.forgotten) == ([visitor_id("v")], [""], True)
    assert of(outputs, VisitorSample)[0].count == 0
    block = of(devices.take([batch(4, people((4 * DAY, "", "x")))]), PeopleBlock)[0]
    assert (block.ids.tolist(), block.positions.tolist()) == ([visitor_id("x")], first.positions.tolist())
    assert went(devices.take([batch(9, people((9 * DAY, "", "w")))])) == [(0, "c")], "owners are kept"


def test_a_visitor_who_comes_back_after_being_forgotten_is_a_new_one() -> None:
    """Also within one activation."""
    events = people((5, "", "v"), (9 * DAY, "", "v"))
    for cut in (False, True):
        devices = Devices(POLICY)
        items = [batch(0, people((5, "", "v"))), batch(9, people((9 * DAY, "", "v")))] if cut else [batch(9, events)]
        for item in items:
            outputs = devices.take([item])
        assert of(outputs, PeopleBlock)[0].rows["events"].tolist() == [1]  # type: ignore[index]


def test_in_a_catch_up_changed_profiles_leave_at_boundaries_and_all_are_restated_after_it() -> None:
    devices = Devices(POLICY)
    assert of(devices.take([batch(0, people((5, "", "v"), (6, "", "w")), fresh=False)]), ProfileBlock) == []
    outputs = devices.take([batch(1, people((DAY, "", "w")), fresh=False)])
    stored = of(outputs, ProfileBlock)[0]
    assert (stored.ids.tolist(), stored.rows["events"].tolist()) == ([visitor_id("v"), visitor_id("w")], [1, 1])
    assert stored.versions.tolist() == [1, 1]
    assert of(outputs, VisitorSample)[0].boundary == 1
    outputs = devices.take([batch(1)])
    live, restated = of(outputs, PeopleBlock)
    assert (live.kind, live.ids.tolist(), live.versions.tolist()) == ("live", [visitor_id("w")], [(1 << 32) + 2])
    assert (restated.kind, restated.ids.tolist()) == ("restated", [visitor_id("v")])
    assert of(devices.take([batch(1)]), PeopleBlock) == []
    assert [block.kind for block in of(devices.take([batch(2)]), PeopleBlock)] == ["restated"]


def test_everybody_hears_of_a_new_slot_and_else_only_who_gets_something() -> None:
    devices = Devices(POLICY)
    assert [out.bucket for out in of(devices.take([batch(0)]), Forwarded)] == [0, 1]
    assert of(devices.take([batch(0)]), Forwarded) == []
    assert [out.bucket for out in of(devices.take([batch(0, people((5, "d", "v")))]), Forwarded)] == [1]
    assert [out.bucket for out in of(devices.take([batch(0, fresh=False)]), Forwarded)] == [0, 1]
    other_lane = DeviceBatch(0, None, people((DAY, "c", "")), (link("v", "c", 5),))
    assert verdicts(devices.take([other_lane])) == [("v", "c", "linked")]
    assert went(devices.take([batch(1)])) == [(0, "c")]


def test_money_that_waits_moves_or_is_converted_after_a_restart() -> None:
    poor = replace(POLICY, rates=Rates("EUR"))
    devices, usd = Devices(poor), number_of("USD")
    events = people((5, "", "v"), (6, "", "w"), code=codes.ORDER, amount=80_000, currency=usd)
    devices.take([batch(0, events)])
    parcel = of(devices.take([batch(0, link("v", "c"))]), Forwarded)[0].customers
    assert parcel.moved is not None
    assert parcel.moved.unconverted[["row", "amount", "currency"]].tolist() == [(0, 80_000, usd)]
    devices = thawed(Devices(replace(poor, rates=Rates("EUR", {"USD": ((0, 0.5),)}))), frozen(devices))
    block = of(devices.resumed(), PeopleBlock)[0]
    assert block.rows is not None
    assert (block.ids.tolist(), block.rows["revenue"].tolist()) == ([visitor_id("w")], [40_000])
    assert block.guarded, "Redis may hold what came after the saved state"
    assert devices.resumed() == []


def forwarded(source: int, slot: int, customers: Parcel | None = None, addresses: Parcel | None = None,
              claims: tuple[Link, ...] = ()) -> Forwarded:  # fmt: skip
    progress = Progress(source, slot, 0, fresh=True, guarded=False)
    return Forwarded(0, progress, customers or Parcel(), addresses or Parcel(), claims)


def parcel_of(owner: str, at: int) -> Parcel:
    return Parcel(people((at, "", "")).events, np.array([owner], object))


def test_addresses_pass_on_what_is_for_customers_and_report_the_slowest_sender() -> None:
    addresses = Addresses(POLICY)
    early = of(addresses.take([forwarded(0, 5, parcel_of("c", 5 * DAY))]), CustomerBatch)
    assert [(out.bucket, out.progress.slot, len(out.parcel)) for out in early] == [(0, None, 1), (1, None, 0)]
    both = of(addresses.take([forwarded(1, 3)]), CustomerBatch)
    assert [(out.bucket, out.progress.slot, len(out.parcel)) for out in both] == [(0, 3, 0), (1, 3, 0)]
    outputs = of(addresses.take([forwarded(0, 5, parcel_of("c", 5 * DAY)), forwarded(0, 5, parcel_of("c", 5 * DAY)),
                                 forwarded(1, 4)]), CustomerBatch)  # fmt: skip
    assert [(out.bucket, out.progress.slot) for out in outputs] == [(0, 3), (0, 4), (1, 4)]


def test_an_address_has_a_history_of_its_own_until_it_is_claimed() -> None:
    addresses = Addresses(POLICY)
    addresses.take([forwarded(0, 0), forwarded(1, 0)])
    block = of(addresses.take([forwarded(0, 0, addresses=parcel_of(MAIL, 5))]), PeopleBlock)[0]
    assert (block.table, block.ids.tolist()) == ("addresses", [MAIL])
    outputs = addresses.take([forwarded(1, 0, claims=(link(MAIL, "d", 9), link(MAIL, "c", 10)))])
    assert verdicts(outputs) == [(MAIL, "d", "linked"), (MAIL, "c", "belongs_to_another")]
    assert of(outputs, VisitorSample) == []
    rows = next(out.parcel.moved for out in of(outputs, CustomerBatch) if out.bucket == 1)
    assert rows is not None
    assert (rows.owners.tolist(), rows.rows["events"].tolist()) == (["d"], [1])
    later = of(addresses.take([forwarded(0, 0, addresses=parcel_of(MAIL, 11))]), CustomerBatch)
    assert [(out.bucket, out.parcel.owners.tolist()) for out in later] == [(1, ["d"])]


def test_addresses_wait_for_the_slowest_sender() -> None:
    addresses = Addresses(POLICY)
    addresses.take([forwarded(0, 0), forwarded(1, 0)])
    outputs = addresses.take([forwarded(0, 1, addresses=parcel_of(MAIL, DAY), claims=(link(MAIL, "c", DAY),))])
    assert (verdicts(outputs), of(outputs, PeopleBlock)) == ([], [])
    outputs = addresses.take([forwarded(1, 1)])
    assert verdicts(outputs) == [(MAIL, "c", "linked")]
    assert [out.parcel.owners.tolist() for out in of(outputs, CustomerBatch) if len(out.parcel)] == [["c"]]

"""An Unlink undoes what it names and nothing newer; links sent again, late or in another order change nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, HOUR
from support.laws import law
from support.restarting import Restarting
from support.state import frozen, thawed

from contracts.blocks import NOBODY, DeviceBatch, Forwarded, Link, Pointers, Progress, Verdict, Verdicts
from contracts.identity import visitor_id
from crmstream.identity.lookup import Link as Decision
from crmstream.identity.lookup import owners_of
from streams.identity.addresses import Addresses
from streams.identity.decisions import WaitingLinks
from streams.identity.devices import Devices
from streams.identity.policy import IdentityPolicy

MAIL = "email:1"
V = visitor_id("v")
POLICY = IdentityPolicy(DAY, 2, 2, lambda _: 0, most_merges=2)
ROOMY = replace(POLICY, most_merges=9)
LAST = 9
"""A slot after all times of the tests."""


def link(identity: str, person: str, at: int, slot: int | None = None) -> Link:
    """``-c`` stands for an unlink from c."""
    undoes = person.removeprefix("-") if person.startswith("-") else ""
    return Link(at // DAY if slot is None else slot, at, 0, identity, NOBODY if undoes else person, undoes)


def of_devices(devices: Devices, slot: int, links: Sequence[Link]) -> list[Any]:
    return devices.take([DeviceBatch(0, Progress(0, slot, 0, fresh=True, guarded=False), links=tuple(links))])


def of_addresses(addresses: Addresses, slot: int, links: Sequence[Link]) -> list[Any]:
    forwarded = [Forwarded(0, Progress(lane, slot, 0, fresh=True, guarded=False)) for lane in (0, 1)]
    return addresses.take([forwarded[0], replace(forwarded[1], claims=tuple(links))])


def verdicts(outputs: Sequence[Any]) -> list[Verdict]:
    return [verdict for out in outputs if isinstance(out, Verdicts) for verdict in out.verdicts]


def owners(machine: Devices | Addresses) -> dict[str, str]:
    owned = machine._state.owned
    names = owned.table.names.take(owned.locate([visitor_id(each) for each in "uvw"] + [MAIL]))
    return {name: owner for name in names for owner in [owned.owner(int(owned.locate([name])[0]))] if owner}


def test_an_identify_that_is_sent_again_after_an_unlink_is_ignored() -> None:
    devices = Devices(POLICY)
    asked = link(V, "c", 5)
    assert [v.outcome for v in verdicts(of_devices(devices, 1, [asked, link(V, "d", 9), link(V, "-c", DAY)]))] == [
        "linked", "belongs_to_another", "unlinked"]  # fmt: skip
    assert verdicts(of_devices(devices, 2, [asked._replace(slot=2), link(V, "d", 9, 2), link(V, "-c", DAY, 2)])) == []
    assert [v.person for v in verdicts(of_devices(devices, 2, [link(V, "d", 2 * DAY)]))] == ["d"]


def test_an_unlink_undoes_a_link_of_a_fast_clock_and_its_repeats_stay_undone() -> None:
    """The time of the decision is not older than that of the link: the table has one row for both."""
    devices = Devices(POLICY)
    fast = link(V, "c", 9 * HOUR)
    of_devices(devices, 0, [link(V, "c", 5), fast])
    devices = thawed(Devices(POLICY), frozen(devices))
    (undone,) = verdicts(of_devices(devices, 0, [link(V, "-c", 6 * HOUR)]))
    assert (undone.outcome, undone.occurred) == ("unlinked", 9 * HOUR)
    assert verdicts(of_devices(devices, 1, [fast._replace(slot=1)])) == []


def test_an_unlink_that_names_another_owner_leaves_the_link_alone() -> None:
    devices = Devices(POLICY)
    of_devices(devices, 0, [link(V, MAIL, 5), link(V, "c", HOUR)])
    assert verdicts(of_devices(devices, 0, [link(V, f"-{MAIL}", 2 * HOUR)])) == []
    assert owners(devices) == {V: "c"}
    assert [v.person for v in verdicts(of_devices(devices, 0, [link(V, "-c", 3 * HOUR)]))] == ["c"]


@pytest.mark.parametrize("cut", [1, 2, 3])
@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_an_address_is_unlinked_in_any_order_of_claims_and_unlink(order: tuple[int, ...], cut: int) -> None:
    """The claims are in the lanes of devices, the unlink in that of its customer."""
    said = [link(MAIL, "c", 5), link(MAIL, "c", 50), link(MAIL, "-c", 60)]
    addresses = Addresses(POLICY)
    for start in range(0, 3, cut):
        of_addresses(addresses, 0, [said[each] for each in order[start : start + cut]])
    assert owners(addresses) == {}
    of_addresses(addresses, 0, [link(MAIL, "d", 70)])
    assert owners(addresses) == {MAIL: "d"}


def test_claims_that_are_due_at_once_are_decided_in_the_order_of_their_times() -> None:
    addresses = Addresses(POLICY)
    of_addresses(addresses, 3, [link(MAIL, "d", 70), link(MAIL, "c", 5)])
    assert owners(addresses) == {MAIL: "c"}


_SAID = st.lists(
    st.tuples(
        st.sampled_from("uvw"),
        st.sampled_from(["c", "d", MAIL] * 2 + ["-c", "-d", f"-{MAIL}"]),
        st.integers(0, 6 * 24),
        st.sampled_from([0, 0, 0, 5, -20]),
    ),
    max_size=20,
)
Take = Callable[[Any, int, Sequence[Link]], list[Any]]


def life(machine: Any, take: Take, drawn: Any, *, address: bool) -> None:
    """Read links twice, in parts, with a restart between; compare owners, and the table with the owners."""
    said = []
    for device, person, hour, lag in drawn:
        if not (address and person.endswith(MAIL)):
            said.append((MAIL if address else visitor_id(device), person, hour * HOUR, max(0, hour - lag) * HOUR))
    said.sort(key=lambda one: one[2])
    table: dict[tuple[str, str], Decision] = {}
    found: list[dict[str, str]] = []
    for again in (0, 1):
        for identity, person, received, occurred in said:
            now = max(received // DAY, again * LAST)
            note(table, verdicts(take(machine, now, [link(identity, person, occurred, max(now, occurred // DAY))])))
        note(table, verdicts(take(machine, LAST, [])))
        machine = thawed(type(machine)(machine._policy), frozen(machine))
        found.append(owners(machine))
        if machine._policy is ROOMY:
            assert owners_of(sorted(table.values(), key=lambda one: one.occurred_at)) == found[-1]
    assert found[0] == found[1]


def note(table: dict[tuple[str, str], Decision], made: Sequence[Verdict]) -> None:
    """Keep the newest decision about each pair, as ``identity_links`` does."""
    for each in made:
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=each.occurred)
        if (each[:2] not in table) or at >= table[each[:2]].occurred_at:
            table[each[:2]] = Decision(each.identity, each.person, each.outcome, at)


@law()
@given(_SAID, st.sampled_from([POLICY, ROOMY]))
def test_links_of_devices_that_are_sent_again_change_nothing(drawn: Any, policy: IdentityPolicy) -> None:
    life(Devices(policy), of_devices, drawn, address=False)


@law()
@given(_SAID)
def test_claims_on_addresses_that_are_sent_again_change_nothing(drawn: Any) -> None:
    life(Addresses(ROOMY), of_addresses, drawn, address=True)


def test_links_that_wait_are_not_looked_at_before_the_first_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = WaitingLinks()
    waiting.put([link(V, "c", 5 * DAY), link(V, "c", 3 * DAY)])
    restored = WaitingLinks()
    restored.apply(waiting.whole())
    for each in (waiting, restored):
        with monkeypatch.context() as patch:
            patch.setattr(each, "remove", lambda _: pytest.fail("looked at"))
            assert each.due(2, 0) == []
        assert [one.slot for one in each.due(3, 0)] == [3]
        assert [one.slot for one in each.due(9, 0)] == [5]
        assert each.due(9, 0) == []


def test_pointers_of_devices_that_identify_now_and_then_live_on_and_others_expire() -> None:
    devices = Devices(POLICY)
    of_devices(devices, 0, [link(V, "c", 5), link(visitor_id("u"), "c", 6)])
    turns: dict[str, list[int]] = {V: [], visitor_id("u"): []}
    for day in range(1, 120):
        said = [link(V, "c", day * DAY)] if day % 10 == 0 else []
        for block in (out for out in of_devices(devices, day, said) if isinstance(out, Pointers)):
            assert (block.versions < (day << 32)).all(), "lower than what this day changes"
            for name in block.ids:
                turns[name].append(day)
    assert all(later - earlier <= 17 for earlier, later in zip(turns[V], turns[V][1:], strict=False))
    assert turns[V][-1] > 100
    assert len(turns[visitor_id("u")]) <= 1


def test_the_pointer_of_an_address_lives_on_while_its_customer_claims_it() -> None:
    addresses = Addresses(POLICY)
    turns = []
    for day in range(60):
        claims = [link(MAIL, "c", day * DAY)] if day < 30 else []
        turns += [day for out in of_addresses(addresses, day, claims) if isinstance(out, Pointers)]
    assert len(turns) in (4, 5)
    assert turns[-1] < 40


def test_pointers_have_their_turn_when_several_boundaries_are_crossed_at_once() -> None:
    devices = Devices(POLICY)
    of_devices(devices, 0, [link(V, "c", 5)])
    outputs = of_devices(devices, 8, [link(V, "c", 4 * DAY)])
    assert [out.ids.tolist() for out in outputs if isinstance(out, Pointers)] == [[V]]


def test_pointers_have_their_turn_though_each_boundary_is_crossed_far_from_the_end_of_the_log() -> None:
    """As when a nightly import keeps the lane behind at midnight."""
    devices, turns = Devices(POLICY), []
    of_devices(devices, 0, [link(V, "c", 5)])
    for day in range(1, 60):
        said, outputs = [link(V, "c", day * DAY)], []
        for fresh in (False, True):
            outputs += devices.take([DeviceBatch(0, Progress(0, day, 0, fresh, guarded=False), links=tuple(said))])
            said = []
            while devices.has_work():
                outputs += devices.work()
        turns += [day for out in outputs if isinstance(out, Pointers)]
    assert len(turns) == len(set(turns))
    assert all(later - earlier == 7 for earlier, later in pairwise(turns))
    assert turns[-1] > 50


@pytest.mark.parametrize("at", range(5))
def test_a_restart_in_a_round_of_pointers_loses_none(at: int) -> None:
    names = [visitor_id(f"v{number}") for number in range(40)]
    kept, pointed = Restarting(lambda: Devices(replace(POLICY, portion=3))), list[str]()
    of_devices(kept.machine, 0, [link(name, f"c{number}", 5) for number, name in enumerate(names)])
    outputs, number = of_devices(kept.machine, 7, []), 0
    while kept.machine.has_work():
        if number == at:
            kept.restart()
        outputs += kept.machine.work()
        number += 1
    pointed = [name for out in outputs if isinstance(out, Pointers) for name in out.ids]
    assert number > at
    assert sorted(pointed) == sorted(names)


def test_many_pointers_come_in_portions_and_a_round_that_is_not_done_goes_on_at_the_next_boundary() -> None:
    names = [visitor_id(f"v{number}") for number in range(40)]
    links = [link(name, f"c{number}", 5) for number, name in enumerate(names)]
    whole, some = Devices(POLICY), Devices(replace(POLICY, portion=3))
    found: dict[Devices, list[str]] = {whole: [], some: []}
    most = 0
    for day in range(9):
        for devices, pointed in found.items():
            said = [] if day else links
            batches = [of_devices(devices, day, said)]
            while devices.has_work() and (devices is whole or (day > 4 and len(batches) < 5)):
                batches.append(devices.work())
            blocks = [out for batch in batches for out in batch if isinstance(out, Pointers)]
            pointed += [name for block in blocks for name in block.ids]
            if devices is some:
                most = max([most, *(len(block.ids) for block in blocks)])
    while some.has_work():
        found[some] += [name for out in some.work() if isinstance(out, Pointers) for name in out.ids]
    assert sorted(found[whole]) == sorted(names)
    assert set(found[some]) == set(names)
    assert most <= 2 * 3

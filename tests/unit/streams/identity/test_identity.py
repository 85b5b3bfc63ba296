"""Who is whom is a function of the links and their times, however the lanes are read."""

import pickle
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.crossings import NOBODY, LaneNews, Links, Verdict, no_links
from contracts.identity import email_key, visitor_id
from streams.identity.resolver import FULL, KNOWN, LINKED, TAKEN, IdentityPolicy, IdentityState, Resolution, resolve

POLICY = IdentityPolicy(lanes=2, most_merges=2)
V, W, X = (visitor_id(each) for each in "vwx")
MAIL = email_key("a@example.com")
Pair = tuple[str, str]


def links(slot: int, *pairs: Pair, at: int | None = None) -> Links:
    """Links of a slot, a second apart in their order."""
    times = [slot * 100 + number if at is None else at for number in range(len(pairs))]
    return Links(
        np.array(times, np.int64),
        np.full(len(pairs), slot, np.int64),
        np.array([source for source, _ in pairs], object),
        np.array([target for _, target in pairs], object),
    )


def news(partition: int, slot: int, found: Links | None = None) -> LaneNews:
    return LaneNews(partition, no_links() if found is None else found, 0, slot)


def after(*days: Sequence[Pair], policy: IdentityPolicy = POLICY) -> tuple[IdentityState, list[Verdict]]:
    """What is decided of the links of some days, all of one lane, when both lanes are past them."""
    state, verdicts = IdentityState(), list[Verdict]()
    for day, pairs in enumerate(days):
        for one in (news(0, day, links(day, *pairs)), news(0, day + 1), news(1, day + 1)):
            verdicts += resolve(state, one, policy).verdicts
    return state, verdicts


def outcomes(verdicts: Sequence[Verdict]) -> list[tuple[str, str, str]]:
    return [(each.identity, each.person, each.outcome) for each in verdicts]


def test_a_visitor_becomes_a_customer_at_the_next_boundary() -> None:
    state = IdentityState()
    assert resolve(state, news(0, 3, links(3, (V, "c"))), POLICY) == Resolution()  # the other lane is not heard yet
    assert resolve(state, news(1, 3), POLICY) == Resolution(hints={V: "c"})
    assert resolve(state, news(0, 4), POLICY) == Resolution()
    assert resolve(state, news(1, 4), POLICY) == Resolution({4: {V: "c"}}, (Verdict(V, "c", LINKED, 300, 4),))
    assert state.decided.person_of == {V: "c"}


def test_several_devices_are_one_customer() -> None:
    _, verdicts = after([(V, "c")], [(W, "c")])
    assert outcomes(verdicts) == [(V, "c", LINKED), (W, "c", LINKED)]


def test_what_is_known_is_not_decided_again() -> None:
    assert len(after([(V, "c")], [(V, "c")], [(V, "c")])[1]) == 1


def test_who_belongs_to_one_customer_is_never_another() -> None:
    state, verdicts = after([(V, "c"), (V, "d")], [(V, "e")])
    assert outcomes(verdicts) == [(V, "c", LINKED), (V, "d", TAKEN), (V, "e", TAKEN)]
    assert state.decided.person_of == {V: "c"}


def test_an_identified_customer_is_nobodys_second_id() -> None:
    assert outcomes(after([(NOBODY, "old")], [(visitor_id("old"), "new")])[1]) == [(visitor_id("old"), "new", KNOWN)]
    assert outcomes(after([(visitor_id("old"), "new")], [(NOBODY, "old")])[1]) == [(visitor_id("old"), "new", LINKED)]


def test_a_customer_takes_over_a_limited_number() -> None:
    _, verdicts = after([(V, "c"), (W, "c"), (X, "c")], [(X, "d")])
    assert outcomes(verdicts) == [(V, "c", LINKED), (W, "c", LINKED), (X, "c", FULL), (X, "d", LINKED)]


def test_an_address_names_the_customer_who_has_it() -> None:
    assert outcomes(after([(MAIL, "c")], [(V, MAIL)])[1]) == [(MAIL, "c", LINKED), (V, "c", LINKED)]


def test_who_gave_an_address_is_found_when_somebody_is_known_by_it() -> None:
    state, verdicts = after([(V, MAIL), (W, MAIL)], [], [(MAIL, "c")])
    assert outcomes(verdicts) == [(MAIL, "c", LINKED), (V, "c", LINKED), (W, "c", LINKED)]
    assert state.decided.mailed == {}


def test_an_address_of_two_customers_belongs_to_the_first() -> None:
    _, verdicts = after([(MAIL, "c")], [(MAIL, "d"), (V, MAIL)])
    assert outcomes(verdicts) == [(MAIL, "c", LINKED), (MAIL, "d", TAKEN), (V, "c", LINKED)]


def test_a_sign_in_counts_before_an_address_of_the_same_day() -> None:
    """Anybody may type anybody's address into a form."""
    _, verdicts = after([(MAIL, "c")], [(V, MAIL), (V, "d")])
    assert outcomes(verdicts) == [(MAIL, "c", LINKED), (V, "d", LINKED), (V, "c", TAKEN)]


def test_who_waits_for_the_owner_of_an_address_is_forgotten_in_time() -> None:
    policy = IdentityPolicy(lanes=2, most_merges=2, visitor_slots=3)
    state, _ = after([(V, MAIL)], *[[] for _ in range(15)], [(NOBODY, "x")], policy=policy)
    assert state.decided.mailed == {}


def test_hints_follow_the_earliest_link_and_are_taken_back() -> None:
    state = IdentityState()
    resolve(state, news(1, 0), POLICY)
    assert resolve(state, news(0, 0, links(0, (V, "c"), at=50)), POLICY).hints == {V: "c"}
    assert resolve(state, news(1, 0, links(0, (V, "d"), at=70)), POLICY).hints == {}
    assert resolve(state, news(1, 0, links(0, (V, "b"), at=20)), POLICY).hints == {V: "b"}
    assert resolve(state, news(0, 0, links(0, (W, MAIL))), POLICY).hints == {}
    assert resolve(state, news(1, 0, links(0, (MAIL, "b"))), POLICY).hints == {W: "b"}


def test_a_hint_that_is_refused_in_the_end_is_taken_back() -> None:
    state = IdentityState()
    resolve(state, news(1, 0), POLICY)
    some = links(0, (V, "c"), (W, "c"), (X, "c"))
    assert resolve(state, news(0, 0, some), POLICY).hints == {V: "c", W: "c", X: "c"}
    resolve(state, news(0, 1), POLICY)
    assert resolve(state, news(1, 1), POLICY).hints == {X: None}


_IDS = st.sampled_from([V, W, X, MAIL, email_key("b@example.com")])
_CUSTOMERS = st.sampled_from(["c", "d", "v"])
_PAIRS = st.one_of(
    st.tuples(_IDS, _CUSTOMERS),
    st.tuples(st.just(NOBODY), _CUSTOMERS),
    st.tuples(st.sampled_from([V, W, X]), st.sampled_from([MAIL, email_key("b@example.com")])),
)
_LOG = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 9), _PAIRS), max_size=30)


def feed(log: list[tuple[int, int, int, Pair]], order: list[int]) -> tuple[list[Verdict], dict[str, str]]:
    """Read two lanes' links, each lane in the order of its slots, in an order between the lanes that is given."""
    queues = [[news(lane, 0)] for lane in (0, 1)]
    for lane in (0, 1):
        for slot in range(4):
            for _, _, at, pair in sorted(each for each in log if each[:2] == (lane, slot)):
                queues[lane].append(news(lane, slot, links(slot, pair, at=slot * 100 + at)))
            queues[lane].append(news(lane, slot + 1))
    state, verdicts = IdentityState(), list[Verdict]()
    for turn in order + [0, 1] * 100:
        if queues[turn]:
            verdicts += resolve(state, queues[turn].pop(0), POLICY).verdicts
            state = pickle.loads(pickle.dumps(state))
    assert state.hints.told == {}
    return verdicts, state.decided.person_of


@given(_LOG, st.lists(st.integers(0, 1), max_size=40))
def test_decisions_do_not_depend_on_the_order_in_which_lanes_are_read(
    log: list[tuple[int, int, int, Pair]], order: list[int]
) -> None:
    verdicts, person_of = feed(log, order)
    assert (verdicts, person_of) == feed(log, [])
    linked = [each for each in verdicts if each.outcome == LINKED]
    assert len({each.identity for each in linked}) == len(linked), "nobody is linked twice"
    for person in set(person_of.values()):
        ids = [each for each in linked if each.person == person and not each.identity.startswith("email:")]
        assert len(ids) <= POLICY.most_merges

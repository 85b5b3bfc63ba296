"""Visitors and customers together, in steps that talk by channels of any delay, as workers do."""

import pickle
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support.columns import DAY, HOUR, Happening, columns, happenings

from contracts.blocks import CustomerBlock, LaneBatch, SweepBlock, VisitorSample, Visits
from contracts.crossings import Decisions, HandOver, Links, Moved, Overlay, Verdict, no_links
from contracts.currencies import number_of
from contracts.identity import email_key, visitor_id
from contracts.rates import Rates
from streams import codes
from streams.publish import routing as outflows
from streams.profiles.bucket import BucketPolicy, ProfileBlock
from streams.profiles.features import FEATURES, compute_features
from streams.publish.hashes import profile_hashes
from streams.identity.resolver import IdentityPolicy
from streams.identity.people import GatherStep, ResolveStep, VisitorStep, news_of, split_visits
from streams.profiles.table import ProfileTable, apply_events, fade
from streams.steps import ProfileStep, split_by_bucket

LANES = 2
DAYS = 4
END = (DAYS + 1) * DAY + HOUR
V, W = visitor_id("v"), visitor_id("w")
MAIL = email_key("c@example.com")
HOMES = {"c": 0, "d": 1, V: 1, W: 0}
"""The bucket of each profile; there is one bucket in each lane."""
POLICY = BucketPolicy(DAY, 3 * DAY, 2, ("orders",), 1_000, DAY, 3 * DAY)
Link = tuple[int, str, str]
NEIGHBOURS = {"log_mean_gap_days", "log_overdue", "gap_spread", "conversion"}
EXACT_FEATURES = [at for at, name in enumerate(FEATURES) if name not in NEIGHBOURS]
"""Features that compare no event with the one before it."""


@dataclass
class Engine:
    """The steps, and a channel between each two: first in, first out, and any delay."""

    saved: bool
    policy: BucketPolicy = POLICY
    channels: dict[tuple[str, str], deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    steps: dict[str, Any] = field(default_factory=dict)
    outputs: list[Any] = field(default_factory=list)
    make: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = HOMES.__getitem__
        self.make = {"resolve": partial(ResolveStep, policy=IdentityPolicy(LANES, 100), buckets=LANES, bucket_of=place),
                     "gather": partial(GatherStep, buckets=LANES, bucket_of=place)}  # fmt: skip
        for bucket in range(LANES):
            self.make[f"visitors-{bucket}"] = partial(VisitorStep, policy=self.policy)
            self.make[f"customers-{bucket}"] = partial(ProfileStep, policy=self.policy)
        self.steps = {name: make(None) for name, make in self.make.items()}

    def restart(self, policy: BucketPolicy) -> None:
        """Stop everything and go on with another policy, as workers do; what is under way between steps stays."""
        saved = {name: step.snapshot() for name, step in self.steps.items()}
        self.policy = policy
        self.__post_init__()
        self.steps = {name: make(saved[name]) for name, make in self.make.items()}
        for name, step in self.steps.items():
            if step.notify_at() is not None:
                for output in step.on_notify()[0]:
                    self._send(name, output)

    def read(self, batch: LaneBatch) -> None:
        lane = f"lane-{batch.partition}"
        for _, news in news_of(batch, DAY):
            self.channels[lane, "resolve"].append(news)
        for bucket, part in split_visits(batch, LANES, LANES):
            self.channels[lane, f"visitors-{bucket}"].append(part)
        for bucket, part in split_by_bucket(batch, LANES, LANES):
            self.channels[lane, f"customers-{bucket}"].append(part)

    def deliver(self, draw: int) -> bool:
        """Let one step take what waits for it in one channel."""
        busy = sorted(channel for channel, waiting in self.channels.items() if waiting)
        if not busy:
            return False
        channel = busy[draw % len(busy)]
        name, item = channel[1], self.channels[channel].popleft()
        for output in self.steps[name].on_batch([item])[0]:
            self._send(name, output)
        if self.saved:
            self.steps[name] = self.make[name](self.steps[name].snapshot())
        return True

    def _send(self, name: str, output: Any) -> None:
        if name == "resolve" and not isinstance(output, Decisions):
            self.channels[name, f"visitors-{output.bucket}"].append(output)
        elif isinstance(output, HandOver):
            self.channels[name, "gather"].append(output)
        elif name == "gather":
            self.channels[name, f"customers-{output.bucket}"].append(output)
        elif isinstance(output, Overlay):
            for bucket, part in outflows.overlays(("", output), HOMES.__getitem__):
                self.channels[name, f"customers-{bucket}"].append(part)
        else:
            self.outputs.append(pickle.loads(pickle.dumps(output)))


def lane_batches(lane: int, events: Sequence[Happening], links: Sequence[Link], fresh: list[bool]) -> list[LaneBatch]:
    """A lane's log in the order of its times, a batch for each event, and the end."""
    mine = [(each.occurred, each) for each in events if HOMES[each.customer] == lane]
    mine += [(at, (at, source, target)) for at, source, target in links if HOMES.get(target, HOMES.get(source)) == lane]
    made = [LaneBatch(lane, *_known([], lane), 0, 0, False)]
    clock = 0
    for number, (at, each) in enumerate(sorted(mine, key=lambda pair: (pair[0], repr(pair[1])))):
        known = [each] if isinstance(each, Happening) and not each.customer.startswith("anonymous") else []
        unknown = [each] if isinstance(each, Happening) and not known else []
        batch = LaneBatch(lane, *_known(known, lane), 0, at, fresh[number % len(fresh)])
        found = no_links() if isinstance(each, Happening) else _links(*each)
        made.append(replace(batch, visits=Visits(*reversed(columns(unknown)), np.full(len(unknown), lane)), links=found,
                            turned=at // DAY > clock // DAY))  # fmt: skip
        clock = at
    return [*made, LaneBatch(lane, *_known([], lane), 0, END, True)]


def _known(events: list[Happening], lane: int) -> tuple[Any, Any, Any]:
    customers, rows = columns(events)
    return rows, customers, np.full(len(rows), lane)


def _links(at: int, source: str, target: str) -> Links:
    return Links(np.array([at]), np.array([at // DAY]), np.array([source], object), np.array([target], object))


def run(
    events: Sequence[Happening], links: Sequence[Link], order: list[int], fresh: list[bool], *, saved: bool = False,
    policy: BucketPolicy = POLICY, then: BucketPolicy | None = None, after: int = 0,
) -> list[Any]:
    """Run a log to its end; ``after`` so many turns everything is restarted with the policy ``then``."""
    engine = Engine(saved, policy)
    logs = [deque(lane_batches(lane, events, links, fresh)) for lane in range(LANES)]
    for turn, draw in enumerate(order + [0] * 2_000):
        if then is not None and turn == after:
            engine.restart(then)
        if draw % 3 < LANES and logs[draw % 3]:
            engine.read(logs[draw % 3].popleft())
        elif not engine.deliver(draw):
            for log in logs:
                if log:
                    engine.read(log.popleft())
    assert not any(logs), "the test gave up too early"
    assert not any(engine.channels.values())
    return engine.outputs


def swept(outputs: list[Any]) -> list[object]:
    """Everything that sweeps record, by bucket; those of nobody only say that a boundary was crossed."""
    blocks = sorted((each for each in outputs if isinstance(each, SweepBlock)), key=lambda each: each.customers.bucket)
    return [
        (block.customers.bucket, block.customers.boundary, block.customers.ids.tolist(),
         block.customers.versions.tolist(), block.customers.features.tobytes(),
         block.counters["orders"][block.rows].tolist())
        for block in blocks if len(block.customers.ids)
    ]  # fmt: skip


def found(outputs: list[Any]) -> dict[tuple[str, str], tuple[int, object]]:
    """What readers find in the end under every id, in stores that keep the newest version."""
    kept: dict[tuple[str, str], tuple[int, object]] = {}

    def keep(kind: str, one: str, version: int, value: object) -> None:
        if version >= kept.get((kind, one), (-1, None))[0]:
            kept[kind, one] = (version, value)

    for block in outputs:
        if isinstance(block, Moved):
            for one, person, version in zip(block.ids, block.persons, block.versions.tolist(), strict=True):
                keep("score", one, version, person)
                keep("profile", one, version, person)
                keep("row", one, version, person)
        elif isinstance(block, CustomerBlock):
            rows = zip(block.ids, block.versions.tolist(), block.features, block.as_of.tolist(), strict=True)
            for one, version, features, as_of in rows:
                keep("score", one, version, (features.tobytes(), as_of))
        elif isinstance(block, ProfileBlock):
            hashes = profile_hashes(block, "EUR", 60)
            for at, one in enumerate(hashes.ids):
                told = {name: column[at] for name, column in hashes.columns.items()}
                keep("profile" if block.published else "row", one, int(hashes.versions[at]), told)
    return kept


def sampled(outputs: list[Any]) -> dict[tuple[int, int], tuple[int, bytes]]:
    """The visitors by whom scores are ranked, by boundary and bucket."""
    samples = [each for each in outputs if isinstance(each, VisitorSample)]
    return {(each.boundary, each.bucket): (each.count, each.features.tobytes()) for each in samples}


def decided(outputs: list[Any]) -> list[Verdict]:
    return [verdict for each in outputs if isinstance(each, Decisions) for verdict in each.verdicts]


_EVENTS = st.lists(
    st.builds(lambda each, who: replace(each, customer=who), happenings(DAYS, "c", max_size=1).map(
        lambda some: some[0] if some else Happening("c", HOUR, codes.PAGE_VIEW)), st.sampled_from(["c", "d", V, W])),
    max_size=16,
)  # fmt: skip
_TIMES = st.integers(0, DAYS * DAY - 1)
_LINKS = st.lists(
    st.one_of(
        st.tuples(_TIMES, st.sampled_from([V, W]), st.sampled_from(["c", "d", MAIL])),
        st.tuples(_TIMES, st.just(MAIL), st.sampled_from(["c", "d"])),
    ),
    max_size=4,
)


@settings(max_examples=25)
@given(_EVENTS, _LINKS, st.lists(st.integers(0, 50), max_size=200), st.lists(st.booleans(), min_size=1, max_size=4))
def test_profiles_and_scores_are_a_function_of_the_log(
    events: list[Happening], links: list[Link], order: list[int], fresh: list[bool]
) -> None:
    log = [replace(event, id=number) for number, event in enumerate(events)]
    expected = run(log, links, [], [False])
    other = run(log, links, order, fresh, saved=True)
    assert decided(other) == decided(expected)
    assert swept(other) == swept(expected)
    assert found(other) == found(expected)
    assert sampled(other) == sampled(expected)


@settings(max_examples=25)
@given(_EVENTS, st.lists(st.tuples(_TIMES, st.sampled_from([V, W])), min_size=2, max_size=3))
def test_a_merged_profile_is_that_of_one_person_who_did_everything(
    events: list[Happening], sign_ins: list[tuple[int, str]]
) -> None:
    """All of c's, and of the visitors who signed in as c: in the sweep at the end, and in what is looked up."""
    log = [replace(event, id=number) for number, event in enumerate(events)]
    names = {visitor for _, visitor in sign_ins}
    outputs = run(log, [(at, visitor, "c") for at, visitor in sign_ins], [], [True])
    mine = [replace(event, customer="c") for event in log if event.customer in {"c", *names}]
    alone = ProfileTable()
    for day in range(DAYS + 2):
        apply_events(alone, *columns([each for each in mine if each.occurred // DAY == day]), (day + 1) * DAY)
        if day <= DAYS:
            fade(alone, DAY)
    stored = {one: row for each in outputs if isinstance(each, ProfileBlock) and each.published
              for one, row in zip(each.ids.tolist(), each.rows, strict=True)}  # fmt: skip
    if not mine:
        assert "c" not in stored
        return
    exact = ("events", "orders", "revenue", "refunded", "items", "web_events", "carts", "tickets", "satisfaction_sum",
             "first_seen", "last_seen", "first_order", "last_order", "first_web", "last_web")  # fmt: skip
    assert {name: stored["c"][name] for name in exact} == {name: alone.used[0][name] for name in exact}
    expected = compute_features(alone.used, (DAYS + 1) * DAY, (DAYS + 2) * DAY)[0][EXACT_FEATURES]
    for block in (each.customers for each in outputs if isinstance(each, SweepBlock)):
        if block.boundary == DAYS + 1 and "c" in block.ids.tolist():
            features = block.features[block.ids.tolist().index("c")][EXACT_FEATURES]
            np.testing.assert_allclose(features, expected, atol=1e-3)  # counters that fade are rounded once a day
    readers = found(outputs)
    assert {readers["score", visitor][1] for visitor in names} == {"c"}


EUR, JPY = number_of("EUR"), number_of("JPY")
_RATES = Rates("USD", {"EUR": ((0, 1.25), (2, 1.1)), "JPY": ((1, 0.0067),)})
_WITHOUT_RATES = replace(POLICY, visitors_forgotten_after=90 * DAY)
_WITH_RATES = replace(_WITHOUT_RATES, rates=_RATES)
_MONEY_EVENTS = _EVENTS.flatmap(lambda events: st.lists(
    st.sampled_from([0, EUR, JPY]), min_size=len(events), max_size=len(events)).map(lambda currencies: [
        replace(event, currency=currency) if event.code <= codes.OTHER_TRANSACTION else event
        for event, currency in zip(events, currencies, strict=True)]))  # fmt: skip


@settings(max_examples=60)
@given(_MONEY_EVENTS, _LINKS, st.lists(st.integers(0, 50), max_size=100), st.lists(st.booleans(), min_size=1),
       st.integers(0, 2_000), st.booleans())  # fmt: skip
def test_money_that_waited_for_its_rate_is_in_the_profiles_once(
    events: list[Happening], links: list[Link], order: list[int], fresh: list[bool], after: int, saved: bool
) -> None:
    """Whenever the rates come, also while a visitor's profile is under way to the customer, and whoever has it then."""
    log = [replace(event, id=number) for number, event in enumerate(events)]
    known = found(run(log, links, order, fresh, policy=_WITH_RATES))
    after %= len(order) + 200
    waited = run(log, links, order, fresh, policy=_WITHOUT_RATES, then=_WITH_RATES, after=after, saved=saved)
    assert _money(found(waited)) == _money(known)


def _money(readers: dict[tuple[str, str], tuple[int, object]]) -> dict[tuple[str, str], object]:
    return {
        (kind, one): (told["orders"], told["revenue"], told["refunded"]) if isinstance(told, dict) else told
        for (kind, one), (_, told) in readers.items() if kind != "score"
    }  # fmt: skip


def test_rates_of_the_day_hold_and_the_first_one_before_it() -> None:
    buys = [Happening("c", day * DAY + HOUR, amount=10_000, currency=EUR, id=day) for day in range(4)]
    spent = _money(found(run(buys, [], [], [True], then=_WITH_RATES, after=1_000)))
    assert spent["profile", "c"] == ("4", f"{1.25 + 1.25 + 1.1 + 1.1:.2f}", "0.00")


def test_money_without_a_rate_waits_on_and_counts_as_an_order_meanwhile() -> None:
    buys = [Happening("c", HOUR, amount=10_000, currency=number_of("GBP"), id=1)]
    assert _money(found(run(buys, [], [], [True], then=_WITH_RATES, after=5)))["profile", "c"] == ("1", "0.00", "0.00")


def test_scores_know_converted_money_at_once() -> None:
    buys = [Happening("c", DAYS * DAY + HOUR, amount=10_000, currency=EUR, id=1), Happening("d", DAYS * DAY, id=2)]
    before = found(run(buys, [], [], [True]))["score", "c"]
    assert before != found(run(buys, [], [], [True], then=_WITH_RATES, after=1_900))["score", "c"]
    assert before[0] <= found(run(buys, [], [], [True], then=_WITH_RATES, after=1_900))["score", "c"][0]


def test_a_visitor_has_scores_and_they_carry_over_at_once() -> None:
    """The visit is scored; when the visitor signs in, the customer's next live score knows of it, within the day."""
    visit = [Happening(V, HOUR, codes.PRODUCT_ADDED, id=1, entered=5)]
    alone = found(run(visit, [], [], [True]))
    assert ("score", V) in alone
    sign_in = (2 * DAY + 3 * HOUR, V, "c")
    events = [*visit, Happening("c", sign_in[0], codes.IDENTITY, id=2, entered=6)]
    events.append(Happening("d", 2 * DAY + 4 * HOUR, id=3))  # so that the other lane is in the same day
    outputs = run(events, [sign_in], [], [True])
    before_the_boundary = [each for each in outputs if isinstance(each, CustomerBlock) and each.boundary == 2]
    versions = [
        int(version) for each in before_the_boundary
        for one, version in zip(each.ids, each.versions, strict=True) if one == "c"
    ]  # fmt: skip
    assert max(versions) == (2 << 32) + 2, "both events count"
    assert found(outputs)["score", V][1] == "c"


def test_who_is_silent_for_long_is_forgotten() -> None:
    outputs = run([Happening(V, HOUR, codes.PAGE_VIEW, id=1)], [(3 * DAY + 2 * HOUR, W, "d")], [], [True])
    scored = [each.boundary for each in outputs if isinstance(each, CustomerBlock) and V in each.ids.tolist()]
    assert scored
    assert max(scored) == 3


def test_a_customer_without_a_row_yet_may_have_an_overlay() -> None:
    """The link of a new customer, whose own events are refused or late, comes before anything is known of c."""
    visit = [Happening(V, HOUR, codes.PAGE_VIEW, id=1), Happening("d", 5 * HOUR, id=2)]
    outputs = run(visit, [(2 * HOUR, V, "c")], [], [True])
    assert found(outputs)["score", V][1] == "c"
    rows = {one for each in outputs if isinstance(each, ProfileBlock) for one in each.ids.tolist()}
    assert "c" in rows, "the visitor's profile is c's at the next boundary"


def test_what_still_comes_under_a_linked_id_does_not_bring_the_visitor_back() -> None:
    sign_in = (HOUR, V, "c")
    times = [day * DAY + hour * HOUR for day in (1, 2) for hour in (2, 3, 4)]
    visits = [Happening(V, at, codes.PAGE_VIEW, id=number) for number, at in enumerate(times)]
    beside = [Happening("d", day * DAY + 5 * HOUR, id=99 + day) for day in range(3)]
    readers = found(run([*visits, *beside], [sign_in], [0, 1] * 100, [True]))
    assert (readers["profile", V][1], readers["score", V][1], readers["row", V][1]) == ("c", "c", "c")


def test_a_hint_that_is_taken_back_leaves_nothing_behind() -> None:
    """W gives c's address; the other lane then says that W signed in as d before that."""
    visit = Happening(W, 2 * DAY + HOUR, codes.PAGE_VIEW, id=1)
    events = [visit, Happening("c", 3 * HOUR, id=2), Happening("d", HOUR, id=3)]
    links = [(2 * HOUR, MAIL, "c"), (2 * DAY + 5 * HOUR, W, MAIL), (2 * DAY + 4 * HOUR, W, "d")]
    for order in ([], [0] * 30 + [1] * 30, [1] * 40, [2, 0, 5, 1] * 30):
        live, replayed = found(run(events, links, order, [True])), found(run(events, links, order, [False]))
        assert live["score", W][1] == "d"
        for kind in ("score", "profile", "row"):
            assert live[kind, "c"][1] == replayed[kind, "c"][1], (kind, order)

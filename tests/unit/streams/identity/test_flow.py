"""Devices, addresses and customers against plain Python: any log, any cuts, any interleaving, any moment of links."""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from support.columns import DAY, HOUR, MINUTE, Happening
from support.identity_oracle import Did, OracleAddresses, OracleDevices, Sent
from support.laws import law
from support.plain_rows import assert_is
from support.restarting import Restarting

from contracts.blocks import (
    EVENT_DTYPE,
    CustomerBatch,
    Departures,
    DeviceBatch,
    Forwarded,
    Link,
    PeopleBlock,
    PeopleEvents,
    ProfileBlock,
    Progress,
    Verdicts,
)
from contracts.currencies import number_of
from contracts.entries import StoredDict
from contracts.identity import home_of, visitor_id
from contracts.model_blocks import VisitorSample  # fmt: skip
from contracts.rates import Rates
from streams import codes
from streams.identity.addresses import Addresses
from streams.identity.devices import Devices
from streams.identity.policy import IdentityPolicy
from streams.profiles.customers import Customers, CustomersPolicy
from streams.profiles.deltas import deltas, fade
from streams.profiles.labelling import Labeller
from streams.profiles.money import convert_events, settle
from streams.profiles.rows import DECAYED, ROW_DTYPE, stamps_of
from streams.profiles.sweeps import SweepPolicy
from streams.profiles.table import ProfileTable

BUCKETS = 2
DAYS = 7
FORGOTTEN = 2 * DAY
E1, E2 = "email:1", "email:2"
HOMES = {"u": 0, "v": 1, "w": 0, "x": 1, "c": 0, "d": 1, E1: 0, E2: 1}
RATES = Rates("EUR", {"USD": ((0, 0.5),)})
LABELLER = Labeller(lambda: StoredDict(int, int), lambda *_: {})
UNITS = 40
"""Units by which decayed columns may differ: each step of fading rounds once."""


def bucket_of(profile_id: str) -> int:
    return HOMES[home_of(profile_id)]


def policy(rates: Rates = RATES) -> IdentityPolicy:
    return IdentityPolicy(DAY, BUCKETS, BUCKETS, bucket_of, 2, 1_000, FORGOTTEN, rates=rates, portion=1)


@dataclass(frozen=True)
class Record:
    """One record of a log: an event, or a link (``identity`` to ``person``). Times in microseconds."""

    received: int
    occurred: int
    customer: str = ""
    device: str = ""
    code: int = codes.PAGE_VIEW
    amount: int = 0
    items: int = 0
    score: int = 0
    currency: int = 0
    id: int = 0
    identity: str = ""
    person: str = ""
    undoes: str = ""
    """The person from whom an unlink takes ``identity``."""
    strays: bool = False
    """Whether it stands in the lane of its customer."""

    @property
    def converted(self) -> int:
        """The amount in the base currency."""
        return self.amount // 2 if self.currency else self.amount

    @property
    def topic(self) -> int:
        return 1 if self.identity else 0

    @property
    def lane(self) -> int:
        if self.identity:
            home = HOMES[home_of(self.identity)] if self.identity[:5] != "email" else HOMES[self.device or self.person]
            return 1 - home if self.strays else home
        return HOMES[self.device or self.customer]

    @property
    def home(self) -> int:
        """The bucket of devices that handles it."""
        return HOMES[home_of(self.identity)] if self.identity.startswith("anonymous") else self.lane


def lane_items(records: Sequence[Record], lane: int, cuts: set[int], fresh: int, order: list[int]) -> Iterator[Any]:
    """The batches of a lane, as lists of (bucket, batch). Its topics are read in any order."""
    topics = [deque(r for r in records if r.lane == lane and r.topic == topic) for topic in (0, 1)]
    clocks: list[int] = [0, 0]
    yield batches(lane, [], clocks, fresh=fresh & 1 == 1)
    part: list[tuple[Record, int]] = []
    for number, draw in enumerate(itertools.cycle(order or [0])):
        if not any(topics):
            break
        topic = draw % 2 if topics[draw % 2] else 1 - draw % 2
        record = topics[topic].popleft()
        clocks[topic] = max(clocks[topic], min(record.occurred, record.received))
        part.append((record, clocks[topic] // DAY))
        if number in cuts:
            yield batches(lane, part, clocks, fresh=(fresh >> (number % 8)) & 1 == 1)
            part = []
    yield batches(lane, part, clocks, fresh=fresh & 2 == 2)
    yield batches(lane, [], [DAYS * DAY + 1] * 2, fresh=True)


def batches(lane: int, part: list[tuple[Record, int]], clocks: list[int], *, fresh: bool) -> list[DeviceBatch]:
    progress = Progress(lane, min(clocks) // DAY, 0, fresh, guarded=False)
    made = []
    for bucket in range(BUCKETS):
        events = [(r, slot) for r, slot in part if not r.identity and r.home == bucket]
        links = [Link(slot, r.occurred, r.received // 1000, r.identity, r.person, r.undoes)
                 for r, slot in part if r.identity and r.home == bucket]  # fmt: skip
        named = [(r.customer or r.person, slot) for r, slot in part]
        known = [(name, slot) for name, slot in named
                 if name in "cduvwx" and name and HOMES[name] == bucket and bucket != lane]  # fmt: skip
        if bucket == lane or events or links or known:
            made.append(DeviceBatch(bucket, progress if bucket == lane else None, people_of(events), tuple(links),
                                    np.array([name for name, _ in known], object),
                                    np.array([slot for _, slot in known], np.int64)))  # fmt: skip
    return made


def people_of(events: list[tuple[Record, int]]) -> PeopleEvents:
    rows = np.zeros(len(events), EVENT_DTYPE)
    for row, (each, slot) in zip(rows, events, strict=True):
        row["id_hash"], row["occurred"], row["entered"], row["amount"] = (
            each.id, each.occurred, each.received // 1000, each.amount)  # fmt: skip
        row["slot"], row["currency"], row["code"] = slot, each.currency, each.code
        row["items"], row["score"] = each.items, each.score
    return PeopleEvents(
        rows,
        np.array([r.customer for r, _ in events], object),
        np.array([r.device for r, _ in events], object),
        np.array([r.home for r, _ in events], np.int64),
        np.array([HOMES[r.customer] if r.customer else -1 for r, _ in events], np.int64),
    )


@dataclass
class Sink:
    """One bucket of customers: adds what comes, slot by slot. Nothing may come for a slot that is over."""

    bucket: int
    slots: dict[int, int] = field(default_factory=dict)
    parts: list[tuple[int, Any]] = field(default_factory=list)
    did: dict[str, list[tuple[int, Did]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, batch: CustomerBatch) -> None:
        assert batch.bucket == self.bucket
        over = min(self.slots.values()) if len(self.slots) == BUCKETS else -1
        parcel = batch.parcel
        for owner, row in zip(parcel.owners, parcel.events, strict=True):
            assert bucket_of(owner) == self.bucket
            assert not owner.startswith(("email:", "anonymous:"))
            assert row["slot"] >= over
            self.parts.append((int(row["slot"]), (owner, row)))
        moved = parcel.moved
        for at in range(0 if moved is None else len(moved)):
            assert moved is not None
            assert bucket_of(moved.owners[at]) == self.bucket
            assert moved.slots[at] >= over
            assert moved.rows["slot"][at] == moved.slots[at]
            entries = moved.unconverted[moved.unconverted["row"] == at]
            self.parts.append((int(moved.slots[at]), (moved.owners[at], moved.rows[at : at + 1], entries)))
        if batch.progress.slot is not None:
            assert batch.progress.slot >= self.slots.get(batch.progress.source, -1)
            self.slots[batch.progress.source] = batch.progress.slot

    def events(self, name: str, slot: int) -> int:
        """Count a customer's events up to a slot: each of its own once, and all of the rows that moved to it."""
        parts = [part for at, part in self.parts if at <= slot and part[0] == name]
        own = {int(part[1]["id_hash"]) for part in parts if len(part) == 2}
        return len(own) + sum(int(part[1]["events"][0]) for part in parts if len(part) == 3)

    def changed(self, before: int, slot: int) -> set[str]:
        """Return the customers who change up to a slot by the parts from ``before`` on. A copy changes nobody."""
        known = {int(part[1]["id_hash"]) for _, part in self.parts[:before] if len(part) == 2}
        return {
            part[0] for at, part in self.parts[before:]
            if at <= slot and (part[1]["events"][0] if len(part) == 3 else int(part[1]["id_hash"]) not in known)
        }  # fmt: skip

    def moved(self, name: str) -> bool:
        """Whether a row has moved to a customer."""
        return any(part[0] == name and len(part) == 3 for _, part in self.parts)

    def table(self, boundary: int) -> ProfileTable:
        table = ProfileTable()
        for slot in range(boundary):
            for _, part in (each for each in self.parts if each[0] == slot):
                at = table.locate([part[0]])
                if len(part) == 2:
                    where, rows, entries = deltas(at, convert_events(np.array([part[1]], EVENT_DTYPE), RATES), DAY)
                    table.add(where, rows, DAY)
                else:
                    table.add(at, part[1], DAY)
                    entries = part[2].copy()
                    entries["row"] = at[0]
                settle(table.rows, entries, RATES, DAY)
        return table


@dataclass
class World:
    """All machines with their oracles, and channels of any delay between them."""

    policy: IdentityPolicy
    saves: bool
    devices: list[Restarting[Devices]] = field(default_factory=list)
    addresses: list[Restarting[Addresses]] = field(default_factory=list)
    turn: int = 0
    channels: dict[tuple[str, int, int], deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    verdicts: list[tuple[str, str, str]] = field(default_factory=list)
    redis: dict[str, Any] = field(default_factory=dict)
    stored: dict[str, tuple[int, Any]] = field(default_factory=dict)
    moved_live: int = 0
    """How many live scores were of customers who had got a visitor's history."""

    def __post_init__(self) -> None:
        self.customers = [Restarting(self.new_customers) for _ in range(BUCKETS)]
        self.sweeps: dict[tuple[int, str], bytes] = {}
        self.devices = [Restarting(lambda: Devices(self.policy)) for _ in range(BUCKETS)]
        self.addresses = [Restarting(lambda: Addresses(self.policy)) for _ in range(BUCKETS)]
        merges, silence = self.policy.most_merges, self.policy.visitors_forgotten_after
        self.device_oracles = [OracleDevices(merges, silence) for _ in range(BUCKETS)]
        self.address_oracles = [OracleAddresses(silence, BUCKETS) for _ in range(BUCKETS)]
        self.sinks = [Sink(bucket) for bucket in range(BUCKETS)]

    def new_customers(self) -> Customers:
        sweeps = SweepPolicy(DAY, 90 * DAY, 2, DAY, slice=2)
        return Customers(CustomersPolicy(sweeps, BUCKETS, 1_000, self.policy.rates), LABELLER)

    def restart(self, new: IdentityPolicy) -> None:
        self.policy = new
        for bucket in self.customers:
            bucket.restart()
            self.note_sweeps(bucket.machine.resumed())
        for each in (*self.devices, *self.addresses):
            each.restart()
            self.note(each.machine.resumed())

    def send(self, items: list[DeviceBatch], lane: int) -> None:
        for item in items:
            self.channels["devices", lane, item.bucket].append(item)

    def deliver(self, draw: int) -> bool:
        """Let one machine take what waits for it, from some of the channels."""
        self.turn = draw
        if draw % 2:
            self.work()
        busy = sorted({(kind, to) for (kind, _, to), waiting in self.channels.items() if waiting})
        if not busy:
            return False
        kind, to = busy[draw % len(busy)]
        items = []
        for channel, waiting in sorted(self.channels.items()):
            if (channel[0], channel[2]) == (kind, to):
                items += [waiting.popleft() for _ in range(len(waiting) if draw % 3 else min(1, len(waiting)))]
        getattr(self, f"run_{kind}")(to, items)
        return True

    def run_devices(self, bucket: int, items: list[DeviceBatch]) -> None:
        outputs = self.devices[bucket].machine.take(items)
        sent = self.device_oracles[bucket].take(items, bucket_of)
        self.note(outputs)
        for forwarded in (out for out in outputs if isinstance(out, Forwarded)):
            parts = sent.pop(forwarded.bucket, (Sent(), Sent()))
            self.channels["addresses", bucket, forwarded.bucket].append((forwarded, parts))
        assert not sent, "everything that the oracle sends is sent"
        if self.saves:
            self.devices[bucket].step(self.turn)

    def run_addresses(self, bucket: int, items: list[tuple[Forwarded, tuple[Sent, Sent]]]) -> None:
        outputs = self.addresses[bucket].machine.take([item for item, _ in items])
        self.note(outputs)
        for owner, slot, did in self.address_oracles[bucket].take(*map(list, zip(*items, strict=True))):
            self.sinks[bucket_of(owner)].did[owner].append((slot, did))
        for batch in (out for out in outputs if isinstance(out, CustomerBatch)):
            self.channels["sinks", bucket, batch.bucket].append(batch)
        if self.saves:
            self.addresses[bucket].step(self.turn)

    def run_sinks(self, bucket: int, items: list[CustomerBatch]) -> None:
        sink, before = self.sinks[bucket], len(self.sinks[bucket].parts)
        for item in items:
            sink.take(item)
        slot = self.customers[bucket].machine.state.at.slot
        outputs = self.customers[bucket].machine.take(items)
        self.note_sweeps(outputs)
        self.check_live(bucket, outputs, before, slot)
        if self.saves:
            self.customers[bucket].step(self.turn)

    def check_live(self, bucket: int, outputs: Sequence[Any], before: int, slot: int | None) -> None:
        """Near the end of the log each customer who got an event or a row is scored at once, with all parts so far.

        So a visitor's history, which comes as a row, counts in the customer's very next live score. ``before`` is the
        number of parts before this activation, ``slot`` the bucket's slot then: at a boundary customers are swept.
        """
        sink, at = self.sinks[bucket], self.customers[bucket].machine.state.at
        live = {
            name: int(row["events"])
            for out in outputs if isinstance(out, PeopleBlock) and out.kind == "live" and out.rows is not None
            for name, row in zip(out.ids.tolist(), out.rows, strict=True)
        }  # fmt: skip
        for name, events in live.items():
            assert events == sink.events(name, at.current)
            self.moved_live += sink.moved(name)
        if at.fresh and at.slot == slot:
            assert sink.changed(before, at.current) <= live.keys()

    def work(self) -> bool:
        """Let every machine do a slice of its work; return whether any had some."""
        machines = [each.machine for each in (*self.devices, *self.addresses, *self.customers)]
        working = [each for each in machines if each.has_work()]
        for each in working:
            outputs = each.work()
            self.note_sweeps(outputs) if isinstance(each, Customers) else self.note(outputs)
        return bool(working)

    def note_sweeps(self, outputs: Sequence[Any]) -> None:
        for out in outputs:
            if isinstance(out, PeopleBlock) and out.kind == "sweep":
                names = zip(out.boundaries.tolist(), out.ids.tolist(), out.features, strict=True)
                self.sweeps |= {(boundary, name): features.tobytes() for boundary, name, features in names}

    def note(self, outputs: Sequence[Any]) -> None:
        for out in outputs:
            match out:
                case Verdicts():
                    self.verdicts += [each[:3] for each in out.verdicts]
                case PeopleBlock():
                    self.see(out)
                case ProfileBlock():
                    for name, row, version in zip(out.ids, out.rows, out.versions.tolist(), strict=True):
                        self.store(name, version, row)
                case Departures():
                    self.leave(out)
                case VisitorSample():
                    assert out.count >= len(out.features)

    def see(self, block: PeopleBlock) -> None:
        assert block.rows is not None
        assert np.isfinite(block.features).all()
        assert (block.rows["events"] > 0).all()
        for name, row, version in zip(block.ids, block.rows, block.versions.tolist(), strict=True):
            assert version >= self.redis.get(name, (-1,))[0]
            self.redis[name] = (version, row)
            if block.kind == "live":
                self.store(name, version, row)

    def leave(self, block: Departures) -> None:
        for name, version, person in zip(block.ids, block.versions.tolist(), block.persons, strict=True):
            assert version > self.redis.pop(name, (-1,))[0], name
            if not block.forgotten:
                self.store(name, version, person or None)

    def store(self, name: str, version: int, row: Any) -> None:
        if version >= self.stored.get(name, (-1,))[0]:
            self.stored[name] = (version, row)


def run(records: list[Record], draws: list[int], cuts: set[int], fresh: int, *, saves: bool = False,
        rates: Rates = RATES, then: Callable[[World, int], None] = lambda *_: None,
        settings_: IdentityPolicy | None = None, turns: int = 0) -> World:  # fmt: skip
    world = World(settings_ or policy(rates), saves)
    lanes = [lane_items(records, lane, cuts, fresh, draws[lane:]) for lane in range(BUCKETS)]
    idle = 0
    for turn, draw in enumerate(itertools.chain(draws, itertools.cycle([0, 1, 2, 3]))):
        then(world, turn)
        lane = draw % (BUCKETS + 2)
        batch = next(lanes[lane], None) if lane < BUCKETS else None
        if batch is not None:
            world.send(batch, lane)
        idle = 0 if world.deliver(draw) or batch is not None else idle + 1
        if idle > 8 and turn > max(turns, len(draws)):
            while world.work():
                pass
            return world
    raise AssertionError


def columns_of(dids: Sequence[tuple[int, Did]], of: dict[int, Record], *, own_slots: bool = False) -> Any:
    """The columns of somebody who did all this under one id; also the newest slot."""
    events = np.zeros(len(dids), EVENT_DTYPE)
    for row, (slot, did) in zip(events, dids, strict=True):
        record = of[did.id]
        row["occurred"], row["code"], row["session"] = did.counted, did.code, did.session
        row["slot"] = did.slot if own_slots else slot
        row["amount"], row["items"], row["score"] = record.converted, record.items, record.score
    _, rows, _ = deltas(np.zeros(len(dids), np.int64), events, DAY)
    table = ProfileTable()
    table.add(table.locate(["x"] * len(rows)), rows, DAY)
    return table.rows[:1]


def ids_of(table: ProfileTable) -> list[str]:
    ids: list[str] = table.names.take(np.arange(len(table.names))).tolist()
    return ids


def same(row: Any, expected: Any) -> None:
    """Compare two rows: decayed columns up to some units, as of the later slot, all others exactly."""
    pair = np.concatenate((np.atleast_1d(row), np.atleast_1d(expected))).astype(ROW_DTYPE)
    fade(pair, int(pair["slot"].max()), DAY)
    for name in ROW_DTYPE.names or ():
        if name in DECAYED:
            assert abs(int(pair[name][0]) - int(pair[name][1])) <= UNITS, name
        elif name != "slot":
            assert (pair[name][0] == pair[name][1]).all(), (name, pair[name])


def check_customers(world: World, records: list[Record]) -> None:
    """Each customer's row is what plain Python makes of the events of all its ids, as if all had had one id."""
    of = {record.id: record for record in records}
    for sink, bucket in zip(world.sinks, world.customers, strict=True):
        table = bucket.machine.state.table
        assert not len(table.unconverted)
        found = {name: row for name, row in zip(ids_of(table), table.rows, strict=True) if row["events"]}
        assert found.keys() == sink.did.keys()
        for name, row in found.items():
            once: dict[int, Happening] = {}
            for _, did in sorted(sink.did[name], key=lambda each: each[0]):
                record = of[did.id]
                once.setdefault(did.id, Happening(
                    name, did.counted, did.code, record.converted, record.items, record.score, session=did.session
                ))  # fmt: skip
            now = np.array([row], ROW_DTYPE)
            fade(now, DAYS + 1, DAY)
            assert_is(now, list(once.values()), DAYS + 1)


def check(world: World, records: list[Record]) -> None:
    check_customers(world, records)
    of = {record.id: record for record in records}
    oracles = [*world.device_oracles, *world.address_oracles]
    expected: dict[str, list[Any]] = defaultdict(list)
    found: dict[str, list[Any]] = defaultdict(list)
    for oracle in oracles:
        for verdict in oracle.core.verdicts:
            expected[verdict[0]].append(verdict)
    for verdict in world.verdicts:
        found[verdict[0]].append(verdict)
    assert found == expected
    for sink in world.sinks:
        for boundary in range(1, DAYS + 2):
            table = sink.table(boundary)
            assert set(ids_of(table)) == {name for name, dids in sink.did.items() if any(s < boundary for s, _ in dids)}
            for name, row in zip(ids_of(table), table.rows, strict=True):
                dids = [each for each in sink.did[name] if each[0] < boundary]
                same(row, columns_of(dids, of))
                same(row, columns_of(dids, of, own_slots=True))
    visitors = {}
    for machine, oracle in zip([*world.devices, *world.addresses], oracles, strict=True):
        kept = machine.machine._state
        owned, names = kept.owned, ids_of(kept.owned.table)
        assert {name: owned.owner(at) for at, name in enumerate(names) if name and owned.owner(at)} == oracle.core.owner
        mine = {name: row for name, row in zip(names, owned.table.rows, strict=True) if row["events"]}
        assert mine.keys() == {name for name, dids in oracle.core.history.items() if dids}
        assert len(mine) == owned.visitors
        for name, row in mine.items():
            same(row, columns_of([(did.slot, did) for did in oracle.core.history[name]], of, own_slots=True))
        visitors |= mine
    assert {name: row for name, (_, row) in world.redis.items()} == visitors
    for name, row in visitors.items():
        assert world.stored[name][1] == row


def one_record(what: str, who: str, other: str, number: int, common: dict[str, Any]) -> Record:
    """A record of a kind; ``number`` is the code of an event, and chooses one of several otherwise."""
    mail, visitor = (E1 if other == "c" else E2), visitor_id(who)
    usd = number_of("USD") if number % 2 else 0
    order = codes.REFUND if number in (codes.PRODUCT_ADDED, codes.IDENTITY) else codes.ORDER
    makers: dict[str, dict[str, Any]] = {
        "visit": {"device": who, "code": number, "score": number * 1_000},
        "buys": {"device": who, "code": order, "amount": 20_000 * number, "items": number % 5, "currency": usd,
                 "score": 1 + "uvwx".index(who) if order == codes.ORDER else 0},  # each device reports one order
        "known": {"device": who, "customer": other},
        "direct": {"customer": other, "code": number},
        "own": {"customer": who},
        "link": {"identity": visitor, "person": other, "strays": number == codes.TICKET_OPENED},
        "equal": {"identity": visitor, "person": who},
        "typed": {"identity": visitor, "person": mail},
        "claim": {"identity": E1 if number % 2 else E2, "device": who, "person": other},
        "undo": {"identity": [visitor, E1, E2][number % 3], "device": who, "undoes": mail if number == 12 else other,
                 "occurred": common["received"]},
    }
    return Record(**common | makers[what])


def make(drawn: list[tuple[Any, ...]]) -> list[Record]:
    """Records in the order of a log, with times that are mostly in order."""
    made: list[Record] = []
    for number, (at, lag, what, who, other, some) in enumerate(sorted(drawn, key=lambda each: each[0])):
        received, occurred = at * 20 * MINUTE, max(0, at * 20 * MINUTE - lag)
        common = {"received": received, "occurred": occurred, "id": number + 1}
        if what == "twice":
            made += [each for each in made[-1:] if not each.identity]
        else:
            made.append(one_record(what, who, other, some, common))
    return made


_KINDS = ["visit"] * 5 + ["known"] * 2 + ["link"] * 3 + ["undo"] * 2 + ["typed", "claim"] * 2 + [
    "buys", "buys", "direct", "own", "equal", "twice"]  # fmt: skip


def log_of(days: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Records of some days."""
    return st.lists(st.tuples(
        st.integers(0, days * 72 - 1),
        st.sampled_from([0, 0, 0, 40 * MINUTE, 5 * HOUR, 3 * DAY, -DAY]),
        st.sampled_from(_KINDS),
        st.sampled_from("uvwx"),
        st.sampled_from("cd"),
        st.sampled_from([codes.PAGE_VIEW, codes.PRODUCT_VIEW, codes.TICKET_OPENED, codes.IDENTITY, codes.PRODUCT_ADDED,
                         codes.SATISFACTION]),
    ), min_size=12, max_size=40)  # fmt: skip


_LOG = log_of(DAYS)
_DRAWS = st.lists(st.integers(0, 11), min_size=2, max_size=60)
_CUTS = st.sets(st.integers(0, 40))


_AHEAD = [(216, -DAY, "visit", "u", "c", codes.PAGE_VIEW), (432, 0, "visit", "u", "c", codes.SATISFACTION)]
"""A device whose clock is ahead: its event counts in time to be forgotten, though its own time is later."""


@law(100)
@given(_LOG, _DRAWS, _CUTS, st.integers(0, 255), st.booleans())
@example(_AHEAD, [8, 11], set(), 17, False)
def test_any_log_comes_to_what_plain_python_makes_of_it(
    drawn: Any, draws: list[int], cuts: set[int], fresh: int, saves: bool
) -> None:
    records = make(drawn)
    check(run(records, draws, cuts, fresh, saves=saves), records)


@law(100)
@given(log_of(1), _DRAWS, _CUTS, st.booleans())
@example([(1, 0, "visit", "u", "c", codes.PAGE_VIEW), (2, 0, "visit", "u", "c", codes.PAGE_VIEW),
          (3, 0, "link", "u", "c", codes.PAGE_VIEW)], [0, 1], {0, 1, 2}, False)  # fmt: skip
def test_live_scores_of_a_day_know_all_that_came(
    drawn: Any, draws: list[int], cuts: set[int], saves: bool
) -> None:
    """Every batch stands near the end of the log."""
    records = make(drawn)
    world = run(records, draws, cuts, 255, saves=saves)
    check(world, records)
    if len(drawn) == 3:
        assert world.moved_live == 1, "the visitor's history counts in the very next live score"


@law(100)
@given(_LOG, _DRAWS, _CUTS, st.integers(0, 255), st.integers(0, 60))
def test_money_that_waits_moves_with_its_row_and_is_converted_once(
    drawn: Any, draws: list[int], cuts: set[int], fresh: int, when: int
) -> None:
    """The first run has no rate for one of the currencies; a later one has."""
    records = make(drawn)

    def restart(world: World, turn: int) -> None:
        if turn == when:
            world.restart(policy(RATES))

    check(run(records, draws, cuts, fresh, rates=Rates("EUR"), then=restart, turns=when), records)


def counted(records: Sequence[Record]) -> Iterator[int]:
    """When each event counts: at the end of the slot of its partition's clock at the latest."""
    clocks: dict[tuple[int, int], int] = {}
    for each in records:
        place = each.lane, each.topic
        clocks[place] = max(clocks.get(place, 0), min(each.occurred, each.received))
        if not each.identity:
            yield min(each.occurred, (clocks[place] // DAY + 1) * DAY - 1)


@law(100)
@given(_LOG, _DRAWS, _CUTS, st.integers(0, 255), st.booleans())
def test_many_devices_linked_at_any_moment_are_like_one_customer(
    drawn: Any, draws: list[int], cuts: set[int], fresh: int, typed: bool
) -> None:
    """All devices belong to one customer in the end, some by way of an address that is claimed in the end."""
    visits = [each for each in drawn if each[2] in ("visit", "buys")]
    records = [replace(each, score=0) if each.code == codes.ORDER else each for each in make(visits)]
    moments = [each for each in drawn if each[2] not in ("visit", "buys")]
    for number, device in enumerate("uvwx"):
        at = (moments[number][0] if number < len(moments) else DAYS * 72 - 1) * 20 * MINUTE
        person = E1 if typed and number else "c"
        records.append(Record(at, at, identity=visitor_id(device), person=person))
    records.append(Record(DAYS * DAY - 1, DAYS * DAY - 1, identity=E1, device="c", person="c"))
    records.sort(key=lambda record: record.received)
    wide = replace(policy(), most_merges=9, visitors_forgotten_after=90 * DAY)
    worlds = [run(records, draws, cuts, fresh, settings_=wide), run(records, [0, 1], set(), 0, settings_=wide)]
    tables = [world.sinks[0].table(DAYS + 2) for world in worlds]
    total = {record.id: record for record in records if not record.identity}
    assert all(len(world.redis) == 0 for world in worlds)
    if not total:
        return
    for world, table in zip(worlds, tables, strict=True):
        assert ids_of(table) == ["c"]
        assert {did.id for _, did in world.sinks[0].did["c"]} == total.keys()
        check_customers(world, records)
        assert table.rows["events"][0] == len(total)
        assert table.rows["last_seen"][0] == stamps_of(np.array([max(counted(records))]))[0]
    for name in ROW_DTYPE.names or ():
        one, other = tables[0].rows[name][0], tables[1].rows[name][0]
        assert abs(one - other) <= UNITS if name in DECAYED else np.array_equal(one, other) or name == "slot", name


_MANY = 1_000
_ONE_LANE_DECIDES = {"visit", "buys", "twice", "link", "undo", "typed", "claim", "equal"}


@law(100)
@given(_LOG, _DRAWS, _CUTS, st.booleans(), st.sampled_from([6, 12, _MANY]))
def test_cuts_interleavings_and_restarts_change_nothing_to_the_last_bit(
    drawn: Any, draws: list[int], cuts: set[int], saves: bool, known_ids: int
) -> None:
    """Of a log in which no two lanes contradict each other; also when the window of known ids is small.

    Within a day there are no more ids of events and orders than half a window: of more, which ones count may depend on
    the order in which they come (:meth:`streams.profiles.known_ids.KnownIds.admit`).
    """
    some = [(at, lag, what, who, "c" if code % 2 else "d", code + code % 2 if what == "undo" else code)
            for at, lag, what, who, _, code in drawn if what in _ONE_LANE_DECIDES]  # fmt: skip
    records = [r for r in make(some) if not r.strays and (r.person or not r.identity.startswith("email"))]
    days = [r.received // DAY for r in records for _ in range(2 if r.code == codes.ORDER else 1)]
    fullest = max(Counter(days).values(), default=0)
    known = replace(policy(), known_ids=known_ids if 2 * fullest <= known_ids else _MANY)
    worlds = [run(records, draws, cuts, 0, saves=saves, settings_=known),
              run(records, [0, 1, 0, 1], set(range(0, 60, 9)), 0, settings_=known)]  # fmt: skip
    for boundary in range(1, DAYS + 2):
        for pair in zip(*(world.sinks for world in worlds), strict=True):
            one, other = (sink.table(boundary) for sink in pair)
            assert rows_of(one) == rows_of(other)
    for machines in zip(*([*world.devices, *world.addresses] for world in worlds), strict=True):
        one, other = (each.machine._state.owned.table for each in machines)
        assert rows_of(one) == rows_of(other)
    by_identity = [sorted(world.verdicts, key=lambda verdict: verdict[0]) for world in worlds]
    assert by_identity[0] == by_identity[1]
    assert worlds[0].sweeps == worlds[1].sweeps
    assert worlds[0].redis.keys() == worlds[1].redis.keys()
    assert {name: repr(kept) for name, kept in worlds[0].stored.items()} == {
        name: repr(kept) for name, kept in worlds[1].stored.items()}  # fmt: skip


def rows_of(table: ProfileTable) -> dict[str, bytes]:
    return {name: row.tobytes() for name, row in zip(ids_of(table), table.rows, strict=True) if row["events"]}

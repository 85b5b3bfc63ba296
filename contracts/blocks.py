"""The blocks of columns that pass between the steps of the dataflow.

A block is a few numpy arrays of equal length (ids of a sweep: an Arrow column), never one object per event or customer.
Blocks are immutable by convention: a step copies what it changes. Steps on other processes receive them pickled.

Time is cut into *slots* of one sweep interval: slot ``k`` is ``[k * interval, (k + 1) * interval)`` since the Unix
epoch, and *boundary* ``k`` is its start. A sweep of boundary ``k`` knows the events of all slots before ``k``.

A *profile id* names a profile: the customer id itself, ``anonymous:<id>`` for a device, ``email:<hash>`` for an address
(:mod:`contracts.identity`). A *bucket* is the unit of state: ``bucket_of(profile id)`` is the same in every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.ids import Ids, Texts, chosen_ids
from contracts.outputs import DeadLetter, FewRows, TableRows

EVENT_DTYPE: Final = np.dtype([
    ("id_hash", "u8"),  # 64-bit hash of kind, owner and event id
    ("occurred", "i8"),  # microseconds since the Unix epoch
    ("entered", "i8"),  # when the record entered Kafka, milliseconds since the Unix epoch
    ("amount", "i8"),  # money in 1/10,000 of the base currency, or of the currency in which it waits
    ("slot", "i4"),  # the slot in which the event counts: its own, or a later one when it came late
    ("items", "i4"),
    ("score", "i4"),  # satisfaction in 1/10,000; of an order the number that is the same in all reports of it, else 0
    ("currency", "i2"),  # the number of the currency whose rate is missing (contracts.currencies), else 0
    ("code", "i1"),  # what happened: streams.codes
    ("late", "?"),
    ("session", "?"),  # this web event starts a session; set by the devices step
])  # fmt: skip
"""The part of an event that profiles use: 49 bytes."""

UNCONVERTED_DTYPE: Final = np.dtype([
    ("row", "i4"),  # the position of the profile among those that the entry comes with
    ("currency", "i2"),  # its number: contracts.currencies
    ("refund", "?"),
    ("occurred", "i8"),  # microseconds since the Unix epoch
    ("amount", "i8"),  # in 1/10,000 of the currency
])  # fmt: skip
"""One amount of money that waits for an exchange rate: 23 bytes."""

EventArray = NDArray[np.void]
"""Rows of :data:`EVENT_DTYPE`."""
RowArray = NDArray[np.void]
"""Profile rows: :data:`streams.profiles.rows.ROW_DTYPE`."""
Entries = NDArray[np.void]
"""Rows of :data:`UNCONVERTED_DTYPE`."""


@cache
def no_events() -> EventArray:
    """Return an empty array of events, always the same one."""
    return np.empty(0, EVENT_DTYPE)


@cache
def no_texts() -> Texts:
    """Return an empty array of texts, always the same one."""
    return np.empty(0, object)


@cache
def no_entries() -> Entries:
    """Return an empty array of waiting amounts, always the same one."""
    return np.empty(0, UNCONVERTED_DTYPE)


class Progress(NamedTuple):
    """How far one sender is. ``source`` is the sender: a lane's partition, or the bucket of the step before.

    ``slot`` is the slot of its event clock, ``start`` its first slot; both are None until the clock is known. ``fresh``
    is true near the end of the log: scores then follow events at once. ``guarded`` is true while the sender reads a
    part of the log again that an earlier run may have published: Redis then keeps the newer of two versions.
    """

    source: int
    slot: int | None
    start: int | None
    fresh: bool
    guarded: bool


class Link(NamedTuple):
    """One statement about identity, in the order of its log. ``occurred`` in microseconds, ``entered`` in milliseconds.

    ``identity`` is a device's or an address's profile id. ``person`` is a customer id, or, for a device whose visitor
    typed an address, that address's profile id, or :data:`NOBODY` to undo the link to ``undoes``.
    """

    slot: int
    occurred: int
    entered: int
    identity: str
    person: str
    undoes: str = ""


VERSION_SHIFT: Final = 32  # a version is slot << 32 | events of the person: it grows with every event and sweep
NOBODY: Final = ""
"""The person of a link that undoes an earlier one."""


@dataclass(frozen=True)
class PeopleEvents:
    """Events as columns of equal length, in the order of their log.

    ``customers`` are customer ids and ``devices`` anonymous ids, '' where the event has none; each event has one at
    least. An event that is not tied to its device (an order of a known customer) has no device here. ``home`` is the
    bucket of the devices step that handles the event: its device's bucket, else its customer's. ``customer_buckets`` is
    the customer's bucket, -1 without a customer.
    """

    events: EventArray = field(default_factory=no_events)
    customers: Texts = field(default_factory=no_texts)
    devices: Texts = field(default_factory=no_texts)
    home: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    customer_buckets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.events)


@dataclass(frozen=True)
class LaneBatch:
    """One read of one lane: partition ``progress.source`` of every input topic.

    ``turned`` is true if the slot, ``fresh`` or ``guarded`` changed since the batch before: all buckets of the lane
    then get a part, even an empty one. ``known_customers`` are customer ids of device events that
    the reader has not reported lately, with ``known_buckets`` and ``known_slots``: from that slot on the devices step
    never links such an id as another customer's device.
    """

    progress: Progress
    people: PeopleEvents = field(default_factory=PeopleEvents)
    links: tuple[Link, ...] = ()
    link_buckets: tuple[int, ...] = ()
    """For each link the bucket of the devices step that handles it: a device's own, else the record's home."""
    known_customers: Texts = field(default_factory=no_texts)
    known_buckets: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    known_slots: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    facts: tuple[TableRows | FewRows, ...] = ()
    clocks: tuple[TableRows, ...] = ()
    """Rows of the records that began a slot in a topic."""
    dead: tuple[DeadLetter, ...] = ()
    turned: bool = True


@dataclass(frozen=True)
class DeviceBatch:
    """The part of a lane's batch for one bucket of the devices step.

    ``progress`` is None if the batch comes from another lane than the bucket's own: such a batch moves no clock.
    """

    bucket: int
    progress: Progress | None
    people: PeopleEvents = field(default_factory=PeopleEvents)
    links: tuple[Link, ...] = ()
    known_customers: Texts = field(default_factory=no_texts)
    known_slots: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True)
class MovedRows:
    """Profile rows that move to a new owner: the history of ``sources[i]`` is added to ``owners[i]`` in ``slots[i]``.

    ``slots`` is the slot of the link. ``entered`` (milliseconds) is when the link entered Kafka.
    """

    slots: NDArray[np.int64]
    sources: Texts
    owners: Texts
    rows: RowArray
    entered: NDArray[np.int64]
    unconverted: Entries = field(default_factory=no_entries)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Parcel:
    """Events and rows for profiles of one bucket; ``owners[i]`` is the profile id for which ``events[i]`` counts."""

    events: EventArray = field(default_factory=no_events)
    owners: Texts = field(default_factory=no_texts)
    moved: MovedRows | None = None

    def __len__(self) -> int:
        return len(self.events) + (0 if self.moved is None else len(self.moved))


@dataclass(frozen=True)
class Forwarded:
    """From a devices bucket to an addresses bucket; ``customers`` is for the customers bucket of the same number."""

    bucket: int
    progress: Progress
    customers: Parcel = field(default_factory=Parcel)
    addresses: Parcel = field(default_factory=Parcel)
    claims: tuple[Link, ...] = ()
    """Links of addresses to customers."""


@dataclass(frozen=True)
class CustomerBatch:
    """From one bucket of addresses to one bucket of customers."""

    bucket: int
    progress: Progress
    parcel: Parcel = field(default_factory=Parcel)


@dataclass(frozen=True)
class PeopleBlock:
    """People of one bucket with their features at given moments: the input of scoring.

    There are three kinds. A *sweep* is as of boundaries (``boundaries`` ascends, one entry per row) and is recorded in
    ClickHouse. *Live* people were changed by new events and are as of ``as_of``. *Restated* people are as of now,
    because Redis may be behind after a catch-up; they go to Redis only.

    ``versions`` is ``slot << 32 | events``. ``positions`` are the people's rows in their table; another visitor may get
    the position of a forgotten one. ``features`` has shape (n, len(FEATURES)), float32. ``entered[i]`` is the time in
    milliseconds at which the oldest record behind row i entered Kafka, 0 without one. ``leaving`` marks customers who
    are dormant at the next sweep. ``publish`` says whether the block goes to Redis: sweeps of a catch-up do not, except
    a block of the customers who leave, and neither do live visitors who departed before they were scored. ``rows`` are
    the profile rows of live and restated people, and of those who leave during a catch-up. ``keys`` are the xxh3_64 of
    the ids of live and restated people. ``table`` names the table: devices and addresses hold visitors, who are ranked
    apart. The ids of a sweep are an Arrow column. A sweep that waited for its models over a restart has them as texts.
    """

    bucket: int
    kind: Literal["sweep", "live", "restated"]
    table: Literal["customers", "devices", "addresses"]
    ids: Ids
    versions: NDArray[np.int64]
    as_of: NDArray[np.int64]
    boundaries: NDArray[np.int32]
    features: NDArray[np.float32]
    buyers: NDArray[np.bool_]
    lifecycle: NDArray[np.int8]
    segment: NDArray[np.int8]
    leaving: NDArray[np.bool_]
    positions: NDArray[np.int32]
    entered: NDArray[np.int64]
    publish: bool
    guarded: bool
    rows: RowArray | None = None
    keys: NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def pick(self, chosen: NDArray[np.bool_]) -> "PeopleBlock":
        """Return a block of the chosen people."""
        columns = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "ids"}
        picked: dict[str, Any] = {name: each[chosen] for name, each in columns.items() if isinstance(each, np.ndarray)}
        return replace(self, ids=chosen_ids(self.ids, chosen), **picked)

    @property
    def visitors(self) -> bool:
        """Whether these people are visitors."""
        return self.table != "customers"


@dataclass(frozen=True)
class ProfileBlock:
    """Copies of profile rows that changed, for the table ``customers``.

    ``versions`` is ``row slot << 32 | events``. Live people come in their :class:`PeopleBlock` as well: they are
    written once, from there.
    """

    bucket: int
    ids: Texts
    versions: NDArray[np.int64]
    rows: RowArray


@dataclass(frozen=True)
class Departures:
    """Visitors' profiles that end: ``ids[i]`` was merged into ``persons[i]``, or is removed if that is ''.

    ``versions`` are higher than all earlier versions of the profiles. Removed ids are ``forgotten``, else unlinked.
    """

    bucket: int
    ids: Texts
    persons: Texts
    versions: NDArray[np.int64]
    guarded: bool
    forgotten: bool = False


@dataclass(frozen=True)
class Pointers:
    """Identified visitors seen lately: their hashes, which hold only their owner, live on."""

    bucket: int
    ids: Texts
    versions: NDArray[np.int64]


class Verdict(NamedTuple):
    """One decision about a link, for the record. ``outcome`` is ``linked``, ``unlinked`` or why it was refused.

    ``occurred`` is the time of the link's event; of an unlink, up to when links are undone.
    """

    identity: str
    person: str
    outcome: str
    occurred: int  # microseconds since the Unix epoch


@dataclass(frozen=True)
class Verdicts:
    """Decisions of one bucket, in their order."""

    bucket: int
    verdicts: Sequence[Verdict]

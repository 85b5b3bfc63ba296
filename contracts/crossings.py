"""The blocks by which people cross from one profile to another: who is linked to whom, and what moves with them.

Visitors and customers are kept by different buckets of different lanes, so these blocks carry boundaries: what is
decided or handed over at boundary ``k`` is what the log held before it, whatever the order of arrival.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNCONVERTED_DTYPE: Final = np.dtype([
    ("row", "i4"),  # the position of the profile among those that the entry comes with
    ("currency", "i2"),  # its number: contracts.currencies
    ("refund", "?"),
    ("occurred", "i8"),  # microseconds since the Unix epoch
    ("amount", "i8"),  # in 1/10,000 of the currency
])  # fmt: skip
"""One amount of money that waits for an exchange rate: 23 bytes."""

Entries = NDArray[np.void]
"""Rows of :data:`UNCONVERTED_DTYPE`."""

NOBODY: Final = ""
"""The source of a link that only says that its target is a known customer."""


@dataclass(frozen=True)
class Links:
    """What identity events say: ``sources[i]`` is ``targets[i]``, counting in slot ``slots[i]``.

    A source is a visitor's profile id, an e-mail key, or :data:`NOBODY`; a target a customer id or an e-mail key.
    ``occurred`` is in microseconds.
    """

    occurred: NDArray[np.int64]
    slots: NDArray[np.int64]
    sources: NDArray[np.object_]
    targets: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.sources)


def no_links() -> Links:
    """Make links of nobody."""
    nothing, nobody = np.empty(0, np.int64), np.empty(0, object)
    return Links(nothing, nothing, nobody, nobody)


def join_links(parts: Sequence[Links]) -> Links:
    """Make one of several, in their order."""
    names = [each.name for each in fields(Links)]
    return Links(*(np.concatenate([getattr(part, name) for part in parts]) for name in names)) if parts else no_links()


@dataclass(frozen=True)
class LaneNews:
    """What the resolver must know of a lane: its links, its first slot, and the slot in which its clock is.

    The slots are None until every topic of the lane has had a record.
    """

    partition: int
    links: Links
    start: int | None
    slot: int | None


@dataclass(frozen=True)
class Verdicts:
    """What the resolver says to one bucket of visitors.

    All lanes have reached boundary ``boundary``. ``final[k]`` are the visitors who are customers from boundary ``k``
    on, by profile id, for ever. ``hints`` are what the links of the slot that has begun at ``boundary`` make likely,
    for live scores only; a hint of None takes an earlier one back. ``refused[k]`` are visitors who are not the
    customer that a link of the slot before ``k`` said. ``start`` is the first slot of all lanes.
    """

    bucket: int
    start: int
    boundary: int
    final: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    hints: Mapping[str, str | None] = field(default_factory=dict)
    refused: Mapping[int, Sequence[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """One decision about a link, for the record. ``outcome`` is ``linked`` or why it was not."""

    identity: str
    person: str
    outcome: str
    occurred: int
    boundary: int


@dataclass(frozen=True)
class Decisions:
    """All decisions of one step of the resolver, in their order."""

    verdicts: Sequence[Verdict]


@dataclass(frozen=True)
class _Handed:
    """Profile rows by source and person, as of each boundary.

    A row without events says only that a link was refused, so that what was told of the customer must be told anew.

    ``through`` is the newest boundary up to which everything of this bucket is told with this block and those before.
    """

    bucket: int
    start: int
    through: int
    boundaries: NDArray[np.int64]
    sources: NDArray[np.object_]
    persons: NDArray[np.object_]
    rows: NDArray[np.void]
    unconverted: Entries = field(default_factory=lambda: np.empty(0, UNCONVERTED_DTYPE))
    """The amounts of these rows that wait for an exchange rate."""


class HandOver(_Handed):
    """What one bucket of visitors gives to customers."""


class Absorb(_Handed):
    """What one bucket of customers takes over from all buckets of visitors."""


@dataclass(frozen=True)
class Overlay:
    """Copies of visitors' rows of the current slot for their persons' live scores; no row takes one back.

    ``present[i]`` tells whether ``rows[i]`` is one; ``entered`` is when the event behind it entered Kafka (ms), or 0.
    Overlays of a slot end with it: then the hand-over has their rows.
    """

    bucket: int
    slot: int
    sources: NDArray[np.object_]
    persons: NDArray[np.object_]
    rows: NDArray[np.void]
    present: NDArray[np.bool_]
    entered: NDArray[np.int64]


@dataclass(frozen=True)
class Absorbed:
    """Customers whose lifetime counters grew because they took a visitor over, for labelling.

    ``rows`` are table positions, ``counters[name]`` by how much each grew, ``newest[name]`` the time (microseconds) of
    the newest event behind that growth.
    """

    rows: NDArray[np.int32]
    counters: Mapping[str, NDArray[np.int32]]
    newest: Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Moved:
    """Visitors whose profiles are their persons' now: what is looked up under the old ids must say so.

    ``versions`` are above all that the visitors' own scores had.
    """

    ids: NDArray[np.object_]
    persons: NDArray[np.object_]
    versions: NDArray[np.int64]

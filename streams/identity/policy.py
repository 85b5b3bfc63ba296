"""The settings of devices and addresses, and the outcomes of decisions about links."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from contracts.rates import Rates
from contracts.times import DAY

LINKED: Final = "linked"
UNLINKED: Final = "unlinked"
TAKEN: Final = "belongs_to_another"
KNOWN: Final = "is_a_customer"
FULL: Final = "merge_limit"


@dataclass(frozen=True)
class IdentityPolicy:
    """Settings of devices and addresses. Times in microseconds, the session gap in seconds.

    ``bucket_of`` returns the bucket of a profile id, the same in every step.
    """

    interval: int
    buckets: int
    partitions: int
    bucket_of: Callable[[str], int]
    most_merges: int = 100
    """Maximum number of devices that a customer may own in one bucket."""
    known_ids: int = 1 << 20
    """Minimum number of event ids in the window that recognises duplicates."""
    visitors_forgotten_after: int = 90 * DAY
    """Visitors silent for longer are forgotten."""
    session_gap: int = 1_800
    """A web event starts a session if its device had no web event for more than this many seconds before."""
    rates: Rates = field(default_factory=Rates)
    portion: int = 1_000
    """The approximate number of visitors that are emitted at once at a boundary."""

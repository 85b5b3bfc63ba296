"""The state that buckets of devices and of addresses have in common."""

from dataclasses import dataclass, field
from typing import Literal

from contracts.blocks import Progress
from streams.identity.decisions import WaitingLinks
from streams.identity.owned import Owned


@dataclass
class Kept:
    """The table with its owners, and the progress of the bucket. ``slot`` is None until its clock is known."""

    table: Literal["devices", "addresses"]
    bucket: int = -1
    slot: int | None = None
    fresh: bool = False
    guarded: bool = False
    stale: bool = False
    """Whether a boundary was crossed since all visitors were scored."""
    owned: Owned = field(default_factory=Owned)
    links: WaitingLinks = field(default_factory=WaitingLinks)
    reported: Progress | None = None
    """The progress last reported to every bucket."""

    @property
    def current(self) -> int:
        """The current slot of a bucket that has started."""
        if self.slot is None:
            raise RuntimeError("the clock of the bucket is not known yet")
        return self.slot

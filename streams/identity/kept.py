"""The state that buckets of devices and of addresses have in common."""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Literal

from contracts.blocks import Progress
from contracts.state import Part, Value
from streams.identity.decisions import WaitingLinks
from streams.identity.owned import Owned


@dataclass(frozen=True)
class Standing:
    """The plain values of the state, as they are stored."""

    bucket: int
    slot: int | None
    fresh: bool
    guarded: bool
    stale: bool
    restating: int | None
    visitors: int
    progress: Progress | None
    reported: Progress | None
    crossed: int = 1  # as in states that were stored before there was this number


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
    restating: int | None = None
    """The next position of the visitors who are being emitted; None if none are."""
    crossed: int = 0
    """The number of boundaries crossed since all visitors were emitted."""
    owned: Owned = field(default_factory=Owned)
    links: WaitingLinks = field(default_factory=WaitingLinks)
    progress: Progress | None = None
    """The progress of the bucket's lane; None for addresses."""
    reported: Progress | None = None
    """The progress last reported to every bucket."""

    @property
    def current(self) -> int:
        """The current slot of a bucket that has started."""
        if self.slot is None:
            raise RuntimeError("the clock of the bucket is not known yet")
        return self.slot

    def parts(self) -> dict[str, Part]:
        """Return the parts of the state by name."""
        return {"standing": Value(Standing, self._standing, self._stand), **self.owned.parts(), "links": self.links}

    def forget(self, people: Set[str]) -> None:
        """Remove people from the table and from the links that wait."""
        self.links.forget(people)
        self.owned.forget(people)

    def _standing(self) -> Standing:
        return Standing(self.bucket, self.slot, self.fresh, self.guarded, self.stale, self.restating,
                        self.owned.visitors, self.progress, self.reported, self.crossed)  # fmt: skip

    def _stand(self, stored: Standing) -> None:
        self.bucket, self.slot, self.fresh, self.guarded = stored.bucket, stored.slot, stored.fresh, stored.guarded
        self.stale, self.restating, self.owned.visitors = stored.stale, stored.restating, stored.visitors
        self.progress, self.reported, self.crossed = stored.progress, stored.reported, stored.crossed

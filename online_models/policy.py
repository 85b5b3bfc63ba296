"""The settings of learning and scoring."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from contracts.outcomes import Outcome

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FAMILY: Final = "logistic-2"


@dataclass(frozen=True)
class ModelsPolicy:
    """The outcomes to predict, the names of the features, the number of buckets, and the hours between boundaries."""

    outcomes: tuple[Outcome, ...]
    features: tuple[str, ...]
    buckets: int
    interval_hours: int

    def model_version(self, boundary: int) -> str:
        """Return the name of the models made at a boundary: family and time."""
        return f"{FAMILY}@{EPOCH + timedelta(hours=boundary * self.interval_hours):%Y-%m-%dT%H}"

    @property
    def week(self) -> int:
        """A week in boundaries, at least one."""
        return max(1, 7 * 24 // self.interval_hours)

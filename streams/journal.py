"""The log lines of a worker: boundaries, counts of refused records, late events.

Live, each boundary has a line. During a catch-up there is at most one line in ten seconds, with the sums since the last
one; the same holds for refused records. A lasting problem has one line a minute. Lines name the fields and problems of
refused records, never their values.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from contracts.outputs import DeadLetter

LINE_SECONDS: Final = 10.0
SAME_TROUBLE_SECONDS: Final = 60.0
MOST_REASONS: Final = 5
MOST_CHARACTERS: Final = 120
log = logging.getLogger(__name__)


class Journal:
    """The work of one process since its last line. ``say`` takes a level and a line."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, say: Callable[[int, str], object] = log.log
    ):
        self._monotonic = monotonic
        self._say = say
        self._lanes: dict[int, tuple[int, bool] | None] = {}
        self._slot: int | None = None
        self._behind = self._caught_up = False
        self._boundary = self._boundaries = self._events = self._late = 0
        self._all_events = 0
        self.beats = 0
        """The number of times the flow asked for more data: it grows while the flow runs."""
        self._troubles: dict[str, float] = {}
        self._refused: Counter[tuple[str, str, str, str]] = Counter()
        self._moved_at = self._refused_at = monotonic() - LINE_SECONDS

    def start(self, partition: int, position: str) -> None:
        """Log that a lane is read from ``position``."""
        self._lanes[partition] = None
        self._say(logging.INFO, f"partition {partition}: {position}")

    def read(self, events: int, letters: Iterable[DeadLetter]) -> None:
        """Count events read and records refused."""
        self._events += events
        self._all_events += events
        self._refused.update((each.topic, each.stage, each.field, each.problem) for each in letters)

    def late(self, events: int) -> None:
        """Count events that came after the sweep of their day."""
        self._late += events

    def clock(self, partition: int, clock: int, interval: int, *, fresh: bool) -> None:
        """Note how far a lane is (microseconds), and whether it is at the end of its log."""
        self._lanes[partition] = (clock // interval, fresh)
        known = [lane for lane in self._lanes.values() if lane is not None]
        if len(known) < len(self._lanes):
            return
        slot = min(slot for slot, _ in known)
        crossed = 0 if self._slot is None else slot - self._slot
        self._slot = slot
        self._boundary = slot * interval
        self._boundaries += crossed
        behind = not all(fresh for _, fresh in known)
        self._caught_up = not behind and (self._behind or self._caught_up)
        self._behind = behind
        self._log_boundaries(self._monotonic())

    def trouble(self, what: str) -> None:
        """Log a problem that a client reports, the same text at most once a minute."""
        now = self._monotonic()
        if now - self._troubles.get(what, -SAME_TROUBLE_SECONDS) >= SAME_TROUBLE_SECONDS:
            self._troubles = {text: at for text, at in self._troubles.items() if now - at < SAME_TROUBLE_SECONDS}
            self._troubles[what] = now
            self._say(logging.INFO, what)

    def beat(self) -> None:
        """Log what is due. The flow calls this often."""
        self.beats += 1
        now = self._monotonic()
        self._log_boundaries(now)
        if self._refused and now - self._refused_at >= LINE_SECONDS:
            self._log_refused()

    def end(self) -> None:
        """Log the remaining counts, and the total number of events."""
        if self._refused:
            self._log_refused()
        self._say(logging.INFO, f"stopped after {self._all_events:,} events, with a snapshot")

    def _log_boundaries(self, now: float) -> None:
        """Log a single boundary at once; sum up boundaries that follow each other fast."""
        if (self._boundaries or self._caught_up) and now - self._moved_at >= LINE_SECONDS:
            self._log_moved(now)

    def _log_moved(self, now: float) -> None:
        state = "catching up, " if self._behind else "caught up, " if self._caught_up else ""
        boundaries = "1 boundary" if self._boundaries == 1 else f"{self._boundaries:,} boundaries"
        late = f", {self._late:,} of them late" if self._late else ""
        moved = f"{boundaries} and {self._events:,} events since the last line{late}"
        self._say(logging.INFO, f"{state}boundary {_day(self._boundary)}: {moved}")
        self._boundaries = self._events = self._late = 0
        self._moved_at, self._caught_up = now, False

    def _log_refused(self) -> None:
        reasons = self._refused.most_common(MOST_REASONS)
        reported = "; ".join(f"{count:,} × {_one_line(' '.join(reason))}" for reason, count in reasons)
        others = len(self._refused) - len(reasons)
        more = f"; {others:,} other reasons" if others else ""
        self._say(logging.WARNING, f"refused {self._refused.total():,} records (dead letters): {reported}{more}")
        self._refused.clear()
        self._refused_at = self._monotonic()


def _day(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M} UTC"


def _one_line(text: str) -> str:
    """Cut a text from outside to one short line of printable characters."""
    return "".join(each if each.isprintable() else " " for each in text)[:MOST_CHARACTERS]


JOURNAL: Final = Journal()
"""The journal of this process."""

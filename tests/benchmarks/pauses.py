"""How long the flow stood still for its snapshots, epoch by epoch, as the workers' metrics tell it."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

LOOK_SECONDS: Final = 0.5
"""Shorter than a quarter of an epoch, so that between two snapshots there is a look without one."""
_SPENT: Final = "crm_snapshot_seconds_sum"
_BYTES: Final = {"snapshot_bytes": "crm_snapshot_bytes_total|log", "base_bytes": "crm_snapshot_bytes_total|base"}


class Pauses(threading.Thread):
    """Looks at the time that snapshots took so far, until asked for the figures."""

    def __init__(self, metrics: Callable[[], Counter[str]]):
        super().__init__(daemon=True)
        self._metrics = metrics
        self._ended = threading.Event()
        self._seen: list[Counter[str]] = []
        self.start()

    def run(self) -> None:
        """Look again and again."""
        self._look()
        while not self._ended.wait(LOOK_SECONDS):
            self._look()

    def figures(self) -> dict[str, Any]:
        """Stop looking; return bytes per epoch, and the mean and the longest pause of an epoch in milliseconds."""
        self._ended.set()
        self.join()
        self._look()
        pauses = together([each[_SPENT] for each in self._seen])
        if not pauses:
            return {}
        made = self._seen[-1] - self._seen[0]
        return {
            **{name: round(made[metric] / len(pauses)) for name, metric in _BYTES.items()},
            "snapshot_ms": round(sum(pauses) / len(pauses) * 1e3, 1), "snapshot_ms_most": round(max(pauses) * 1e3, 1),
        }  # fmt: skip

    def _look(self) -> None:
        if found := self._metrics():
            self._seen.append(found)


def together(sums: Sequence[float]) -> list[float]:
    """Return by how much a growing sum grew each time. Neighbouring looks that saw it grow saw one time."""
    grown, growing = [], False
    for before, after in pairwise(sums):
        if after > before:
            if not growing:
                grown.append(0.0)
            grown[-1] += after - before
        growing = after > before
    return grown

"""The dataflow as a worker runs it: python engine_run.py RECORDS [stay]; prints JSON.

Settings come from the environment. The clock starts when reading starts and stops when everything is durable in the
stores and the dataflow has ended. It ends when so many records were read, or, with ``stay``, when its standard input
is closed; then it prints one line more as soon as the records were read.
"""

import gc
import json
import sys
import threading
import time
from datetime import timedelta
from typing import Final

from prometheus_client import Counter

from contracts.metrics import DEAD_LETTERS, EVENTS, TICKS
from contracts.settings import Settings
from crmstream import worker
from streams.recovery import prepare_recovery
from streams.run import run_worker

SETTLE_SECONDS: Final = 0.1
"""How long to go on after the last record, so that lanes notice that they are at the end."""


class UntilRead:
    """Tells the sources to stop once ``records`` records were read; notes when reading began."""

    def __init__(self, records: int, *, stay: bool):
        self._records = records
        self._stay = stay
        self._read_at: float | None = None
        self.began: tuple[float, float] | None = None
        self.stopped = False

    def __call__(self) -> bool:
        if self._stay and self._read_at is not None:
            return self.stopped
        now = time.monotonic()
        if self.began is None:
            self.began = (now, time.process_time())
        if self._read_at is None and sum(map(total, (EVENTS, TICKS, DEAD_LETTERS))) >= self._records:
            self._read_at = now
            if self._stay:
                print(json.dumps({"read_seconds": now - self.began[0]}), flush=True)
        return not self._stay and self._read_at is not None and now - self._read_at >= SETTLE_SECONDS

    def wait_for_end(self) -> None:
        """Stop when standard input is closed."""
        sys.stdin.read()
        self.stopped = True


def total(counter: Counter) -> float:
    """The sum of a counter over all its labels."""
    samples = (sample for family in counter.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def main() -> None:
    """Work off the log once."""
    stay = "stay" in sys.argv[2:]
    settings, until = Settings(), UntilRead(int(sys.argv[1]), stay=stay)
    if stay:
        threading.Thread(target=until.wait_for_end, daemon=True).start()
    gc.set_threshold(50_000, 20, 50)  # as crmstream.worker does
    sys.setswitchinterval(getattr(worker, "SWITCH_SECONDS", sys.getswitchinterval()))  # older commits have none
    prepare_recovery(settings)
    run_worker(settings, 0, [], until, timedelta(seconds=settings.epoch_seconds))
    if until.began is None:
        raise RuntimeError("the dataflow ended before it began")
    wall, cpu = until.began
    print(json.dumps({"wall_seconds": time.monotonic() - wall, "cpu_seconds": time.process_time() - cpu}))


if __name__ == "__main__":
    main()

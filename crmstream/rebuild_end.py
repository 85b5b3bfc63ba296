"""Removes the note of a rebuild when the dataflow has passed it, so that it changes no later start.

The published positions say so: each belongs to an epoch that has completed, so a start resumes from there or later.
They must be past the note twice in a row, so that the snapshots of another epoch are complete too. A process that dies
before the removal removes it in its next run.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from contracts.errors import StoreUnavailableError
from contracts.settings import Settings
from contracts.topics import Ends
from streams.rebuild import FILE, forget_ends, is_over, saved_ends

LOOK_SECONDS: Final = 10.0
LOOKS: Final = 2
log = logging.getLogger(__name__)


def watch(settings: Settings) -> None:
    """Begin to look after a rebuild in a thread of its own, if one is under way. Call it in worker 0."""
    ends = saved_ends(settings.data_dir)
    if ends is None or settings.kafka_bootstrap_servers is None:
        return
    positions = partial(_published, settings.kafka_bootstrap_servers)
    threading.Thread(
        target=await_end, args=(settings.data_dir, ends, positions, settings.epoch_seconds), daemon=True,
        name="rebuild-end",
    ).start()  # fmt: skip


def await_end(
    data_dir: Path, ends: Ends, positions: Callable[[], Mapping[tuple[str, int], int]], epoch_seconds: float = 0.0,
    sleep: Callable[[float], object] = time.sleep,
) -> None:  # fmt: skip
    """Wait until the published positions are past ``ends`` twice in a row, then remove the note."""
    passed = 0
    while passed < LOOKS:
        sleep(LOOK_SECONDS + epoch_seconds)
        try:
            passed = passed + 1 if is_over(ends, positions()) else 0
        except StoreUnavailableError:
            passed = 0
    if saved_ends(data_dir) == ends:
        forget_ends(data_dir)
        log.info("the rebuild has read all that was in the log when it began: %s is removed", FILE)


def _published(kafka: str) -> Mapping[tuple[str, int], int]:
    from crmstream.observe.kafka import KafkaView  # noqa: PLC0415 - only while a rebuild is under way

    return KafkaView(kafka).offsets().committed

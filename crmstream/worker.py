"""One worker process of the dataflow: ``python -m crmstream.worker --index N``. Started by the local stack.

It reads its settings from the environment, where the stack names all servers, and ends with 0 when asked to stop
(SIGTERM), with 78 and a ``.fatal`` file beside its log when it must not be started again, with 73 when the disk is
full, else with 1.
"""

import argparse
import gc
import logging
import os
import secrets
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from prometheus_client import start_http_server

from contracts.errors import LogMismatchError, SettingsError, StoreRefusedError, TakenOverError, UnreadableStateError
from contracts.metrics import STORE_WAITED
from contracts.outages import waiting_since
from contracts.settings import Settings, load_settings
from crmstream import (
    hanging,
    lean,  # noqa: F401 - before River
    memory,
    rebuild_end,
)
from crmstream.cluster.taking_part import TakingPart
from crmstream.stack.dataflow import COMPANION_GONE, NO_ROOM, RUN, STOP_SECONDS, WILL_NOT_START
from crmstream.stack.no_room import lacks_room
from crmstream.stopping import StopFlag
from streams import error_boundary as edge
from streams.in_force import rates_in_force
from streams.journal import JOURNAL
from streams.recovery import begin_run
from streams.run import run_worker

MOST_STOP_SECONDS: Final = STOP_SECONDS * 0.75
"""How long the last snapshot may take: whoever asked a worker to stop kills it after STOP_SECONDS."""
SWITCH_SECONDS: Final = 0.001
"""How long a thread that wants the interpreter waits for it, instead of 5 ms: the dataflow and the thread that writes
to Redis take it from one another many times for each batch, while events wait for their scores."""
WITHOUT_SNAPSHOT: Final = "there is no last snapshot; the next start resumes from the one before"
log = logging.getLogger(__name__)
FATAL: Final = (LogMismatchError, SettingsError, StoreRefusedError, TakenOverError, UnreadableStateError)
"""Errors that another start would meet again."""


def main() -> None:
    """Run until stopped."""
    parser = argparse.ArgumentParser(description="One worker process of the dataflow.")
    parser.add_argument("--index", type=int, required=True, help="Number of this worker, from 0.")
    index = parser.parse_args().index
    try:
        settings = load_settings()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(WILL_NOT_START)
    gc.set_threshold(50_000, 20, 50)  # batches make many short-lived objects and no cycles
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    addresses = [address for address in os.environ.get("CRM_WORKER_ADDRESSES", "").split(";") if address]
    cluster = TakingPart(settings, index, addresses) if settings.cluster_addresses else None
    stop = StopFlag(MOST_STOP_SECONDS, WITHOUT_SNAPSHOT, leave=_leaving(cluster))
    metrics_port = int(os.environ.get("CRM_WORKER_METRICS_PORT", "0"))
    for store in ("ClickHouse", "Kafka", "Redis"):
        STORE_WAITED.labels(store).set_function(partial(waiting_since, store))
    if metrics_port:
        start_http_server(metrics_port, addr="127.0.0.1")
    memory.give_back()
    hanging.watch(lambda: JOURNAL.beats)
    try:
        if cluster is None:
            begin_run(settings, os.environ.get(RUN) or secrets.token_hex(6))
        elif not cluster.begin(stop):
            return
        if index == 0:
            rebuild_end.watch(settings)
        _tell_start(settings, index)
        epoch = timedelta(seconds=settings.epoch_seconds)
        run_worker(settings, index, addresses, stop, epoch)
    except BaseException as error:  # noqa: BLE001 - a panic of the engine is no Exception
        if cluster is not None and not edge.failures and cluster.lost_another():
            sys.exit(COMPANION_GONE)
        sys.exit(_explain(error, settings.data_dir, index))
    JOURNAL.end()
    if cluster is not None:
        sys.exit(cluster.exit_code(0))


def _leaving(cluster: TakingPart | None) -> Callable[[int], object]:
    """What ends the process at once."""
    if cluster is None:
        return os._exit
    return cluster.leave


def _tell_start(settings: Settings, index: int) -> None:
    """One line with what decides how this worker reads and counts."""
    log.info(
        "crmstream %s, worker %d of %d: %d partitions, %d buckets, a sweep every %d h, base currency %s",
        version("crmstream"), index, settings.workers, settings.partitions, settings.buckets, settings.sweep_hours,
        rates_in_force(settings).base or "undecided",
    )  # fmt: skip


def _explain(error: BaseException, data_dir: Path, index: int) -> int:
    """Say what ended the dataflow; return the exit code."""
    cause = edge.failures[0] if edge.failures else error
    log.critical("the dataflow ended: %s", cause)
    if not isinstance(cause, FATAL):
        return NO_ROOM if lacks_room(cause, data_dir) else 1
    fatal_file = data_dir / "logs" / f"worker-{index}.fatal"
    fatal_file.parent.mkdir(parents=True, exist_ok=True)
    fatal_file.write_text(f"{cause}\n", encoding="utf-8")
    return WILL_NOT_START


if __name__ == "__main__":
    main()

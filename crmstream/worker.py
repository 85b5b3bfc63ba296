"""One worker process of the dataflow: ``python -m crmstream.worker --index N``. Started by the local stack.

It reads its settings from the environment, where the stack names all servers, and ends with 0 when asked to stop
(SIGTERM), with 78 and a ``.fatal`` file beside its log when it must not be started again, else with 1.
"""

import argparse
import gc
import logging
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Final

from prometheus_client import start_http_server

from contracts.errors import LogMismatchError, SettingsError, StoreRefusedError
from contracts.settings import load_settings
from crmstream import lean  # noqa: F401 - before River
from crmstream.stack.dataflow import WILL_NOT_START
from streams import edge
from streams.run import run_worker

FATAL: Final = (LogMismatchError, SettingsError, StoreRefusedError)


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
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = _StopFlag()
    metrics_port = int(os.environ.get("CRM_WORKER_METRICS_PORT", "0"))
    if metrics_port:
        start_http_server(metrics_port, addr="127.0.0.1")
    addresses = [address for address in os.environ.get("CRM_WORKER_ADDRESSES", "").split(";") if address]
    try:
        run_worker(settings, index, addresses, stop, timedelta(seconds=settings.epoch_seconds))
    except BaseException as error:  # noqa: BLE001 - a panic of the engine is no Exception
        sys.exit(_explain(error, settings.data_dir / "logs" / f"worker-{index}.fatal"))


class _StopFlag:
    """True once the process was asked to stop."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def __call__(self) -> bool:
        return self._asked

    def _ask(self, number: int, frame: object) -> None:  # noqa: ARG002
        self._asked = True


def _explain(error: BaseException, fatal_file: Path) -> int:
    """Say what ended the dataflow; return the exit code."""
    cause = edge.failures[0] if edge.failures else error
    logging.getLogger(__name__).critical("the dataflow ended: %s", cause)
    if not isinstance(cause, FATAL):
        return 1
    fatal_file.parent.mkdir(parents=True, exist_ok=True)
    fatal_file.write_text(f"{cause}\n", encoding="utf-8")
    return WILL_NOT_START


if __name__ == "__main__":
    main()

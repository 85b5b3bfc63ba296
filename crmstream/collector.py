"""The collector as a process: ``python -m crmstream.collector``. It ends cleanly on SIGTERM and Ctrl-C.

Reads the settings from the environment; ``CRM_KAFKA_BOOTSTRAP_SERVERS`` must name the brokers. With ``--watch-disk``
these are the local stack's, and the disk of CRM_DATA_DIR must have room for their events.
"""

import logging
import sys

from contracts.errors import CrmError, SettingsError
from contracts.settings import load_settings
from crmstream.collecting import run_collector
from crmstream.stack.dataflow import WATCH_DISK, WILL_NOT_START
from crmstream.stack.disk import DiskWatch


def main() -> int:
    """Run until a signal comes; gives the exit code."""
    try:
        settings = load_settings()
        if not settings.kafka_bootstrap_servers:
            raise SettingsError("CRM_KAFKA_BOOTSTRAP_SERVERS is not set; it names the brokers.")
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
        disk = DiskWatch(settings.data_dir, settings) if WATCH_DISK in sys.argv[1:] else None
        run_collector(
            settings, settings.kafka_bootstrap_servers,
            lambda started: logging.info("collecting at %s", started.url), disk,
        )  # fmt: skip
    except CrmError as error:
        print(error, file=sys.stderr)
        return WILL_NOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())

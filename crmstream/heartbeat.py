"""The heartbeat as a process: ``python -m crmstream.heartbeat``. It ends cleanly on SIGTERM and Ctrl-C.

Reads the settings from the environment; ``CRM_KAFKA_BOOTSTRAP_SERVERS`` must name the brokers.
"""

import logging
import signal
import sys

from connectors.kafka import heartbeat
from contracts.errors import CrmError, SettingsError
from contracts.settings import load_settings
from crmstream.stack.beat import BEAT_FILE, BeatingEvent
from crmstream.stack.dataflow import WILL_NOT_START


def main() -> int:
    """Run until a signal comes; gives the exit code."""
    try:
        settings = load_settings()
        stop = BeatingEvent(settings.data_dir / BEAT_FILE)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
        if not settings.kafka_bootstrap_servers:
            raise SettingsError("CRM_KAFKA_BOOTSTRAP_SERVERS is not set; it names the brokers.")
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
        heartbeat.run(settings, settings.kafka_bootstrap_servers, stop)
    except CrmError as error:
        print(error, file=sys.stderr)
        return WILL_NOT_START if isinstance(error, SettingsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The heartbeat as a process: ``python -m crmstream.heartbeat``. It ends cleanly on SIGTERM and Ctrl-C.

Reads the settings from the environment; ``CRM_KAFKA_BOOTSTRAP_SERVERS`` must name the brokers.
"""

import logging
import sys
from typing import Final

from connectors.kafka import heartbeat
from contracts.errors import CrmError, SettingsError
from contracts.settings import load_settings
from crmstream.stack.beat import BEAT_FILE, BeatingEvent
from crmstream.stack.dataflow import WILL_NOT_START
from crmstream.stopping import StopFlag

MOST_STOP_SECONDS: Final = 2.0
"""A heartbeat keeps nothing, so it need not wait for a broker that hangs."""


def main() -> int:
    """Run until a signal comes; gives the exit code."""
    try:
        settings = load_settings()
        beat = BeatingEvent(settings.data_dir / BEAT_FILE)
        stop = StopFlag(MOST_STOP_SECONDS, "the next start reads the log's end again", asked=beat)
        if not settings.kafka_bootstrap_servers:
            raise SettingsError("CRM_KAFKA_BOOTSTRAP_SERVERS is not set; it names the brokers.")
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
        heartbeat.run(settings, settings.kafka_bootstrap_servers, stop.asked)
    except CrmError as error:
        print(error, file=sys.stderr)
        return WILL_NOT_START if isinstance(error, SettingsError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

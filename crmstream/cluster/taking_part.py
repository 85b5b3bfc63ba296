"""A worker process's part in a cluster: it meets the others, starts with them, and ends with them."""

import contextlib
import logging
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from contracts.settings import Settings
from crmstream.cluster.companions import Companions
from crmstream.cluster.meeting import meet
from crmstream.cluster.members import Worker
from crmstream.cluster.reports import Reporter
from crmstream.stack.dataflow import COMPANION_GONE
from crmstream.stack.environment import SECRETS
from crmstream.stopping import StopFlag
from streams.recovery import begin_run, join_run

OF_A_HOST: Final = frozenset({
    "data_dir", "disk_warn_bytes", "disk_stop_bytes", "kafka_bootstrap_servers", "kafka_port", "clickhouse_port",
    "redis_port", "sources_file", "traits_file", "exchange_rates_file", "cluster_addresses", "cluster_index",
    "log_level", "publish_traits",
})  # fmt: skip
"""Settings that may differ between hosts. Settings of the collector and secrets may differ too."""
LOST_SECONDS: Final = 3.0
"""How long after the dataflow ended it may take to learn that another worker has gone."""
log = logging.getLogger(__name__)


def facts_of(settings: Settings) -> dict[str, Any]:
    """Return what must be equal in all workers of a cluster, by the name to show."""
    values = settings.model_dump(mode="json", exclude=SECRETS | OF_A_HOST)
    own = {f"CRM_{name.upper()}": value for name, value in values.items() if not name.startswith("collector")}
    return own | {"the version of crmstream": version("crmstream")}


def waits_file(data_dir: Path, index: int) -> Path:
    """Return the file that says what a worker waits for, for its supervisor."""
    return data_dir / "logs" / f"worker-{index}.waits"


class TakingPart:
    """The other workers of one process, from the meeting to the end. ``asked`` is set when it shall stop."""

    def __init__(self, settings: Settings, index: int, addresses: Sequence[str]):
        self._settings = settings
        self._index = index
        self._addresses = addresses
        self._companions: Companions | None = None
        self._reporter = Reporter(settings.data_dir, index, addresses)
        self._told: str | None = None

    def begin(self, stop: StopFlag) -> bool:
        """Meet the others and watch them from then on; return False if the process was asked to stop meanwhile."""
        data_dir = self._settings.data_dir
        worker = Worker(self._index, self._addresses, data_dir, facts_of(self._settings), stop, self._waits)
        log.info("worker %d of %d meets the others", self._index, len(self._addresses))
        self._reporter.begin()
        met = meet(worker, lambda mark: begin_run(self._settings, mark))
        if met is None:
            return False
        log.info("all %d workers are there", len(self._addresses))
        join_run(self._settings, met.mark)
        self._companions = Companions(met.connections, stop.asked)
        self._companions.watch()
        return True

    def leave(self, code: int) -> None:
        """End the process at once, with the code that says whose doing it was."""
        os._exit(self.exit_code(code))

    def exit_code(self, code: int) -> int:
        """Return the exit code of a process that ended in order, with ``code`` if it did so by itself."""
        by_other = self._companions is not None and self._companions.stopped_by_other
        return COMPANION_GONE if by_other else code

    def lost_another(self) -> bool:
        """Whether a dataflow without an error of its own ended because another worker has gone."""
        return self._companions is not None and self._companions.lost.wait(LOST_SECONDS)

    def _waits(self, what: str) -> None:
        if what == self._told:
            return
        self._told = self._reporter.waits_for = what
        file = waits_file(self._settings.data_dir, self._index)
        with contextlib.suppress(OSError):
            if what:
                log.info("waits for %s", what)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(what, encoding="utf-8")
            else:
                file.unlink(missing_ok=True)

"""One worker on outside servers, without a supervisor: when it is killed at a named place, nothing starts it again."""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from support.flow import Flow, Log, wait_until
from support.patched import KILL, SMALL

from contracts.settings import Settings
from crmstream.money.keeper import RatesKeeper
from sinks.clients import clickhouse_client
from sinks.migrations import migrate

TESTS = Path(__file__).parents[1]
KILLED = -signal.SIGKILL


class OneWorker:
    """The worker of one installation. Use it as a context manager; it may be started and stopped inside."""

    def __init__(self, settings: Settings, *, small: bool = True):
        self.settings = settings
        flow = Flow(settings)
        paths = {"PYTHONPATH": f"{TESTS.parent}:{TESTS}"}
        self.environment = flow.environment | paths | ({SMALL: "1"} if small else {})
        self._output = flow.output
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        assert self.settings.clickhouse_url is not None
        url, database = self.settings.clickhouse_url.get_secret_value(), self.settings.clickhouse_database
        migrate(clickhouse_client(url, database), database)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self, kill: str = "") -> None:
        """Start it. ``kill`` is ``module:name:n``: it dies at the n-th call of a function."""
        RatesKeeper(self.settings, lambda _: None).bring_into_force()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._line("crmstream.worker:main", "--index", "0"), env=self.environment | {KILL: kill},
                stdout=output, stderr=output,
            )  # fmt: skip

    def run(self, *arguments: str, kill: str = "") -> int:
        """Run a `crmstream` command; return its exit code."""
        with self._output.open("ab") as output:
            line, environment = self._line("crmstream.cli:app", *arguments), self.environment | {KILL: kill}
            return subprocess.run(line, env=environment, stdout=output, stderr=output, check=False).returncode

    def dies(self, timeout_seconds: float = 60) -> None:
        """Wait until it has been killed."""
        assert self._process is not None
        assert self._process.wait(timeout_seconds) == KILLED, self.told()

    def kill(self) -> None:
        """Kill it now."""
        assert self._process is not None
        self._process.kill()
        self.dies()

    def stop(self) -> None:
        """Stop it cleanly."""
        assert self._process is not None
        self._process.terminate()
        assert self._process.wait(60) == 0, self.told()

    def drain(self, log: Log) -> None:
        """Wait until the results of everything in the log are durable."""

        def drained() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.told()
            return log.drained()

        wait_until(drained, "the log is drained")

    def told(self) -> str:
        """What it has printed."""
        return self._output.read_text(errors="replace")

    def _line(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "support.patched", *arguments]

"""The supervisor of the local stack: starts its parts, watches them, and stops them in order.

It delivers nothing itself: every part is durable on its own, so a stop (or a kill of anything at any moment) followed
by a start goes on where it was. Use it from the main thread, as a context manager, and call ``poll`` about once a
second or rest in ``wait``.
"""

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

from contracts.errors import StackError
from contracts.settings import Settings
from crmstream.stack.collector_part import choose_port, collector_url, wait_for_collector
from crmstream.stack.dataflow import DataflowCommands, ProcessGroup, collector_group, heartbeat_group, worker_group
from crmstream.stack.endpoints import Endpoints, combine, outside_servers, remove_endpoints, save_endpoints
from crmstream.stack.environment import collector_environment, dataflow_environment
from crmstream.stack.parts import ClickHousePart, KafkaPart, RedisPart, ServerPart
from crmstream.stack.ports import PortBook
from crmstream.stack.process import ChildProcess, clear_leftovers, record_children, stop_all

SERVER_STOP_SECONDS = 20.0
POLL_SECONDS = 0.2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class LocalStack:
    """All processes of one data folder."""

    def __init__(
        self,
        settings: Settings,
        *,
        with_dataflow: bool = True,
        prepare: Callable[[Endpoints], None] | None = None,
        on_event: Callable[[str], None] | None = None,
        commands: DataflowCommands | None = None,
    ):
        """Describe the stack; nothing is started.

        Args:
            settings: those of the installation. Servers that they name are not started.
            with_dataflow: start workers and heartbeat too.
            prepare: called when the servers are ready and before the dataflow starts (topics, migrations).
            on_event: told in a short sentence what happens.
            commands: the dataflow's command lines, with that of a collector if there shall be one.

        """
        self._settings = settings
        self._data_dir = settings.data_dir.resolve()
        self._with_dataflow = with_dataflow
        self._prepare = prepare
        self._on_event = on_event or (lambda _: None)
        self._commands = commands or DataflowCommands()
        self._with_collector = with_dataflow and bool(self._commands.collector)
        self._servers: list[ServerPart] = []
        self._groups: list[ProcessGroup] = []
        self._lock_file: IO[str] | None = None
        self._endpoints: Endpoints | None = None
        self._signals = _StopSignals()

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers are; raises a StackError before the start."""
        if self._endpoints is None:
            raise StackError("the stack is not started")
        return self._endpoints

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The process ids of the dataflow's workers that run."""
        return self._groups[0].pids if self._groups else ()

    def __enter__(self) -> Self:
        self._signals.install()
        try:
            self.start()
        except BaseException:
            self.stop()
            self._signals.restore()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._signals.restore()

    def start(self) -> Endpoints:
        """Start everything and return when it is ready.

        Raises:
            StackError: the folder is in use, a port is taken, or a part does not start; its message says which.

        """
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock()
        except OSError as error:
            raise StackError(
                f"{self._data_dir} cannot be used as the data folder ({error.strerror}): set CRM_DATA_DIR to a "
                "folder that can be written"
            ) from error
        clear_leftovers(self._data_dir / "children.json")
        ports = PortBook(self._data_dir / "ports.json")
        self._start_servers(ports)
        metrics_ports = self._dataflow_ports(ports, "metrics")
        collector_port = choose_port(ports, self._settings) if self._with_collector else None
        self._endpoints = self._describe(metrics_ports, collector_port)
        worker_ports = self._dataflow_ports(ports, "worker")
        ports.save()
        if self._prepare is not None:
            self._prepare(self._endpoints)
        if self._with_dataflow:
            self._start_dataflow(worker_ports, metrics_ports, collector_port)
        self._record()
        save_endpoints(self._endpoints, self._data_dir)
        return self._endpoints

    def _lock(self) -> None:
        file = (self._data_dir / "stack.lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise StackError(
                f"a stack is running in {self._data_dir} already (process {owner}): "
                "stop it, or set CRM_DATA_DIR to another folder",
                pid=owner,
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._lock_file = file

    def _start_servers(self, ports: PortBook) -> None:
        self._servers = list(self._describe_servers(ports))
        for server in self._servers:
            server.start()
            self._record()
        if not self._servers:
            return
        self._on_event(f"starting {', '.join(server.name for server in self._servers)}")
        with ThreadPoolExecutor(len(self._servers)) as pool:
            for _ in pool.map(lambda server: server.wait_ready(), self._servers):
                pass

    def _describe_servers(self, ports: PortBook) -> Iterator[ServerPart]:
        """Yield the servers that are not outside ones; Kafka, the slowest to start, last: formatting blocks."""
        settings, outside = self._settings, outside_servers(self._settings)
        if "redis_url" not in outside:
            yield RedisPart(self._data_dir, ports.choose("redis", settings.redis_port, "CRM_REDIS_PORT"))
        if "clickhouse_url" not in outside:
            port = ports.choose("clickhouse", settings.clickhouse_port, "CRM_CLICKHOUSE_PORT")
            yield ClickHousePart(self._data_dir, port)
        if "kafka" not in outside:
            port = ports.choose("kafka", settings.kafka_port, "CRM_KAFKA_PORT")
            yield KafkaPart(self._data_dir, port, ports.choose("kafka-controller"))

    def _dataflow_ports(self, ports: PortBook, kind: str) -> list[int]:
        workers = self._settings.workers if self._with_dataflow else 0
        return [ports.choose(f"{kind}-{index}") for index in range(workers)]

    def _describe(self, metrics_ports: Sequence[int], collector_port: int | None) -> Endpoints:
        fields = {"kafka": "kafka", "clickhouse": "clickhouse_url", "redis": "redis_url"}
        own = {fields[server.name]: server.endpoint() for server in self._servers}
        metrics = tuple(f"http://127.0.0.1:{port}/metrics" for port in metrics_ports)
        collector = None if collector_port is None else collector_url(self._settings.collector_host, collector_port)
        return combine(own | outside_servers(self._settings), metrics, os.getpid(), collector)

    def _start_dataflow(
        self, worker_ports: Sequence[int], metrics_ports: Sequence[int], collector_port: int | None
    ) -> None:
        environment = dataflow_environment(self._settings, self.endpoints, worker_ports)
        log_dir = self._data_dir / "logs"
        self._groups = [
            worker_group(self._commands, environment, metrics_ports, log_dir, self._on_event),
            heartbeat_group(self._commands, environment, log_dir, self._on_event),
        ]
        if collector_port is not None:
            own = collector_environment(self._settings, environment, collector_port)
            self._groups.append(collector_group(self._commands, own, log_dir, self._on_event))
        for group in self._groups:
            group.start()
        if self.endpoints.collector_url is not None:
            wait_for_collector(self.endpoints.collector_url, self._groups[-1].processes[0])

    def _children(self) -> list[ChildProcess]:
        dataflow = [process for group in self._groups for process in group.processes]
        return [server.process for server in self._servers] + dataflow

    def _record(self) -> None:
        record_children(self._data_dir / "children.json", self._children())

    def poll(self) -> None:
        """Look after the parts once: restart what may be restarted.

        Raises:
            StackError: a server died, a worker will not start, or the dataflow dies again and again.

        """
        for server in self._servers:
            server.check_alive()
        before = [process.pid for process in self._children()]
        for group in self._groups:
            group.poll()
        if before != [process.pid for process in self._children()]:
            self._record()

    def wait(self) -> None:
        """Look after the parts until Ctrl-C or SIGTERM, then return; raises what ``poll`` raises."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.poll()
                time.sleep(POLL_SECONDS)

    def restart_workers(self, reason: str) -> None:
        """Restart the dataflow's workers after their epoch; servers, heartbeat and collector stay.

        Call it from the main thread. ``reason`` is a short clause for the user, such as "the exchange rates changed".
        Without running workers it does nothing.
        """
        if self.worker_pids:
            self._on_event(f"restarting the dataflow: {reason}")
            self._groups[0].restart()
            self._record()

    def stop_workers(self) -> None:
        """Stop the dataflow (workers finish their epoch); the servers stay."""
        for group in self._groups:
            group.stop()

    def stop(self) -> None:
        """Stop everything in order: the dataflow, then the servers. Harmless when nothing runs; signals wait."""
        with self._signals.ignored():
            if self._lock_file is None:
                return
            self._on_event("stopping")
            self.stop_workers()
            stop_all([server.process for server in self._servers], SERVER_STOP_SECONDS)
            self._forget()

    def _forget(self) -> None:
        remove_endpoints(self._data_dir)
        Path(self._data_dir / "children.json").unlink(missing_ok=True)
        self._servers, self._groups, self._endpoints = [], [], None
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None


class _StopSignals:
    """Turns the first stop signal into a KeyboardInterrupt and swallows the others, so that nothing breaks a stop."""

    def __init__(self) -> None:
        self._previous: dict[int, object] = {}
        self._ignoring = False

    def install(self) -> None:
        """Take the signals over, if this is the main thread."""
        self._ignoring = False
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._on_signal) for number in STOP_SIGNALS}

    def restore(self) -> None:
        """Give the signals back to who had them."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._previous = {}

    @contextlib.contextmanager
    def ignored(self) -> Iterator[None]:
        """Swallow signals for a while."""
        before, self._ignoring = self._ignoring, True
        try:
            yield
        finally:
            self._ignoring = before

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if not self._ignoring:
            self._ignoring = True
            raise KeyboardInterrupt

"""The supervisor of the local stack: starts its parts, watches them, restarts them, and stops them in order.

It delivers nothing itself: every part is durable on its own, so a stop (or a kill of anything at any moment) followed
by a start goes on where it was. Use it from the main thread, as a context manager, and call ``poll`` about once a
second or rest in ``wait``.
"""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from contracts.errors import StackError
from contracts.settings import Settings
from crmstream.cluster.addresses import Cluster
from crmstream.stack.beat import BEAT_FILE
from crmstream.stack.collector_part import CollectorPort, choose_port, collector_url, wait_for_collector
from crmstream.stack.dataflow import DataflowCommands, ProcessGroup, collector_group, heartbeat_group, worker_group
from crmstream.stack.disk import DiskWatch
from crmstream.stack.endpoints import Endpoints, combine, outside_servers
from crmstream.stack.environment import collector_environment, dataflow_environment
from crmstream.stack.home import Home
from crmstream.stack.ports import LOOPBACK, PortBook
from crmstream.stack.probing import FileBeat, http_answers
from crmstream.stack.process import ChildProcess, stop_all
from crmstream.stack.servers import Servers, describe_servers
from crmstream.stack.signals import StopSignals
from crmstream.stack.watching import PartHealth, Watch

SERVER_STOP_SECONDS = 20.0
POLL_SECONDS = 0.2
READY_SECONDS = 60.0


class LocalStack:
    """All processes of one data folder."""

    def __init__(  # noqa: PLR0913 - one argument for each thing that is handed in
        self,
        settings: Settings,
        *,
        with_dataflow: bool = True,
        prepare: Callable[[Endpoints], None] | None = None,
        on_event: Callable[[str], None] | None = None,
        commands: DataflowCommands | None = None,
        check: Callable[[], None] | None = None,
        look_after: Callable[["LocalStack"], None] | None = None,
        cluster: Cluster | None = None,
    ):
        """Describe the stack; nothing is started.

        Args:
            settings: the settings of the installation. Servers that they name are not started.
            with_dataflow: start workers and heartbeat too.
            prepare: called when the servers are ready and before the dataflow starts (topics, migrations).
            on_event: called with a short sentence whenever something happens.
            commands: the dataflow's command lines, with that of a collector if there shall be one.
            check: called before anything is started; raises what makes a start pointless.
            look_after: called with this stack whenever it has looked after its parts.
            cluster: the workers of several hosts. This stack starts only the workers of its own host, and all
                servers are outside ones.

        """
        self._settings = settings
        self._data_dir = settings.data_dir.resolve()
        self._cluster = cluster
        self._home = Home(cluster.home(self._data_dir) if cluster else self._data_dir)
        self._with_dataflow = with_dataflow
        self._prepare = prepare
        self._check = check
        self._after_poll = look_after
        self._on_event = on_event or (lambda _: None)
        self._commands = commands or DataflowCommands()
        self._with_collector = with_dataflow and bool(self._commands.collector)
        self._watch = Watch(self._on_event)
        self._disk = DiskWatch(self._data_dir, settings, closes=settings.kafka_bootstrap_servers is None)
        self._servers: Servers | None = None
        self._groups: list[ProcessGroup] = []
        self._collector_port: CollectorPort | None = None
        self._endpoints: Endpoints | None = None
        self._health: list[PartHealth] = []
        self._signals = StopSignals()

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
        """Start everything and return when the servers answer.

        Raises:
            StackError: the folder is in use, a port is taken, the disk is full, or a part does not start; its message
                says which.

        """
        if self._check is not None:
            self._check()
        self._home.enter()
        self._watch = Watch(self._on_event)
        self._refuse_a_full_disk()
        ports = self._home.ports()
        self._servers = Servers(describe_servers(self._settings, ports), self._watch, self._disk, self._on_event)
        self._servers.start(self._record)
        metrics_ports = self._dataflow_ports(ports, "metrics")
        self._collector_port = choose_port(ports, self._settings) if self._with_collector else None
        self._endpoints = self._describe(metrics_ports)
        addresses = self._cluster.addresses if self._cluster else self._own_addresses(ports)
        ports.save()
        if self._prepare is not None:
            self._prepare(self._endpoints)
        if self._with_dataflow:
            self._start_dataflow(addresses, metrics_ports)
        self._record()
        self._home.publish(self._endpoints)
        return self._endpoints

    def _refuse_a_full_disk(self) -> None:
        if self._disk.full:
            raise StackError(f"nothing is started: {self._disk.state.text}")
        if news := self._disk.news():
            self._on_event(news)

    def _dataflow_ports(self, ports: PortBook, kind: str) -> dict[int, int]:
        """Return a port for each worker of this host, by index."""
        workers = self._cluster.own if self._cluster else range(self._settings.workers)
        return {index: ports.choose(f"{kind}-{index}") for index in workers if self._with_dataflow}

    def _own_addresses(self, ports: PortBook) -> list[str]:
        return [f"{LOOPBACK}:{port}" for port in self._dataflow_ports(ports, "worker").values()]

    def _describe(self, metrics_ports: Mapping[int, int]) -> Endpoints:
        own = self._servers.endpoints() if self._servers else {}
        metrics = tuple(f"http://127.0.0.1:{port}/metrics" for port in metrics_ports.values())
        place = self._collector_port
        collector = None if place is None else collector_url(place.host, place.port)
        return combine(own | outside_servers(self._settings), metrics, os.getpid(), collector)

    def _start_dataflow(self, addresses: Sequence[str], metrics_ports: Mapping[int, int]) -> None:
        environment = dataflow_environment(self._settings, self.endpoints, addresses)
        log_dir = self._data_dir / "logs"
        self._groups = [worker_group(self._commands, environment, metrics_ports, log_dir, self._on_event)]
        if self._with_heartbeat:
            self._groups.append(heartbeat_group(self._commands, environment, log_dir, self._on_event))
        if self._collector_port is not None:
            own = collector_environment(self._settings, environment, self._collector_port.port)
            self._groups.append(collector_group(self._commands, own, log_dir, self._on_event))
            if self._collector_port.notice:
                self._on_event(self._collector_port.notice)
        for group in self._groups:
            group.start()
        self._watch_dataflow()
        if self.endpoints.collector_url is not None:
            wait_for_collector(self.endpoints.collector_url, self._groups[-1].processes[0])

    def _watch_dataflow(self) -> None:
        workers = self._groups[0].processes
        for process, url in zip(workers, self.endpoints.worker_metrics, strict=True):
            self._watch.add(process.name, process, lambda url=url: http_answers(url))  # type: ignore[misc]
        if self._with_heartbeat:
            heartbeat = self._groups[1].processes[0]
            self._watch.add(heartbeat.name, heartbeat, FileBeat(self._data_dir / BEAT_FILE, heartbeat).answers)
        if self._collector_port is not None:
            collector = self._groups[-1].processes[0]
            self._watch.add(collector.name, collector, lambda: http_answers(f"{self.endpoints.collector_url}/health"))

    @property
    def _with_heartbeat(self) -> bool:
        return self._cluster is None or self._cluster.leads

    def _children(self) -> list[ChildProcess]:
        dataflow = [process for group in self._groups for process in group.processes]
        return [*(self._servers.processes if self._servers else []), *dataflow]

    def _record(self) -> None:
        self._home.record(self._children())

    def poll(self) -> None:
        """Look after the parts once: restart what died, kill what is frozen, say what changed.

        Raises:
            StackError: a worker will not start, or a server or the dataflow dies again and again.

        """
        if news := self._disk.news():
            self._on_event(news)
        before = [process.pid for process in self._children()]
        self._watch.poll()
        if self._servers is not None:
            self._servers.poll()
        hold = self._hold()
        for group in self._groups:
            group.poll(hold)
        self._return_to_port()
        if self._after_poll is not None:
            self._after_poll(self)
        if before != [process.pid for process in self._children()]:
            self._record()
        self._save_health()

    def _hold(self) -> str:
        """Say why a dataflow that died cannot start again now, or nothing."""
        away = self._servers.away() if self._servers else ""
        return away or (self._disk.state.text if self._disk.full else "")

    def _return_to_port(self) -> None:
        place = self._collector_port
        if place is None or self._disk.full or not place.own_port_is_free():
            return
        self._on_event(f"port {place.wanted} is free: the collector goes back to it")
        place.go_back()
        self._groups[-1].restart({"CRM_COLLECTOR_PORT": str(place.port)})
        self._endpoints = dataclasses.replace(self.endpoints, collector_url=collector_url(place.host, place.port))
        self._home.publish(self._endpoints)

    def _save_health(self) -> None:
        health = self._watch.health()
        if health != self._health:
            self._health = health
            self._home.save_health(health)

    def wait_ready(self, timeout_seconds: float = READY_SECONDS) -> list[str]:
        """Look after the parts until all answer; return the names of those that do not within the timeout.

        Raises what ``poll`` raises.
        """
        deadline = time.monotonic() + timeout_seconds
        while (unready := self._watch.unready()) and time.monotonic() < deadline:
            self.poll()
            time.sleep(POLL_SECONDS / 2)
        self._save_health()
        return unready

    def wait(self) -> None:
        """Look after the parts until Ctrl-C or SIGTERM, then return; raises what ``poll`` raises."""
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                self.poll()
                time.sleep(POLL_SECONDS)

    def restart_workers(self, reason: str) -> None:
        """Restart the dataflow's workers after their epoch; servers, heartbeat and collector stay.

        It returns at once; ``poll`` starts them when they have stopped. ``reason`` is a short clause for the user, such
        as "the exchange rates changed". Without running workers it does nothing.
        """
        if self.worker_pids:
            self._on_event(f"restarting the dataflow: {reason}")
            self._groups[0].restart()

    @property
    def restarting(self) -> bool:
        """Whether workers of before still end."""
        return bool(self._groups) and self._groups[0].restarting

    def stop_workers(self) -> None:
        """Stop the dataflow (workers finish their epoch); the servers stay."""
        for group in self._groups:
            group.stop()

    def stop(self) -> None:
        """Stop everything in order: the dataflow, then the servers. Harmless when nothing runs; signals wait."""
        with self._signals.ignored():
            if not self._home.locked:
                return
            self._on_event("stopping")
            self._watch.close()
            self.stop_workers()
            stop_all(self._servers.processes if self._servers else [], SERVER_STOP_SECONDS)
            self._servers, self._groups, self._endpoints, self._collector_port = None, [], None, None
            self._home.leave()

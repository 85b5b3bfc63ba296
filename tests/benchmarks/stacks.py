"""Versions of the code, and stacks that hold a workload for one of them.

A version is a tree of sources. Everything that depends on it (the stack with its tables, the publisher, the dataflow)
runs in processes of its own which have the tree first on their PYTHONPATH; they share this environment's packages.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import clickhouse_connect
import psutil
import redis
from clickhouse_connect.driver import Client

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
RUN_SECONDS: Final = 900
DAILY: Final = "customer_daily"
"""The table that grows with customers and days. All others grow with events."""


@dataclass(frozen=True)
class Version:
    """The code of one commit: its name in tables, and where its sources are."""

    name: str
    tree: Path

    def environment(self, base: dict[str, str]) -> dict[str, str]:
        """An environment in which this version's packages are imported."""
        return base | {"PYTHONPATH": str(self.tree)}


HEAD: Final = Version("dataflow", ROOT)


@contextmanager
def checked_out(commits: Sequence[str]) -> Iterator[list[Version]]:
    """Sources of older commits, each as a git worktree in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="crm-bench-commits-") as name:
        versions = []
        try:
            for commit in commits:
                tree = Path(name) / commit
                _git("worktree", "add", "--detach", str(tree), commit)
                versions.append(Version(f"dataflow at {commit}", tree))
            yield versions
        finally:
            for version in versions:
                _git("worktree", "remove", "--force", str(version.tree))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.strip()}")


class Stack:
    """A running stack of one version with a workload in its log. Made by :func:`loaded_stack`."""

    def __init__(self, version: Version, holder: "subprocess.Popen[str]"):
        self.version = version
        self._holder = holder
        self.facts = self._read()
        self.events: dict[str, int] = self.facts["events"]
        self.total = sum(self.events.values())
        self.environment = version.environment(self.facts["environment"])
        self.redis = redis.Redis.from_url(self.facts["redis_url"], decode_responses=True)
        self.clickhouse = self.new_clickhouse()

    def load(self, rate: float, seconds: float, clock: float | None = None) -> None:
        """Prepare events and send them at a steady rate; return when sending begins.

        With ``clock`` (Unix seconds) they happen from that time on, and ticks move all partitions there.
        """
        assert self._holder.stdin is not None
        self._holder.stdin.write(f"load {rate} {seconds}{'' if clock is None else f' {clock}'}\n")
        self._holder.stdin.flush()
        self._read()

    def loaded(self) -> dict[str, Any]:
        """Wait until the load is over; return what was sent and when each probe was."""
        return self._read()

    def empty(self) -> None:
        """Remove what an earlier pass left: rows, hashes, state."""
        for table in self.facts["tables"]:
            self.clickhouse.command("TRUNCATE TABLE {table:Identifier}", parameters={"table": table})
        self.redis.flushdb()
        recovery = Path(self.facts["data_dir"]) / "recovery"
        if recovery.exists():
            recovery.rename(recovery.with_name(f"recovery-{len(list(recovery.parent.iterdir()))}"))

    def new_clickhouse(self) -> Client:
        """Return a client of its own for a thread."""
        return clickhouse_connect.get_client(
            dsn=self.facts["clickhouse_url"], database=self.facts["database"], autogenerate_session_id=False
        )

    def stored(self) -> dict[str, int]:
        """How many rows each table has, and how many hashes there are."""
        rows = {}
        for table in self.facts["tables"]:
            query = "SELECT count() FROM {table:Identifier} FINAL"
            rows[table] = int(self.clickhouse.query(query, parameters={"table": table}).result_rows[0][0])
        return rows | {"hashes": int(self.redis.dbsize())}

    def store_bytes(self) -> dict[str, int]:
        """Bytes of the log and of ClickHouse's tables on the disk, and of Redis in memory."""
        segments = (Path(self.facts["data_dir"]) / "kafka").rglob("*.log")
        tables = "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = {of:String} GROUP BY 1"
        sizes = dict(self.clickhouse.query(tables, parameters={"of": self.facts["database"]}).result_rows)
        return {
            "log": sum(path.stat().st_blocks * 512 for path in segments if "__" not in path.parent.name),
            "per_event": sum(size for table, size in sizes.items() if table != DAILY),
            DAILY: sizes.get(DAILY, 0), "redis": int(self.redis.info("memory")["used_memory"]),
        }  # fmt: skip

    def servers_cpu(self) -> dict[str, float]:
        """CPU seconds of the servers so far, by name."""
        seconds: dict[str, float] = {}
        for process in psutil.Process(self._holder.pid).children(recursive=True):
            name = server_name(process.cmdline())
            seconds[name] = seconds.get(name, 0.0) + cpu_seconds(process)
        return seconds

    def start(self, program: str, *arguments: str) -> "subprocess.Popen[str]":
        """Start a program of this folder with this version's code, its input and output as pipes."""
        return _popen([sys.executable, str(HERE / program), *arguments], self.environment)

    def _read(self) -> dict[str, Any]:
        return read_json(self._holder)


def ordinary() -> dict[str, str]:
    """This program's environment without the settings of an installation."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}


@contextmanager
def loaded_stack(version: Version, workload: str) -> Iterator[Stack]:
    """A throw-away local stack of a version whose log holds the workload."""
    holder = _popen([sys.executable, str(HERE / "stack_holder.py"), workload], version.environment(ordinary()))
    try:
        yield Stack(version, holder)
    finally:
        end(holder)


def end(process: "subprocess.Popen[str]") -> str:
    """Close a program's input, wait until it has ended and return what it printed last."""
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    said, _ = process.communicate(timeout=RUN_SECONDS)
    return said


def read_json(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """One line of JSON that a program prints. Raises RuntimeError with its errors if it ends or hangs instead."""
    assert process.stdout is not None
    hanging = threading.Timer(RUN_SECONDS, process.kill)
    hanging.start()
    try:
        line = process.stdout.readline()
    finally:
        hanging.cancel()
    if not line:
        process.wait()
        raise RuntimeError(f"{process.args!r} failed:\n{_errors(process)}")
    figures: dict[str, Any] = json.loads(line)
    return figures


def _popen(command: Sequence[str], environment: dict[str, str]) -> "subprocess.Popen[str]":
    """Start a program with pipes, in a session of its own as in an installation: the kernel may share out the cores by
    session.
    """
    errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read when the program has failed
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        start_new_session=True,
    )  # fmt: skip
    _ERRORS[process.pid] = errors
    return process


_ERRORS: Final[dict[int, IO[str]]] = {}


def _errors(process: "subprocess.Popen[str]") -> str:
    errors = _ERRORS[process.pid]
    errors.seek(0)
    return errors.read()[-3_000:]


def server_name(command: Sequence[str]) -> str:
    """Which server a process is, by its command line."""
    line = " ".join(command)
    names = {"java": "Kafka", "clickhouse": "ClickHouse", "valkey": "Redis", "redis": "Redis"}
    return next((name for part, name in names.items() if part in line), "other")


def cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)

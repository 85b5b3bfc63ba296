"""Ports: configured ones must be free, others are those of the previous run where they still are free."""

import json
import socket
from pathlib import Path

import psutil

from contracts.errors import StackError

LOOPBACK = "127.0.0.1"


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Return whether a server could listen on the port of the host's interface now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def process_on(port: int) -> psutil.Process | None:
    """Return the process that listens on the port, as far as this user may know."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return None
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
            try:
                return psutil.Process(connection.pid)
            except psutil.Error:
                return None
    return None


def owner_of(port: int) -> str | None:
    """Return "program (process id)" of the process that listens on the port, as far as this user may know."""
    process = process_on(port)
    if process is None:
        return None
    try:
        return f"{process.name()} (process {process.pid})"
    except psutil.Error:
        return f"process {process.pid}"


class PortBook:
    """The ports of one data folder, remembered in a JSON file from run to run."""

    def __init__(self, path: Path):
        self._path = path
        self._previous = _read(path)
        self._chosen: dict[str, int] = {}

    def choose(self, name: str, configured: int = 0, setting: str = "") -> int:
        """Return the port for the part: the configured one, else the previous run's, else a free one.

        Raises:
            StackError: the configured port is taken; the message names it, its setting and who has it.

        """
        if configured and not is_free(configured):
            owner = owner_of(configured)
            raise StackError(
                f"port {configured} ({setting}) is taken{f' by {owner}' if owner else ''}: "
                f"stop that program, or set {setting} to another port (0 takes a free one)",
                port=configured,
            )
        return self.take(name, configured or self._unconfigured(name))

    def take(self, name: str, port: int) -> int:
        """Note that the part has the port, and return it."""
        self._chosen[name] = port
        return port

    def _unconfigured(self, name: str) -> int:
        taken = set(self._chosen.values())
        wanted = self._previous.get(name, 0)
        if wanted and wanted not in taken and is_free(wanted):
            return wanted
        reserved = taken | set(self._previous.values())
        while (port := free_port()) in reserved:
            pass
        return port

    def save(self) -> None:
        """Remember the chosen ports for the next run."""
        fresh = self._path.with_suffix(".new")
        fresh.write_text(json.dumps(self._previous | self._chosen), encoding="utf-8")
        fresh.replace(self._path)


def _read(path: Path) -> dict[str, int]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): int(port) for name, port in found.items()} if isinstance(found, dict) else {}

"""The collector as a part of the local stack: its port, its address, and when it listens."""

import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from contracts.settings import Settings
from crmstream.stack.ports import PortBook, is_free, owner_of, process_on
from crmstream.stack.process import ChildProcess

DEFAULT_PORT = 8080
"""The port of a collector that no setting names; SDKs are given it once and for all."""
START_SECONDS = 20.0
RETURN_SECONDS = 5.0
"""How often a collector on a substitute asks for its own port."""
_NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - they are replaced
_LOOK_SECONDS = 0.05


@dataclass
class CollectorPort:
    """The port on which the stack's collector listens, and the one where it should."""

    port: int
    host: str
    wanted: int | None = None
    """Its own port, if it has a substitute now."""
    returns: bool = True
    """Whether it goes back to its own port by itself."""
    taken_by: str | None = None
    _asked_at: float = 0.0

    @property
    def notice(self) -> str | None:
        """What a person must know about a substitute, or None."""
        if self.wanted is None:
            return None
        then = (
            f"the collector goes back to {self.wanted} as soon as it is free" if self.returns
            else "give this stack a port of its own by CRM_COLLECTOR_PORT"
        )  # fmt: skip
        by = f" by {self.taken_by}" if self.taken_by else ""
        return (
            f"PORT {self.wanted} IS TAKEN{by}: the collector listens on port {self.port} "
            f"instead. SDKs that are configured for port {self.wanted} do not reach it; {then}"
        )

    def own_port_is_free(self) -> bool:
        """Whether the collector can go back now; looks every few seconds."""
        if self.wanted is None or not self.returns or time.monotonic() - self._asked_at < RETURN_SECONDS:
            return False
        self._asked_at = time.monotonic()
        return is_free(self.wanted, self.host)

    def go_back(self) -> None:
        """Take the own port again."""
        if self.wanted is not None:
            self.port, self.wanted = self.wanted, None


def choose_port(ports: PortBook, settings: Settings) -> CollectorPort:
    """Return the port of the stack's collector; raises a StackError when the one that is set is taken.

    Without a setting it is 8080 or, while that is taken, a substitute. Two stacks may run side by side: a port that
    another stack's collector has is left to it for good, else its SDKs would end up here while it restarts.
    """
    host = settings.collector_host
    if settings.collector_port is not None:
        return CollectorPort(ports.choose("collector", settings.collector_port, "CRM_COLLECTOR_PORT"), host)
    if is_free(DEFAULT_PORT, host):
        return CollectorPort(ports.take("collector", DEFAULT_PORT), host)
    owner = process_on(DEFAULT_PORT)
    others = owner is not None and _is_collector(owner)
    taken_by = "another crmstream stack" if others else owner_of(DEFAULT_PORT)
    return CollectorPort(ports.choose("collector"), host, DEFAULT_PORT, returns=not others, taken_by=taken_by)


def _is_collector(process: psutil.Process) -> bool:
    try:
        return "crmstream.collector" in process.cmdline()
    except psutil.Error:
        return False


def collector_url(host: str, port: int) -> str:
    """Return the address of a collector, as one on this machine calls it."""
    near = _NEAR.get(host, host)
    return f"http://{f'[{near}]' if ':' in near else near}:{port}"


def wait_for_collector(url: str, process: ChildProcess) -> None:
    """Wait until it listens, or has died: the supervisor says so then."""
    place = urlsplit(url)
    deadline = time.monotonic() + START_SECONDS
    while process.alive and time.monotonic() < deadline:
        try:
            socket.create_connection((place.hostname or "", place.port or 0), timeout=1).close()
        except OSError:
            time.sleep(_LOOK_SECONDS)
        else:
            return

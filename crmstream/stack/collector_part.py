"""The collector as a part of the local stack: its port, its address, and when it listens."""

import socket
import time
from urllib.parse import urlsplit

from contracts.settings import Settings
from crmstream.stack.ports import PortBook
from crmstream.stack.process import ChildProcess

DEFAULT_PORT = 8080
"""The port of a collector that no setting names; SDKs are given it once and for all."""
START_SECONDS = 20.0
_NEAR = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - they are replaced
_LOOK_SECONDS = 0.05


def choose_port(ports: PortBook, settings: Settings) -> int:
    """Return the port of the stack's collector; raises a StackError when the one that is set is taken."""
    return ports.choose("collector", settings.collector_port or 0, "CRM_COLLECTOR_PORT", _preferred(settings))


def _preferred(settings: Settings) -> int:
    return DEFAULT_PORT if settings.collector_port is None else 0


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

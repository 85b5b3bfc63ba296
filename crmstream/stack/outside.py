"""Check the servers that settings name before anything is started: within five seconds, all at once.

A message has the setting, the address without user and password, what is wrong, and what to do.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from contracts.errors import SettingsError
from contracts.settings import Settings
from crmstream.stack.endpoints import SETTING_NAMES, outside_servers

MOST_SECONDS: Final = 4.5
CONNECT_SECONDS: Final = 2.0
TITLES: Final = {"kafka": "Kafka", "clickhouse_url": "ClickHouse", "redis_url": "Redis"}


class Unusable(Exception):  # noqa: N818 - it is a finding, and becomes part of an error
    """What is wrong with a server, as the rest of a sentence that begins with its name."""


def reach(host: str, port: int) -> None:
    """Make sure that something listens there; raises :class:`Unusable`."""
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except socket.gaierror:
        raise Unusable(f"cannot be found: the host name {host} is unknown") from None
    except ConnectionRefusedError:
        raise Unusable("refuses connections: nothing listens there") from None
    except TimeoutError:
        raise Unusable("does not answer: is it the right host, and does a firewall let it through?") from None
    except (OSError, UnicodeError, OverflowError) as error:
        raise Unusable(f"cannot be reached: {getattr(error, 'strerror', None) or 'the address is wrong'}") from None


def check_outside(settings: Settings, only: Iterable[str] = SETTING_NAMES) -> None:
    """Check every server that the settings name; ``only`` are fields of Endpoints.

    Raises:
        SettingsError: a server cannot be used; the message has one line for each such server.

    """
    wanted = set(only)
    named = {name: address for name, address in outside_servers(settings).items() if name in wanted}
    if problems := find_problems(named):
        raise SettingsError("\n".join(problems))


def find_problems(named: Mapping[str, str]) -> list[str]:
    """Check all at once; return a line for each server that cannot be used."""
    from crmstream.stack import outside_clickhouse, outside_kafka, outside_redis  # noqa: PLC0415 - only if needed

    checks: dict[str, Callable[[str], None]] = {
        "kafka": outside_kafka.check,
        "clickhouse_url": outside_clickhouse.check,
        "redis_url": outside_redis.check,
    }
    found: dict[str, str | None] = dict.fromkeys(named, f"did not answer within {MOST_SECONDS:g} s")
    threads = [
        threading.Thread(target=_check, args=(checks[name], address, name, found), daemon=True)
        for name, address in named.items()
    ]
    deadline = time.monotonic() + MOST_SECONDS
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [
        f"{SETTING_NAMES[name]}: {TITLES[name]} at {without_password(named[name])} {problem}"
        for name, problem in found.items() if problem
    ]  # fmt: skip


def _check(check: Callable[[str], None], address: str, name: str, found: dict[str, str | None]) -> None:
    """Note what is wrong, or that nothing is."""
    try:
        check(address)
        found[name] = None
    except Unusable as problem:
        found[name] = str(problem)
    except Exception as error:  # noqa: BLE001 - its text may hold the password
        found[name] = f"cannot be used ({type(error).__name__})"


def without_password(address: str) -> str:
    """Return the host and port of an address, without user, password and path."""
    rest = address.rpartition("://")[2]
    return rest.rpartition("@")[2].partition("/")[0].partition("?")[0] or "an empty address"

"""The addresses of a cluster's workers, and which of them are this host's.

Workers exchange pickled batches, so whoever reaches such a port can run code as the worker's user. A worker therefore
listens on the very address that is named here, and never on all addresses of its host.
"""

import ipaddress
import socket
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from contracts.errors import SettingsError

SETTING: Final = "CRM_CLUSTER_ADDRESSES"
INDEX_SETTING: Final = "CRM_CLUSTER_INDEX"
HOSTS: Final = "hosts"
"""The folder of the hosts' own files in the data folder."""
Resolve = Callable[[str], str]


@dataclass(frozen=True)
class Cluster:
    """The workers of a dataflow by their index, and those that run on this host."""

    addresses: tuple[str, ...]
    """``host:port`` of each worker. Addresses of this host have the number of their network interface."""
    own: tuple[int, ...]

    @property
    def leads(self) -> bool:
        """Whether worker 0 runs here: its host prepares topics, tables and state, and runs the heartbeat."""
        return 0 in self.own

    def home(self, data_dir: Path) -> Path:
        """Return where this host's supervisor keeps its own files in the shared data folder."""
        return data_dir if self.leads else data_dir / HOSTS / f"worker-{self.own[0]}"


def describe_cluster(addresses: str, index: str | None = None) -> Cluster:
    """Return the cluster at ``addresses`` (``host:port,host:port,...``).

    ``index`` names the workers of this host, with commas; unset, they are those whose address this host has.

    Raises:
        SettingsError: an address is not usable, or no worker runs on this host.

    """
    return plan_cluster(parse_addresses(addresses), index, resolved, own_addresses())


def parse_addresses(text: str) -> tuple[tuple[str, int], ...]:
    """Return host and port of each address; raises :class:`SettingsError`."""
    places = tuple(_parse(part.strip()) for part in text.split(",") if part.strip())
    if len(places) < 2:
        raise SettingsError(f"{SETTING} needs the addresses of two or more workers; `crmstream up` runs one host alone")
    if len(set(places)) < len(places):
        raise SettingsError(f"{SETTING}: two workers have the same address")
    return places


def plan_cluster(
    places: Sequence[tuple[str, int]], index: str | None, resolve: Resolve, here: Collection[str]
) -> Cluster:
    """Find this host's workers among ``places``; ``here`` are the addresses of this host. Pure.

    Raises :class:`SettingsError`.
    """
    numbers = [resolve(host) for host, _ in places]
    for (host, _), number in zip(places, numbers, strict=True):
        if number and ipaddress.ip_address(number).is_unspecified:
            raise SettingsError(
                f"{SETTING}: {host} means all addresses of a host. Name the one of the cluster's private network: "
                "whoever reaches a worker's port can run code there."
            )
    loopback = [bool(number) and ipaddress.ip_address(number).is_loopback for number in numbers]
    if any(loopback) and not all(loopback):
        host = places[loopback.index(True)][0]
        raise SettingsError(
            f"{SETTING}: {host} is a loopback address here, which other hosts do not reach (see /etc/hosts). Name the "
            "address of the cluster's network."
        )
    own = _chosen(index, len(places)) if index else tuple(at for at, number in enumerate(numbers) if number in here)
    if not own:
        raise SettingsError(f"{SETTING}: none of the addresses is one of this host ({', '.join(sorted(here))})")
    for at in own:
        if numbers[at] not in here:
            raise SettingsError(
                f"{INDEX_SETTING}: worker {at} has the address {_written(*places[at])}, which is not one of this host "
                f"({', '.join(sorted(here))})"
            )
    return Cluster(
        tuple(_written(numbers[at] if at in own else host, port) for at, (host, port) in enumerate(places)), own
    )


def place_of(address: str) -> tuple[str, int]:
    """Return host and port of one address."""
    return _parse(address)


def resolved(host: str) -> str:
    """Return the number of a host's address; empty where its name is unknown now: it may be known later."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]).partition("%")[0]
    except OSError:
        return ""


def own_addresses() -> set[str]:
    """Return the numbers of all addresses of this host."""
    kinds = {socket.AF_INET, socket.AF_INET6}
    interfaces = psutil.net_if_addrs().values()
    return {each.address.partition("%")[0] for interface in interfaces for each in interface if each.family in kinds}


def _chosen(index: str, workers: int) -> tuple[int, ...]:
    numbers = [part.strip() for part in index.split(",")]
    if not all(part.isdecimal() and int(part) < workers for part in numbers):
        raise SettingsError(f"{INDEX_SETTING} ({index}) must name workers from 0 to {workers - 1}, with commas")
    return tuple(sorted({int(part) for part in numbers}))


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise SettingsError(f"{SETTING}: {address!r} is not host:port")
    return host, int(port)


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

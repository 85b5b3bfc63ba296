"""One dataflow on several hosts (network namespaces): a host dies, a link is cut, and the results stay the same."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from socket import inet_ntoa
from urllib.parse import urlsplit

import psutil
from support.flow import Flow, Log, NewSettings, wait_until
from support.history import EVEN_SLOWER
from support.hosts import Host, Network
from support.tables import Written, differences, read_written

from contracts.settings import Settings
from crmstream.cluster.companions import MOST_SILENT_SECONDS
from crmstream.stack.endpoints import Endpoints

PORT = 7000
LISTENS = "0A"


def ports_of(servers: Endpoints) -> list[int]:
    urls = (f"kafka://{servers.kafka}", servers.clickhouse_url, servers.redis_url)
    return [port for port in (urlsplit(url).port for url in urls) if port]


def listening(host: Host) -> set[str]:
    """The addresses at which something listens in a host's network."""
    rows = [line.split() for line in Path(f"/proc/{host.pid}/net/tcp").read_text().splitlines()[1:]]
    numbers = [row[1].partition(":")[0] for row in rows if row[3] == LISTENS]
    return {inet_ntoa(bytes.fromhex(number)[::-1]) for number in numbers}


def recovery_files(host: Host) -> set[str]:
    """The SQLite files that a host has open: no two hosts may share one, for they share no memory."""
    processes = psutil.Process(host.pid).children(recursive=True)
    return {file.path for process in processes for file in process.open_files() if ".sqlite3" in file.path}


def test_a_host_that_is_killed_and_brought_back_changes_nothing(
    undisturbed: Written, log: Log, new_settings: NewSettings, servers: Endpoints, tmp_path: Path
) -> None:
    with Network(2, ports_of(servers)) as network:
        first, second = network.hosts
        addresses = f"{first.address}:{PORT},{second.address}:{PORT}"
        settings = new_settings(cluster_addresses=addresses, **EVEN_SLOWER)
        log.forget_progress()

        def start(host: Host, settings: Settings = settings) -> None:
            host.start(Flow(settings).environment, tmp_path / f"{host.name}.out")

        def told(host: Host, what: str, times: int = 1) -> None:
            def seen() -> bool:
                assert host.alive, host.told()
                return len(re.findall(what, host.told())) >= times

            wait_until(seen, f"{host.name} says {what}: {first.told()}{second.told()}")

        start(first)
        told(first, re.escape(f"worker 0 waits for {second.address}:{PORT} (worker 1)"))
        assert listening(first) == {"127.0.0.1", first.address}  # metrics, and the cluster's port
        start(second)
        told(first, "all workers are there")
        wait_until(lambda: log.progress() > 0, "a part of the log is done")
        assert not recovery_files(first) & recovery_files(second)
        first.kill()
        assert log.progress() < 1
        told(second, re.escape(f"worker 1 waits for {first.address}:{PORT} (worker 0)"))
        start(first)
        wait_until(log.drained, "the log is drained", 120)
        assert [host.stop() for host in (second, first)] == [0, 0]
        assert "died" not in first.told() + second.told(), "a host that stops is no failure of the others"
    assert differences(undisturbed, read_written(settings)) == []


def test_a_link_that_is_cut_between_two_hosts_is_noticed_by_all(
    undisturbed: Written, log: Log, new_settings: NewSettings, servers: Endpoints, tmp_path: Path
) -> None:
    """Neither of the two runs worker 0, which still hears both."""
    with Network(3, ports_of(servers)) as network:
        hosts = network.hosts
        addresses = ",".join(f"{host.address}:{PORT}" for host in hosts)
        settings = new_settings(cluster_addresses=addresses, **EVEN_SLOWER)
        log.forget_progress()
        for host in hosts:
            host.start(Flow(settings).environment, tmp_path / f"{host.name}.out")

        def everything() -> str:
            return "".join(host.told() for host in hosts)

        def until(condition: Callable[[], bool], what: str) -> None:
            def seen() -> bool:
                assert all(host.alive for host in hosts), everything()
                return condition()

            wait_until(seen, f"{what}: {everything()}", 60)

        until(lambda: log.progress() > 0, "a part of the log is done")
        network.cut(hosts[1], hosts[2])
        cut_at = time.monotonic()
        gone = "a worker of another host has gone"
        until(lambda: all(gone in host.told() for host in hosts), "all have noticed")
        assert time.monotonic() - cut_at < MOST_SILENT_SECONDS + 10
        assert log.progress() < 1
        first, second = (f"{host.address}:{PORT} (worker {at})" for at, host in enumerate(hosts) if at)
        missing = f"worker 0 waits for a connection between {first} and {second}"
        until(lambda: missing in hosts[0].told(), "worker 0 says which link is missing")
        network.mend(hosts[1], hosts[2])
        until(log.drained, "the log is drained")
        assert [host.stop() for host in reversed(hosts)] == [0, 0, 0]
        assert "died" not in everything()
    assert differences(undisturbed, read_written(settings)) == []

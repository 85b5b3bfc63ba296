"""One dataflow on two hosts (network namespaces): one is killed and brought back, and the results stay the same."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from support.flow import Flow, Log, NewSettings, wait_until
from support.history import SLOWLY
from support.hosts import Host, Network
from support.tables import Written, differences, read_written

from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints

PORT = 7000


def ports_of(servers: Endpoints) -> list[int]:
    urls = (f"kafka://{servers.kafka}", servers.clickhouse_url, servers.redis_url)
    return [port for port in (urlsplit(url).port for url in urls) if port]


def listening(host: Host) -> set[str]:
    """The addresses at which the workers' processes of a host listen."""
    assert host.pid
    processes = psutil.Process(host.pid).children(recursive=True)
    return {
        each.laddr.ip for process in processes for each in process.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN
    }  # fmt: skip


def test_a_host_that_is_killed_and_brought_back_changes_nothing(
    undisturbed: Written, log: Log, new_settings: NewSettings, servers: Endpoints, tmp_path: Path
) -> None:
    with Network(2, ports_of(servers)) as network:
        first, second = network.hosts
        addresses = f"{first.address}:{PORT},{second.address}:{PORT}"
        settings = new_settings(cluster_addresses=addresses, **SLOWLY)
        log.forget_progress()

        def start(host: Host, settings: Settings = settings) -> None:
            host.start(Flow(settings).environment, tmp_path / f"{host.name}.out")

        def told(host: Host, what: str, times: int = 1) -> None:
            def seen() -> bool:
                assert all(each.alive for each in (first, second) if each.output.is_file()), first.told() + second.told()
                return len(re.findall(what, host.told())) >= times

            wait_until(seen, f"{host.name} says {what}: {first.told()}{second.told()}")

        start(first)
        told(first, re.escape(f"worker 0 waits for {second.address}:{PORT} (worker 1)"))
        start(second)
        told(first, "all workers are there")
        wait_until(lambda: log.progress() > 0.2, "a fifth of the log is done")
        assert listening(first) <= {"127.0.0.1", first.address}
        second.kill()
        assert log.progress() < 1
        told(first, re.escape(f"worker 0 waits for {second.address}:{PORT} (worker 1)"), 2)
        start(second)
        wait_until(lambda: log.progress() > 0.6, "most of the log is done")
        first.kill()
        assert log.progress() < 1
        told(second, re.escape(f"worker 1 waits for {first.address}:{PORT} (worker 0)"))
        start(first)
        wait_until(log.drained, "the log is drained", 120)
        assert second.stop() == 0
        told_at_end = first.told()
        assert first.stop() == 0
        assert "Stopped." in first.told(), told_at_end
    assert differences(undisturbed, read_written(settings)) == []

"""`crmstream status` on any host says which lane of which host waits for which, and how old that is."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.flow import CRMSTREAM, Flow, NewSettings, wait_until
from support.history import PARTITIONS
from support.hosts import Host, Network
from support.stalled import publish_stalled

from connectors.kafka.topics import ensure_topics
from contracts.settings import Settings
from crmstream.observe.lanes import STALE_SECONDS
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.supervisor import LocalStack

MOST_WAITING, BATCH = 100, 20


@pytest.fixture
def stalled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Servers with the log in which lane 0 stands still."""
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    settings = Settings(data_dir=tmp_path_factory.mktemp("stalled"), **unset)  # type: ignore[arg-type]
    with LocalStack(settings, with_dataflow=False) as running:
        ensure_topics(running.endpoints.kafka, PARTITIONS)
        publish_stalled(running.endpoints.kafka)
        yield running.endpoints


def test_status_of_each_host_shows_the_lanes_of_all(
    stalled: Endpoints, new_settings: NewSettings, tmp_path: Path
) -> None:
    urls = (f"kafka://{stalled.kafka}", stalled.clickhouse_url, stalled.redis_url)
    with Network(2, [port for port in (urlsplit(url).port for url in urls) if port]) as network:
        hosts = network.hosts
        settings = new_settings(
            kafka_bootstrap_servers=stalled.kafka, clickhouse_url=stalled.clickhouse_url, redis_url=stalled.redis_url,
            cluster_addresses=",".join(f"{host.address}:7000" for host in hosts), epoch_seconds=0.3,
            max_batch_events=BATCH, most_waiting_events=MOST_WAITING, replay_epoch_days=3_650,
            dead_letter_breaker="50%", dead_letter_breaker_records=40,
        )  # fmt: skip
        environment = Flow(settings).environment
        for host in hosts:
            host.start(environment, tmp_path / f"{host.name}.out")

        def status(host: Host, *options: str) -> str:
            words = [*host.inside, CRMSTREAM, "status", *options]
            return subprocess.run(
                words, env=environment, capture_output=True, text=True, timeout=60, check=False
            ).stdout

        def shown(host: Host) -> dict[str, Any]:
            found: dict[str, Any] = json.loads(status(host, "--json"))
            return found

        def soon(host: Host, what: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
            seen: dict[str, Any] = {}

            def holds() -> bool:
                assert all(each.alive for each in hosts if each is not gone), "".join(each.told() for each in hosts)
                seen.update(shown(host))
                return condition(seen)

            wait_until(holds, what)
            return seen

        gone: Host | None = None
        for host in hosts:
            seen = soon(host, "lane 1 waits for lane 0", lambda seen: lanes(seen).get(1, {}).get("waits_for") == 0)
            assert sorted(lanes(seen)) == list(range(PARTITIONS))
            zero, one = lanes(seen)[0], lanes(seen)[1]
            assert zero["worker"] != one["worker"], "on two hosts"
            assert zero["paused"] == ["crm-web-events"]
            assert one["waiting_events"] >= MOST_WAITING
            assert one["behind_seconds"] > 0
            assert all(lane["age_seconds"] <= STALE_SECONDS for lane in seen["lanes"])
            assert all(parts(seen)[worker]["up"] for worker in ("worker 0", "worker 1"))
            text = " ".join(status(host).split())
            assert "waits for lane 0" in text
            assert f"at {hosts[1].address}:7000" in text
        gone, left = hosts[1], hosts[0]
        gone.kill()
        seen = soon(left, "the other host is gone", lambda seen: not parts(seen)["worker 1"]["up"])
        assert "no sign of life for" in parts(seen)["worker 1"]["detail"]
        waits = f"waits for {gone.address}:7000 (worker 1)"
        seen = soon(left, "the other one waits", lambda seen: waits in parts(seen)["worker 0"]["detail"])
        old = [lane for lane in seen["lanes"] if lane["worker"] == 1]
        assert old
        assert all(lane["age_seconds"] > STALE_SECONDS for lane in old)


def lanes(seen: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {lane["partition"]: lane for lane in seen["lanes"]}


def parts(seen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in seen["parts"]}

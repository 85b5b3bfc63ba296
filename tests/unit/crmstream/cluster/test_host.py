"""What a host of a cluster needs, tells, and compares with the others."""

from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from contracts.errors import SettingsError
from contracts.settings import Settings
from crmstream.cli import app
from crmstream.cluster.addresses import Cluster
from crmstream.cluster.host import WaitingNotices, cluster_host
from crmstream.cluster.taking_part import TakingPart, facts_of, waits_file

CLUSTER = Cluster(("10.0.0.1:7000", "10.0.0.2:7000"), (1,))


def refusal(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    return result.stderr


def test_servers_must_be_ones_that_all_hosts_reach(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, kafka_bootstrap_servers="kafka:9092", clickhouse_url=None, redis_url=None)
    with pytest.raises(SettingsError, match="set CRM_CLICKHOUSE_URL, CRM_REDIS_URL"):
        cluster_host(settings, CLUSTER, print)


def test_what_a_worker_waits_for_is_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    settings = Settings(data_dir=tmp_path)
    notices = WaitingNotices(settings, CLUSTER, told.append)
    notices.look()
    assert told == []
    part = TakingPart(settings, 1, CLUSTER.addresses)
    for _ in range(2):
        part._waits("10.0.0.1:7000 (worker 0)")
        notices.look()
    part._waits("")
    notices.look()
    notices.look()
    assert told == ["worker 1 waits for 10.0.0.1:7000 (worker 0)", "worker 1: all workers are there"]


def test_a_notice_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    TakingPart(settings, 1, CLUSTER.addresses)._waits("somebody")
    TakingPart(settings, 1, CLUSTER.addresses)._waits("")
    assert not waits_file(tmp_path, 1).exists()


def test_what_must_be_equal_has_no_secrets_and_nothing_of_a_host(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url=SecretStr("redis://:secret@redis/0"), cluster_addresses="a:1,b:1")
    facts = facts_of(settings)
    assert {"CRM_BUCKETS", "CRM_OUTCOMES", "CRM_WORKERS", "CRM_EPOCH_SECONDS", "the version of crmstream"} < set(facts)
    assert "secret" not in str(facts)
    assert not {"CRM_DATA_DIR", "CRM_CLUSTER_ADDRESSES", "CRM_COLLECTOR_PORT", "CRM_LOG_LEVEL"} & set(facts)
    other = settings.model_copy(update={"data_dir": tmp_path / "x", "log_level": "DEBUG", "collector_port": 1})
    assert facts_of(other) == facts
    assert facts_of(settings.model_copy(update={"sweep_hours": 12})) != facts


def test_a_worker_needs_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRM_CLUSTER_ADDRESSES", raising=False)
    assert "--addresses or CRM_CLUSTER_ADDRESSES" in refusal("worker")


def test_a_cluster_has_at_most_a_worker_per_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PARTITIONS", "2")
    monkeypatch.setenv("CRM_WORKERS", "1")
    addresses = ",".join(f"127.0.0.1:{7000 + at}" for at in range(3))
    assert "CRM_WORKERS (3) must not exceed CRM_PARTITIONS (2)" in refusal("worker", "--addresses", addresses)


def test_up_leaves_a_cluster_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_CLUSTER_ADDRESSES", "a:7000,b:7000")
    assert "run `crmstream worker` on each of its hosts" in refusal("up")

"""The settings survive the way into a child's environment."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.outcomes import Outcome
from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.environment import collector_environment, dataflow_environment, ordinary_environment

KEY = 'k' * 32
ENDPOINTS = Endpoints("127.0.0.1:1", "http://127.0.0.1:2", "redis://127.0.0.1:3/0", (), 1)


def test_a_worker_reads_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = Settings().outcomes[0].model_copy(update={"name": "loyalty"})
    settings = Settings(
        data_dir=tmp_path, workers=2, epoch_seconds=0.25, outcomes=(outcome,), exchange_rates={"EUR": 1.1}
    )
    environment = dataflow_environment(settings, ENDPOINTS, ["127.0.0.1:11", "127.0.0.1:12"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = Settings()
    assert read.kafka_bootstrap_servers == ENDPOINTS.kafka
    assert read.redis_url is not None
    assert read.redis_url.get_secret_value() == ENDPOINTS.redis_url
    servers = ("kafka_bootstrap_servers", "clickhouse_url", "redis_url")
    assert read.model_copy(update=dict.fromkeys(servers)) == settings
    assert isinstance(read.outcomes[0], Outcome)


def test_addresses_and_stale_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_OLD_SETTING", "x")
    monkeypatch.setenv("BYTEWAX_DATAFLOW_API_PORT", "1")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    environment = dataflow_environment(Settings(data_dir=tmp_path), ENDPOINTS, ["127.0.0.1:11", "127.0.0.1:12"])
    assert environment["CRM_WORKER_ADDRESSES"] == "127.0.0.1:11;127.0.0.1:12"
    assert environment["LC_ALL"] == "C.UTF-8"
    assert environment["ARROW_DEFAULT_MEMORY_POOL"] == "system"
    assert int(environment["MALLOC_TRIM_THRESHOLD_"]) > int(environment["MALLOC_MMAP_THRESHOLD_"])
    assert not {"CRM_OLD_SETTING", "BYTEWAX_DATAFLOW_API_PORT"} & environment.keys()


def test_only_the_collector_is_given_the_secrets_of_webhooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_SECRET", "s3cret")
    workers = dataflow_environment(Settings(data_dir=tmp_path), ENDPOINTS, ["127.0.0.1:11"])
    collector = collector_environment(Settings(data_dir=tmp_path), workers, 81)
    assert "SHOP_SECRET" not in workers | ordinary_environment()
    assert collector["SHOP_SECRET"] == "s3cret"


def test_only_the_collector_is_given_the_key_of_protected_fields(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, privacy_key=SecretStr(KEY))
    workers = dataflow_environment(settings, ENDPOINTS, ["127.0.0.1:11"])
    collector = collector_environment(settings, workers, 81)
    assert "CRM_PRIVACY_KEY" not in workers
    assert (collector["CRM_PRIVACY_KEY"], collector["CRM_COLLECTOR_PORT"]) == (KEY, "81")
    without = collector_environment(Settings(data_dir=tmp_path), workers, 81)
    assert "CRM_PRIVACY_KEY" not in without

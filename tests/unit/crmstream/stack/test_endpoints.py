"""Where the servers are."""

import os
import stat
from pathlib import Path

import pytest

from contracts.errors import StackError
from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints, remove_endpoints, resolve_endpoints, running_stack, save_endpoints

OUTSIDE = {
    "kafka_bootstrap_servers": "broker:9092",
    "clickhouse_url": "http://user:secret@store:8123",
    "redis_url": "redis://:secret@cache:6379/0",
}
COLLECTOR = "http://127.0.0.1:5"
METRICS = ("http://127.0.0.1:4/metrics",)
LOCAL = Endpoints("127.0.0.1:1", "http://127.0.0.1:2", "redis://127.0.0.1:3/0", METRICS, os.getpid(), COLLECTOR)


@pytest.fixture(autouse=True)
def _no_outside_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OUTSIDE:
        monkeypatch.delenv(f"CRM_{name.upper()}", raising=False)


def test_without_stack_and_settings_the_ways_on_are_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"`crmstream up`, or .*CRM_KAFKA_BOOT.*, CRM_CLICKHOUSE_URL, CRM_REDIS_URL"):
        resolve_endpoints(Settings(data_dir=tmp_path))


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, **OUTSIDE | {"redis_url": None})
    with pytest.raises(StackError, match=r"servers by CRM_REDIS_URL$"):
        resolve_endpoints(settings)


def test_outside_servers_need_no_stack(tmp_path: Path) -> None:
    found = resolve_endpoints(Settings(data_dir=tmp_path, **OUTSIDE))
    assert (found.kafka, found.clickhouse_url, found.redis_url) == tuple(OUTSIDE.values())
    assert (found.worker_metrics, found.pid) == ((), 0)


def test_a_running_stack_is_found_and_its_file_is_private(tmp_path: Path) -> None:
    save_endpoints(LOCAL, tmp_path)
    assert resolve_endpoints(Settings(data_dir=tmp_path)) == LOCAL
    assert stat.S_IMODE((tmp_path / "stack.json").stat().st_mode) == 0o600


def test_settings_win_over_the_running_stack(tmp_path: Path) -> None:
    save_endpoints(LOCAL, tmp_path)
    found = resolve_endpoints(Settings(data_dir=tmp_path, redis_url="redis://cache:6379/0"))
    assert (found.kafka, found.redis_url) == (LOCAL.kafka, "redis://cache:6379/0")
    assert found.worker_metrics == LOCAL.worker_metrics


def test_a_stopped_or_dead_stack_is_not_found(tmp_path: Path) -> None:
    save_endpoints(LOCAL, tmp_path)
    file = tmp_path / "stack.json"
    content = file.read_text(encoding="utf-8")
    file.write_text(content.replace('"pid_created": ', '"pid_created": 1'), encoding="utf-8")  # the id was used again
    assert running_stack(tmp_path) is None
    file.write_text("{", encoding="utf-8")
    assert running_stack(tmp_path) is None
    save_endpoints(LOCAL, tmp_path)
    remove_endpoints(tmp_path)
    assert running_stack(tmp_path) is None


def test_passwords_are_not_in_the_repr(tmp_path: Path) -> None:
    assert "secret" not in repr(resolve_endpoints(Settings(data_dir=tmp_path, **OUTSIDE)))

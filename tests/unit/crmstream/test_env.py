"""``crmstream env`` gives a shell the addresses of the stack."""

import subprocess

import pytest

from crmstream.commands import env
from crmstream.stack.endpoints import Endpoints

ADDRESSES = Endpoints(
    "127.0.0.1:9092", "http://u:it's $HOME@h:8123", "redis://127.0.0.1:6379", (), 0, "http://127.0.0.1:8080"
)


def test_a_shell_reads_the_addresses_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(env, "resolve_endpoints", lambda _settings: ADDRESSES)
    env.run(as_json=False)
    script = capsys.readouterr().out + 'printf "%s\\n" "$CLICKHOUSE_URL" "$REDIS_URL" "$COLLECTOR_URL"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [ADDRESSES.clickhouse_url, ADDRESSES.redis_url, ADDRESSES.collector_url]


def test_a_stack_without_a_collector_names_none() -> None:
    without = Endpoints("k:1", "http://c:2", "redis://r:3")
    assert [name for name, _ in env.variables_of(without)] == [
        "KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "REDIS_URL",
    ]  # fmt: skip

"""Settings are refused together, by the names of their variables, and without the values of secrets."""

import json

import pytest

from contracts.errors import SettingsError
from contracts.settings import Settings, load_settings


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: object) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value if isinstance(value, str) else json.dumps(value))
    with pytest.raises(SettingsError) as refused:
        load_settings()
    return str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CRM_PARTITIONS", "none"),
        ("CRM_PARTITIONS", "0"),
        ("CRM_BUCKETS", "6"),
        ("CRM_WORKERS", "5"),
        ("CRM_KAFKA_PORT", "70000"),
        ("CRM_CLICKHOUSE_DATABASE", "crm; DROP DATABASE crm"),
        ("CRM_SWEEP_HOURS", "0"),
        ("CRM_DORMANT_DAYS", "90"),
        ("CRM_DORMANT_DAYS", "200000000"),
        ("CRM_REPLAY_STEP_DAYS", "inf"),
        ("CRM_REPLAY_EPOCH_DAYS", "inf"),
        ("CRM_HEARTBEAT_IDLE_SECONDS", "inf"),
        ("CRM_EPOCH_SECONDS", "nan"),
        ("CRM_OUTCOMES", "[]"),
        ("CRM_BASE_CURRENCY", "dollars"),
        ("CRM_BASE_CURRENCY", "usd"),
        ("CRM_BASE_CURRENCY", "QQQ"),
        ("CRM_BASE_CURRENCY", "XXX"),
        ("CRM_EXCHANGE_RATES", '{"eur": 1.1}'),
        ("CRM_EXCHANGE_RATES", '{"EUR": 0}'),
        ("CRM_EXCHANGE_RATES", '{"EUR": 1e300}'),
        ("CRM_EXCHANGE_RATES", '{"EUR": NaN}'),
        ("CRM_EXCHANGE_RATES", '{"euro": 1.1}'),
        ("CRM_LOG_LEVEL", "LOUD"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert name in refusal(monkeypatch, **{name: value})


def test_customers_stay_for_the_longest_window_in_whole_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """With sweeps of 31 days, a window of 90 ends after 93; who is dormant before would never be learned from."""
    assert load_settings(sweep_hours=744, dormant_days=94)
    assert "above 93" in refusal(monkeypatch, CRM_SWEEP_HOURS="744", CRM_DORMANT_DAYS="93")


def test_two_servers_cannot_have_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "must differ" in refusal(monkeypatch, CRM_KAFKA_PORT="7001", CRM_REDIS_PORT="7001")


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told = refusal(monkeypatch, CRM_SWEEP_HOURS="x", CRM_LOG_LEVEL="LOUD")
    assert "CRM_SWEEP_HOURS" in told
    assert "CRM_LOG_LEVEL" in told


def test_json_that_is_none_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "CRM_OUTCOMES" in refusal(monkeypatch, CRM_OUTCOMES="{")


def test_options_take_precedence_and_are_checked_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_WORKERS", "2")
    assert load_settings(workers=3).workers == 3
    with pytest.raises(SettingsError, match=r"CRM_WORKERS \(9\) must not exceed CRM_PARTITIONS \(4\)"):
        load_settings(workers=9)


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_REDIS_URL", "redis://user:very-secret@host:6379/0")
    assert "very-secret" not in repr(load_settings()) + str(load_settings().model_dump())


def test_a_setting_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().workers = 2  # type: ignore[misc]

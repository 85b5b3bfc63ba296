"""The pure parts of a backtest."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.kafka.publisher import Summary
from connectors.protocol import Record
from contracts.errors import SettingsError
from contracts.outcomes import CHURN
from contracts.settings import Settings
from crmstream.backtest import History, csv_row, midnights, throwaway_settings
from crmstream.cli import app
from crmstream.commands import backtest

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
MIDNIGHT = 1_704_067_200_000_000  # 2024-01-01


def record(at: int) -> Record:
    return Record("crm-transactions", b"c", b"{}", at)


def test_a_history_ends_before_its_moment() -> None:
    history = History(map(record, [3, 5, 8, 9]), 8)
    assert history.first_us == 3
    assert [one.occurred_at for one in history.records()] == [3, 5]
    assert History([], 8).first_us is None
    assert list(History([], 8).records()) == []


def test_dates_are_sorted_and_each_counts_once() -> None:
    days = [date(2024, 1, 2), date(2024, 1, 1), date(2024, 1, 2)]
    assert midnights(days, Settings(), NOW) == [MIDNIGHT, MIDNIGHT + 86_400_000_000]


def test_a_date_to_come_is_refused() -> None:
    assert midnights([date(2024, 6, 1)], Settings(), NOW)
    with pytest.raises(SettingsError, match="--at: 2024-06-02 has not come yet"):
        midnights([date(2024, 6, 2)], Settings(), NOW)


def test_a_midnight_without_a_sweep_is_refused() -> None:
    with pytest.raises(SettingsError, match="CRM_SWEEP_HOURS is 36"):
        midnights([date(2024, 1, 2)], Settings(sweep_hours=36), NOW)


def test_the_stack_shares_nothing_with_the_users(tmp_path: Path) -> None:
    users = Settings(
        kafka_bootstrap_servers="k:1", clickhouse_url="http://c:2", redis_url="redis://r:3/0", kafka_port=9092,
        base_currency="EUR", dormant_days=200,
    )  # fmt: skip
    own = throwaway_settings(users, tmp_path, 2, "USD")
    assert (own.kafka_bootstrap_servers, own.clickhouse_url, own.redis_url, own.kafka_port) == (None, None, None, 0)
    assert (own.data_dir, own.workers, own.base_currency) == (tmp_path, 2, "USD")
    assert own.dormant_days > 10_000


def test_both_outcomes_are_needed(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="declares no opportunity"):
        throwaway_settings(Settings(outcomes=(CHURN,)), tmp_path, 1, "USD")
    with pytest.raises(SettingsError, match="--workers: 5 is more than CRM_PARTITIONS"):
        throwaway_settings(Settings(), tmp_path, 5, "USD")


def test_scores_have_six_digits_and_may_be_missing() -> None:
    assert csv_row(("c", date(2024, 1, 1), None, 0.1234567)) == ("c", "2024-01-01", "", "0.123457")


@pytest.mark.parametrize(
    ("content", "at", "expected"),
    [
        ("customer_id,kind,ts,amount\na,purchase,2024-01-05,1\n", "2024-02-01", "has no column 'items'"),
        ("customer_id,kind,ts,amount,items\na,purchase,2024-01-05,1,1\n", "soon", "does not match the format"),
        ("customer_id,kind,ts,amount,items\na,purchase,2024-01-05,1,1\n", "2024-01-05", "nobody is known before"),
        ("customer_id,kind,ts,amount,items\na,gift,2024-01-05,1,1\n", "2024-02-01", "No row of the file is an event"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(tmp_path: Path, content: str, at: str, expected: str) -> None:
    file = tmp_path / "events.csv"
    file.write_text(content, encoding="utf-8")
    runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})
    arguments = ["backtest", str(file), "--at", at, "--out", str(tmp_path / "out.csv")]
    answer = runner.invoke(app, arguments)
    assert answer.exit_code != 0
    assert expected in answer.stderr
    assert not (tmp_path / "out.csv").exists()
    answer = runner.invoke(app, [*arguments[:-1], str(tmp_path / "no" / "out.csv")])
    assert answer.exit_code != 0


def test_without_predictions_it_fails_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest._Run, "through", lambda *_: (Summary(events=3), 0, []))
    file = tmp_path / "events.csv"
    file.write_text("customer_id,kind,ts,amount,items\na,purchase,2024-01-05,1,1\n", encoding="utf-8")
    arguments = ["backtest", str(file), "--at", "2024-02-01", "--out", str(tmp_path / "out.csv")]
    answer = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(app, arguments)
    assert answer.exit_code == 1
    assert "not one prediction was made for 2024-02-01, though 3 events were published" in answer.stderr

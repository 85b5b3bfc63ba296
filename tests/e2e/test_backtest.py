"""``crmstream backtest`` on the real stack: right rows, nothing from the future, nothing left behind."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

START = datetime(2023, 1, 1, tzinfo=UTC)
T = START + timedelta(days=50)
END = START + timedelta(days=80)
Row = tuple[datetime, str, str]


def history() -> list[Row]:
    """Forty customers, half of whom stop, one who only returned something, and one who buys at T for the first time."""
    draw = random.Random(5)
    rows = [(START + timedelta(days=3), "only-returns", "return"), (T, "at-midnight", "purchase")]
    for number in range(40):
        at, leaves = START + timedelta(days=draw.random() * 20), draw.choice([25, 100])
        while at < END and at < START + timedelta(days=leaves):
            rows.append((at, f"c-{number:02}", "purchase"))
            at += timedelta(days=draw.expovariate(1 / 5))
    return sorted(rows)


def other_future(rows: list[Row]) -> list[Row]:
    """The same until T, and another story from then on."""
    past = [row for row in rows if row[0] < T]
    return sorted(past + [(T + timedelta(hours=7 * n), f"c-{n % 40:02}", "purchase") for n in range(80)])


def write(path: Path, rows: list[Row]) -> Path:
    lines = ["customer_id,kind,ts,amount,items"]
    lines += [f"{who},{kind},{at:%Y-%m-%dT%H:%M:%S},{5 + at.day}.50,1" for at, who, kind in rows]
    path.write_text("\n".join([*lines, "broken,purchase,never,1,1"]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command in an environment of its own: outside servers that must not be asked, short windows, and
    another base currency than the file's."""
    (tmp_path / "tmp").mkdir()
    outcomes = [
        {"name": "churn", "within_days": 20, "happens": False, "of": "buyers"},
        {"name": "opportunity", "within_days": 10, "happens": True},
    ]
    for name, value in {
        "TMPDIR": str(tmp_path / "tmp"),
        "CRM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CRM_REDIS_URL": "redis://127.0.0.1:1/0",
        "CRM_BASE_CURRENCY": "EUR",
        "CRM_PARTITIONS": "2",
        "CRM_BUCKETS": "2",
        "CRM_OUTCOMES": json.dumps(outcomes),
        "CRM_TRAINING_STRIDE_DAYS": "2",
        "CRM_DORMANT_DAYS": "21",
        "COLUMNS": "160",
    }.items():
        monkeypatch.setenv(name, value)
    return [str(Path(sys.executable).with_name("crmstream")), "backtest"]


def test_predictions_know_the_past_and_nothing_else(command: list[str], tmp_path: Path) -> None:
    dates = ("--at", f"{T:%Y-%m-%d}", "--at", f"{END:%Y-%m-%d}", "--at", "2022-06-01")
    found = {}
    for name, rows in {"one": history(), "other": other_future(history())}.items():
        events, out = write(tmp_path / f"{name}.csv", rows), tmp_path / f"{name}.out.csv"
        done = subprocess.run([*command, events, *dates, "--out", out], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "rejected: occurred_at is not a time" in done.stdout
        assert "Nobody is known at 2022-06-01" in done.stderr
        assert "churn" in done.stdout
        with out.open(newline="") as file:
            found[name] = list(csv.DictReader(file))
    for name, rows in {"one": history(), "other": other_future(history())}.items():
        known = {day: sorted({who for at, who, _ in rows if at < day}) for day in (T, END)}
        assert [(row["t"], row["customer_id"]) for row in found[name]] == [
            (f"{day:%Y-%m-%d}", who) for day in (T, END) for who in known[day]
        ]
    at_t, at_end = ([row for row in found["one"] if row["t"] == f"{day:%Y-%m-%d}"] for day in (T, END))
    assert at_t == [row for row in found["other"] if row["t"] == f"{T:%Y-%m-%d}"]
    assert at_end != [row for row in found["other"] if row["t"] == f"{END:%Y-%m-%d}"]
    assert len({row["churn_score"] for row in at_t}) > 10
    assert [row["customer_id"] for row in at_t if not row["churn_score"]] == ["only-returns"]
    assert all(0 <= float(row["opportunity_score"]) <= 1 for row in found["one"])
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backtest_leaves_nothing(command: list[str], tmp_path: Path, number: signal.Signals) -> None:
    events = write(tmp_path / "events.csv", history())
    arguments = [*command, str(events), "--at", f"{T:%Y-%m-%d}", "--out", str(tmp_path / "out.csv")]
    running = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    while "starting" not in running.stderr.readline():
        assert running.poll() is None
    time.sleep(1)
    children = psutil.Process(running.pid).children(recursive=True)
    assert children
    running.send_signal(number)
    running.communicate(timeout=60)
    assert running.returncode != 0
    assert list((tmp_path / "tmp").iterdir()) == []
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert not (tmp_path / "out.csv").exists()
    assert os.environ["TMPDIR"] == str(tmp_path / "tmp")

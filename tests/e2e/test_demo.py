"""``crmstream demo`` as a program sees it: it ends by itself and its summary says what happened."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crmstream.demo.folder import fresh_folder
from crmstream.stack.endpoints import running_stack

CRMSTREAM = str(Path(sys.executable).with_name("crmstream"))
DEMO = [CRMSTREAM, "demo"]


@pytest.fixture(autouse=True)
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, few parts and weekly sweeps; an outside Kafka that must not be asked,
    and another base currency than the shop's."""
    for name, value in {
        "CRM_DATA_DIR": str(tmp_path),
        "CRM_PARTITIONS": "2",
        "CRM_BUCKETS": "2",
        "CRM_SWEEP_HOURS": "168",
        "CRM_TRAINING_STRIDE_DAYS": "14",
        "CRM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CRM_BASE_CURRENCY": "EUR",
        "COLUMNS": "160",
    }.items():
        monkeypatch.setenv(name, value)


def test_a_demo_ends_with_a_summary_for_programs(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "left-over").touch()
    done = subprocess.run(
        [*DEMO, "--customers", "100", "--seconds", "5", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["completed"]
    assert summary["history"]["days_published"] == summary["history"]["days"] == 730
    assert summary["history"]["events"] > 1_000
    assert summary["live"]["events"] > 0
    assert summary["live"]["scores"] > 0
    assert summary["live"]["simulated_until"] > "2024-01-01T12"
    latency = summary["end_to_end_seconds"]
    assert 0 < latency["p50"] <= latency["p99"]
    assert summary["customers"] > 50
    assert 0 < summary["dead_letters"] < summary["history"]["events"] / 100  # the shop's own currency counts
    assert {one["outcome"] for one in summary["model_quality"]} == {"churn", "opportunity"}
    assert all(one["auc"] > 0.6 and one["examples"] > 100 for one in summary["model_quality"])
    for outcome in ("churn", "opportunity"):
        scores = [row["probability"] for row in summary["top"][outcome]]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        assert all(row["reasons"] for row in summary["top"][outcome])
    assert "days published" in done.stderr
    assert "event to score" in done.stderr
    assert not (tmp_path / "demo" / "left-over").exists()
    assert running_stack(tmp_path / "demo") is None


def test_ctrl_c_ends_a_demo_with_its_summary_and_commands_find_it_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = subprocess.Popen([*DEMO, "--customers", "50"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    while "live:" not in running.stderr.readline():
        assert running.poll() is None
    monkeypatch.delenv("CRM_KAFKA_BOOTSTRAP_SERVERS")
    top = subprocess.run(
        [CRMSTREAM, "top", "opportunity", "--json"], capture_output=True, text=True, check=False
    )
    again = subprocess.run(DEMO, capture_output=True, text=True, check=False)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert len(json.loads(top.stdout)) == 10
    assert again.returncode == 1
    assert "a demo is running in" in again.stderr
    assert "History:" in output
    assert "Live:" in output
    assert fresh_folder(tmp_path) == tmp_path / "demo"
    assert not (tmp_path / "demo").exists()

"""What scores are worth on real purchases: ``crmstream backtest`` on a tenth of CDNOW's customers.

It has more customers than a slice of a sweep, so the last sweep goes on after the log is worked off.
"""

import csv
import subprocess
import sys
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.data import real

CDNOW = "data/cdnow/CDNOW_master.txt"
TENTH = 10
DAYS = (date(1998, 1, 2), date(1998, 4, 2))
LEAST_AUC = {"churn": 0.806, "opportunity": 0.802}
MOST_LOG_LOSS = {"churn": 0.335, "opportunity": 0.188}
"""Measured: AUC .812 and .808, log loss .330 and .184, the same in every run."""


def purchases() -> list[tuple[str, date, str, str]]:
    """Customer, day, money and items of every tenth customer."""
    lines = real(CDNOW).read_text().split("\n")[1:]
    rows = [line.split() for line in lines if line.strip()]
    return [
        (who, date(int(day[:4]), int(day[4:6]), int(day[6:])), money, items)
        for who, day, items, money in rows
        if int(who) % TENTH == 0
    ]


def auc(happened: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The chance that one to whom it happened has the higher score; equal scores count half."""
    yes, no = np.sort(scores[happened]), scores[~happened]
    higher = len(yes) - (np.searchsorted(yes, no, "left") + np.searchsorted(yes, no, "right")) / 2
    return float(higher.sum() / (len(yes) * len(no)))


def log_loss(happened: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    return float(-np.log(np.where(happened, scores, 1 - scores)).mean())


def test_scores_of_real_customers_are_worth_what_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bought = defaultdict(list)
    events, out = tmp_path / "events.csv", tmp_path / "scores.csv"
    with events.open("w") as file:
        print("customer_id,kind,ts,amount,items", file=file)
        for who, day, money, items in purchases():
            bought[who].append(day)
            print(f"{who},purchase,{day},{money},{items}", file=file)
    for name in ("CRM_PARTITIONS", "CRM_BUCKETS"):
        monkeypatch.setenv(name, "1")
    command = [str(Path(sys.executable).with_name("crmstream")), "backtest", str(events), "--out", str(out)]
    for day in DAYS:
        command += ["--at", str(day)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(DAYS) * len(bought) > 2 * 2_000
    for outcome, within, happens in (("churn", 90, False), ("opportunity", 30, True)):
        found = []
        for day in DAYS:
            mine = [row for row in rows if row["t"] == str(day)]
            end = day + timedelta(days=within)
            after = [any(day <= each < end for each in bought[row["customer_id"]]) for row in mine]
            scores = np.array([float(row[f"{outcome}_score"]) for row in mine])
            happened = np.array(after) == happens
            found.append((auc(happened, scores), log_loss(happened, scores)))
        mean_auc, mean_loss = np.mean(found, axis=0)
        assert mean_auc > LEAST_AUC[outcome], f"{outcome}: {mean_auc:.4f}"
        assert mean_loss < MOST_LOG_LOSS[outcome], f"{outcome}: {mean_loss:.4f}"

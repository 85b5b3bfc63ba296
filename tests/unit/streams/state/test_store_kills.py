"""A process that is killed with -9 at any moment, in a snapshot or while it writes a base, resumes its last commit."""

import os
import pickle
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

ROOT = Path(__file__).parents[4]
SCRIPT = Path(__file__).with_name("saving.py")
KILLS = 4
SMALL = 100
UNTIL_A_BASE = 5.0
"""Seconds within which a large state gets a new base."""


@pytest.mark.parametrize("cells", [SMALL, 300_000])
def test_a_process_that_is_killed_resumes_from_its_last_commit(tmp_path: Path, cells: int) -> None:
    """With 300,000 cells a base has 5 MB, and the kill comes when a new one has appeared."""
    random, environment = Random(cells), {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    saves, committed, unfinished = [0], tmp_path / "committed", 0
    folder = tmp_path / "state" / "keep" / "0"
    for _ in range(KILLS):
        process = subprocess.Popen([sys.executable, SCRIPT, tmp_path, str(cells)], env=environment)
        try:
            while process.poll() is None and (not committed.exists() or _number(committed) <= saves[-1] + 3):
                time.sleep(0.01)
            _wait(folder, time.monotonic() + (random.uniform(0, 0.15) if cells == SMALL else UNTIL_A_BASE))
        finally:
            process.kill()
        assert process.wait() == -9, "the state was not that of the last commit"
        saves.append(_number(committed))
        named = pickle.loads(committed.read_bytes())[1]
        names = {name for name, _ in (*named["bases"], *named["logs"])}
        unfinished += bool({base.name for base in folder.glob("*.base")} - names)
    assert saves == sorted(set(saves))
    assert unfinished or cells == SMALL, "some kill came while a base was on its way"


def _wait(folder: Path, until: float) -> None:
    """Wait until a time, or until a new base appears."""
    known = set(folder.glob("*.base"))
    while time.monotonic() < until and not set(folder.glob("*.base")) - known:
        time.sleep(0.001)


def _number(committed: Path) -> int:
    return int(pickle.loads(committed.read_bytes())[0])

"""The benchmark works: it measures every step and the whole, and both ways leave the same facts behind."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FACTS = ("web_events", "transactions", "service_events", "identity_events")


def test_a_quick_bench_measures_steps_and_the_whole() -> None:
    done = subprocess.run(
        [sys.executable, "tests/benchmarks/bench.py", "--quick", "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]
    figures = json.loads(done.stdout)
    assert {"consume", "decode, with rows of facts", "apply to profiles"} <= {step["name"] for step in figures["steps"]}
    assert 200 < figures["state"]["profiles"] < 1_000
    (whole,) = figures["whole"]
    (ours,), (loop,) = whole["runs"]["dataflow"], whole["runs"]["hand-written loop"]
    assert whole["total"] > 2_000
    assert sum(ours["stored"][table] for table in (*FACTS, "dead_letters")) > 0.98 * whole["total"]
    for table in FACTS:
        assert ours["stored"][table] == loop["stored"][table]
    assert ours["stored"]["customer_daily"] > 0
    assert ours["stored"]["hashes"] > 0
    assert loop["stored"]["hashes"] > 0

"""What processes of the stack do not import, so that an idle stack stays small."""

import subprocess
import sys

import pytest

HEAVY = (
    "numpy", "pandas", "scipy", "sklearn", "pyarrow", "river", "bytewax", "clickhouse_connect", "redis", "chdb", "rich",
)


def imported(module: str) -> set[str]:
    """The modules that a fresh process has when it has imported one."""
    code = f"import sys, {module}; print(*(name for name, one in sys.modules.items() if one is not None))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", ["crmstream.heartbeat", "crmstream.collector"])
def test_heartbeat_and_collector_import_nothing_heavy(module: str) -> None:
    assert imported(module).isdisjoint(HEAVY)


def test_workers_leave_out_what_river_does_not_use() -> None:
    found = imported("crmstream.worker")
    assert "river.linear_model" in found
    assert {name for name in found if name.startswith(("scipy.stats.", "sklearn.", "pandas"))} == set()


def test_what_is_left_out_cannot_be_used_by_mistake() -> None:
    code = "from crmstream import lean; from scipy.stats import norm; norm(1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: scipy.stats.norm is left out of this process" in done.stderr


def test_a_lean_process_can_measure_and_explain() -> None:
    """What workers compute at a boundary needs nothing that is left out."""
    code = (
        "from crmstream import lean; import numpy as np; from contracts.outcomes import OPPORTUNITY\n"
        "import pyarrow as pa; assert pa.table({'x': pa.array(np.arange(3))}).num_rows == 3\n"
        "from contracts.model_blocks import Examples; from online_models.outcome_model import new_model\n"
        "model = new_model(OPPORTUNITY, ['x']); labels = np.arange(8) % 2 == 0\n"
        "model.learn(Examples(np.arange(8, dtype=np.float32)[:, None], labels, labels))\n"
        "print(model.quality.measure()['auc'], model.weights(), model.digest())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

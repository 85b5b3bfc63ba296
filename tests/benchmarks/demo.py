"""``crmstream demo`` as a user starts it: two years of the shop, then its live part, by each version in turn."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from stacks import RUN_SECONDS, Version, ordinary

_COMMAND: Final = "import sys; from crmstream.cli import app; sys.argv[0] = 'crmstream'; app()"


@dataclass
class Demo:
    """One demo, in seconds: its history worked off, the first live view, and the way from Kafka to Redis while live.

    ``p50`` and ``p99`` are the demo's own figures: from the oldest record of a block to its scores.
    """

    version: str
    events: int
    history_seconds: float
    seconds_to_scores: float
    p50: float | None
    p99: float | None
    live_events_per_second: float


def measure_demos(
    versions: Sequence[Version], rounds: int, seconds: float, note: Callable[[str], None]
) -> list[Demo]:
    """Run the demo with each version, ``rounds`` times, taking turns in who goes first."""
    demos = []
    for number in range(rounds):
        for version in versions if number % 2 == 0 else reversed(versions):
            note(f"crmstream demo: round {number + 1} of {rounds}, {version.name}")
            demos.append(_demo(version, seconds))
    return demos


def _demo(version: Version, seconds: float) -> Demo:
    with tempfile.TemporaryDirectory(prefix="crm-bench-demo-") as folder:
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, "demo", "--json", "--seconds", str(seconds)],
            env=version.environment(ordinary() | {"CRM_DATA_DIR": folder}), cwd=folder,
            capture_output=True, text=True, timeout=RUN_SECONDS, check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"crmstream demo of the {version.name} failed:\n{done.stderr[-3_000:]}")
    return _figures(version, json.loads(done.stdout))


def _figures(version: Version, told: dict[str, Any]) -> Demo:
    history, live, latency = told["history"], told["live"], told["end_to_end_seconds"]
    return Demo(
        version.name, history["events"], history["seconds"], told["seconds_to_scores"], latency["p50"], latency["p99"],
        live["events_per_second"],
    )  # fmt: skip

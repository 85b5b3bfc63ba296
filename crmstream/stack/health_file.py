"""``health.json`` in the data folder: what the supervisor of a running stack knows of its processes."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from crmstream.stack.endpoints import running_stack
from crmstream.stack.watching import PartHealth

HEALTH_FILE = "health.json"


def save_health(parts: Sequence[PartHealth], data_dir: Path) -> None:
    """Replace the file. Where the disk is full the old one stays: that must end nothing."""
    fresh = data_dir / f"{HEALTH_FILE}.new"
    with contextlib.suppress(OSError):
        fresh.write_text(json.dumps([dataclasses.asdict(part) for part in parts]), encoding="utf-8")
        fresh.replace(data_dir / HEALTH_FILE)


def read_health(data_dir: Path) -> list[PartHealth] | None:
    """Return the state of the processes of the stack that runs in the folder, or None if none does."""
    if running_stack(data_dir) is None:
        return None
    try:
        content = json.loads((data_dir / HEALTH_FILE).read_text(encoding="utf-8"))
        return [PartHealth(**part) for part in content]
    except (OSError, ValueError, TypeError):
        return None


def remove_health(data_dir: Path) -> None:
    """Remove the file: the stack is down."""
    (data_dir / HEALTH_FILE).unlink(missing_ok=True)

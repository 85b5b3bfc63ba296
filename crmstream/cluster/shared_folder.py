"""Whether all workers have the same data folder: worker 0 leaves a mark in it that the others must find there."""

import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from contracts.errors import SettingsError
from contracts.whole_files import replace_file

FILE: Final = "cluster.json"
PATIENCE_SECONDS: Final = 45.0
"""A network file system may show a new file to other hosts only after a while."""
LOOK_SECONDS: Final = 0.25


def leave_mark(data_dir: Path) -> str:
    """Write a new mark and return it."""
    mark = secrets.token_hex(12)
    replace_file(data_dir / FILE, json.dumps({"mark": mark}))
    return mark


def find_mark(data_dir: Path, mark: str, stopping: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> None:
    """Wait until the folder has the mark, or the process is asked to stop.

    Raises:
        SettingsError: the mark does not appear, so this is another folder.

    """
    deadline = time.monotonic() + patience
    while _read(data_dir / FILE) != mark:
        if stopping():
            return
        if time.monotonic() > deadline:
            raise SettingsError(
                f"{data_dir} is not the data folder of worker 0: the mark that it left there is not in this one after "
                f"{patience:g} s. CRM_DATA_DIR must be the same folder on every host, on shared storage: the state of "
                "a worker that dies is read by the others."
            )
        time.sleep(LOOK_SECONDS)


def _read(path: Path) -> str | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(found.get("mark")) if isinstance(found, dict) else None

"""The demo's own data folder, ``demo`` inside CRM_DATA_DIR. Every demo begins with an empty one.

So a demo never mixes its simulated customers with real data, and what it shows depends on its options alone.
"""

import fcntl
import shutil
from pathlib import Path

from contracts.errors import StackError
from crmstream.stack.endpoints import DEMO_FOLDER
from crmstream.stack.process import clear_leftovers


def fresh_folder(data_dir: Path) -> Path:
    """Empty the demo's folder and return it. Raises a StackError while a stack runs in it."""
    folder = data_dir / DEMO_FOLDER
    if folder.exists():
        _require_stopped(folder)
        clear_leftovers(folder / "children.json")
        shutil.rmtree(folder)
    return folder


def _require_stopped(folder: Path) -> None:
    with (folder / "stack.lock").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"a demo is running in {folder} already: stop it, or set CRM_DATA_DIR to another folder"
            ) from None

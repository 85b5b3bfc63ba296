"""The data folder of a stack: one supervisor at a time may use it."""

import fcntl
import os
from pathlib import Path
from typing import IO

from contracts.errors import StackError


def lock_folder(data_dir: Path) -> IO[str]:
    """Make the folder and lock it until the returned file is closed.

    Raises:
        StackError: another process has it, or it cannot be used.

    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return _lock(data_dir)
    except OSError as error:
        raise StackError(
            f"{data_dir} cannot be used as the data folder ({error.strerror}): set CRM_DATA_DIR to a "
            "folder that can be written"
        ) from error


def _lock(data_dir: Path) -> IO[str]:
    file = (data_dir / "stack.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read().strip() or "unknown"
        file.close()
        raise StackError(
            f"a stack is running in {data_dir} already (process {owner}): "
            "stop it, or set CRM_DATA_DIR to another folder",
            pid=owner,
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file

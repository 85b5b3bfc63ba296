"""Small files that are replaced as a whole or not at all."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

Fingerprint = tuple[int, int, int]
"""Inode, time of the last change in nanoseconds, and size of a file."""


def replace_file(path: Path, text: str) -> None:
    """Write a file beside its place, and put it there when it is on the disk. Raises ``OSError``.

    After a power cut the place holds the old file or the new one; call :func:`sync` with the folder where it must be
    the new one. Only its owner may read the file. Several processes may do this at once: the last one wins.
    """
    with NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=path.parent, prefix=f"{path.name}.", delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fingerprint(path: Path) -> Fingerprint | None:
    """Return what differs when a file was replaced or changed; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size

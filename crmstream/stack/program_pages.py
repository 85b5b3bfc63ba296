"""Give back the memory of program pages that only the start of a process needed.

The engine of ClickHouse is a library of half a gigabyte. Its start runs through much of it once, and the system keeps
these pages in the process's memory, with their neighbours, until memory is short. What is needed again comes back from
the file, mostly from the system's cache. Linux only; elsewhere nothing happens.
"""

import ctypes
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

MAPS: Final = Path("/proc/self/smaps")
MADV_DONTNEED: Final = 4
_HEAD: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r-[x-]p) \S+ \S+ \S+\s+(/.*)")
_ANY_HEAD: Final = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")


def clean_ranges(lines: Iterable[str], library: str) -> Iterator[tuple[int, int]]:
    """Yield address and length of the read-only mappings of a library of which this process has changed no page."""
    current: tuple[int, int] | None = None
    for line in lines:
        if _ANY_HEAD.match(line):
            head = _HEAD.match(line)
            wanted = head is not None and library in Path(head[4]).name
            current = (int(head[1], 16), int(head[2], 16) - int(head[1], 16)) if head and wanted else None
        elif line.startswith("Anonymous:") and current is not None:
            if int(line.split()[1]) == 0:  # a changed page is no copy of the file any more
                yield current
            current = None


def forget(library: str) -> None:
    """Give the clean pages of a library back; whoever needs one gets it again from the file."""
    try:
        lines = MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
        advise = ctypes.CDLL(None, use_errno=True).madvise
    except (OSError, AttributeError):
        return
    for address, length in clean_ranges(lines, library):
        advise(ctypes.c_void_p(address), ctypes.c_size_t(length), MADV_DONTNEED)

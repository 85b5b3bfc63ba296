"""A cache of the broker's loaded classes (Java's AOT cache), which halves the time and the CPU of its start.

Run as ``python -m crmstream.stack.jvm_cache``; ``make env`` does so, once. The broker works the same without it, and
Java ignores a cache that another runtime or other jars have made.
"""

import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from contracts.errors import CrmError, StackError
from crmstream.stack.jars import CACHE_FILE, java_binary
from crmstream.stack.parts import KafkaPart
from crmstream.stack.ports import free_port

DUMP_SECONDS: Final = 180.0
"""Java writes the cache when the broker stops, which takes it some seconds."""


class _Rehearsal(KafkaPart):
    """A broker that records what it loads."""

    def command(self) -> list[str]:
        """Return the broker's command line, with the cache as its output."""
        java, *rest = super().command()
        return [java, f"-XX:AOTCacheOutput={self.folder.parent / CACHE_FILE.name}", *rest]


def make_cache() -> bool:
    """Start and stop a broker to make the cache; return False if there is one already.

    Raises :class:`StackError` when the broker does not start, or leaves no cache.
    """
    if CACHE_FILE.exists() and CACHE_FILE.stat().st_mtime > java_binary().stat().st_mtime:
        return False
    CACHE_FILE.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE_FILE.parent, prefix="rehearsal-") as folder:
        broker = _Rehearsal(Path(folder), free_port(), free_port())
        try:
            broker.start()
            broker.wait_ready()
            broker.process.signal(signal.SIGTERM)
            broker.process.wait(DUMP_SECONDS)
            made = Path(folder) / CACHE_FILE.name
            if not made.exists():
                raise StackError(broker.process.death_message())
            made.rename(CACHE_FILE)
        finally:
            broker.process.signal(signal.SIGKILL)
    return True


def main() -> None:
    """Make the cache and say what was done; a failure is no reason to stop, for the broker works without."""
    try:
        made = make_cache()
    except (CrmError, OSError) as error:
        print(f"The broker will start more slowly than it could: {error}", file=sys.stderr)
    else:
        print(f"The broker's class cache: {'made in' if made else 'already in'} {CACHE_FILE}")


if __name__ == "__main__":
    main()

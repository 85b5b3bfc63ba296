"""The folder in which one supervisor keeps what belongs to it alone: its lock, its processes, where they answer."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from crmstream.stack.endpoints import Endpoints, remove_endpoints, save_endpoints
from crmstream.stack.folder import lock_folder
from crmstream.stack.health_file import remove_health, save_health
from crmstream.stack.ports import PortBook
from crmstream.stack.process import ChildProcess, clear_leftovers, record_children
from crmstream.stack.watching import PartHealth


class Home:
    """The folder of one supervisor; that of the data, where only one host runs."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._lock: IO[str] | None = None

    @property
    def locked(self) -> bool:
        """Whether this supervisor has it."""
        return self._lock is not None

    def enter(self) -> None:
        """Take the folder, and end what a crashed run has left; raises a StackError if another supervisor has it."""
        self._lock = lock_folder(self._folder)
        clear_leftovers(self._folder / "children.json")

    def ports(self) -> PortBook:
        """Return the ports of the run before."""
        return PortBook(self._folder / "ports.json")

    def record(self, processes: Iterable[ChildProcess]) -> None:
        """Write down who runs, for the next start after a crash."""
        record_children(self._folder / "children.json", processes)

    def publish(self, endpoints: Endpoints) -> None:
        """Tell other commands where everything answers."""
        save_endpoints(endpoints, self._folder)

    def save_health(self, health: Sequence[PartHealth]) -> None:
        """Tell other commands the state of the processes."""
        save_health(health, self._folder)

    def leave(self) -> None:
        """Remove what tells of a running stack, and give the folder back."""
        remove_endpoints(self._folder)
        remove_health(self._folder)
        (self._folder / "children.json").unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

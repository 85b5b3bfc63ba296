"""What the supervisor of a running stack says of its processes and its disk, for ``crmstream status``. Reads only."""

from datetime import datetime
from typing import Final

from contracts.settings import Settings
from crmstream.observe.parts import Part
from crmstream.stack.disk import DiskState, DiskWatch, Room
from crmstream.stack.endpoints import running_stack, stack_folder
from crmstream.stack.health_file import read_health
from crmstream.stack.pulse import State
from crmstream.stack.watching import PartHealth

HEARTBEAT: Final = "heartbeat"


def read_parts(settings: Settings) -> list[PartHealth]:
    """Return the processes of the running stack; none if no stack runs."""
    return read_health(stack_folder(settings)) or []


def read_disk(settings: Settings) -> DiskState | None:
    """Return how much room the disk of the running stack has, or None if no stack runs."""
    folder = stack_folder(settings)
    if running_stack(folder) is None:
        return None
    return DiskWatch(folder, settings, closes=settings.kafka_bootstrap_servers is None).state


def ask_supervisor(settings: Settings) -> list[Part]:
    """Return what only the supervisor knows: the heartbeat, and the room on the disk."""
    beats = [Part(part.name, trouble(part) is None, trouble(part) or "") for part in read_parts(settings)
             if part.name == HEARTBEAT]  # fmt: skip
    disk = read_disk(settings)
    return beats if disk is None else [*beats, Part("disk", disk.room is not Room.FULL, disk.text)]


def trouble(part: PartHealth) -> str | None:
    """Say what is wrong with a process, or None."""
    match part.state:
        case State.SILENT | State.FROZEN:
            since = f" since {datetime.fromisoformat(part.since).astimezone():%H:%M:%S}" if part.since else ""
            return f"does not answer{since} (process {part.pid})"
        case State.DOWN:
            return "is down; it is started again"
        case State.STARTING:
            return "is starting"
    return None

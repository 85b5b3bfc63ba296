"""What the commands that publish need: a Kafka that can be used, and room on the disk of the local stack.

Where the disk is too full nothing is begun, and what is under way waits until there is room.
"""

import time
from collections.abc import Callable
from typing import Final

from connectors.kafka.publisher import Publisher
from connectors.kafka.topics import ensure_topics
from contracts.errors import NoRoomError
from contracts.settings import Settings
from crmstream.stack.disk import DiskWatch
from crmstream.stack.endpoints import resolve_endpoints, stack_folder
from crmstream.stack.outside import check_outside

WAIT_SECONDS: Final = 1.0


class RoomGate:
    """Whether the disk of the local stack has room for more events. An outside Kafka has a disk of its own."""

    def __init__(self, settings: Settings, say: Callable[[str], None]):
        self._say = say
        self._disk = None if settings.kafka_bootstrap_servers else DiskWatch(stack_folder(settings), settings)

    def require(self) -> None:
        """Raise a :class:`NoRoomError` if there is no room; it says which disk, and what is needed."""
        if self._disk is not None and self._disk.full:
            raise NoRoomError(self._disk.state.text)

    def wait(self) -> None:
        """Wait until there is room; say so if that takes time."""
        if self._disk is None or not self._disk.full:
            return
        self._say(f"Waiting: {self._disk.state.text}")
        while self._disk.full:
            time.sleep(WAIT_SECONDS)
        self._say("There is room again: going on.")


def usable_kafka(settings: Settings, gate: RoomGate) -> str:
    """Return the address of a Kafka that has the topics and room.

    Raises :class:`contracts.errors.CrmError` within seconds where there is none; nothing is begun then.
    """
    check_outside(settings, only=("kafka",))
    kafka = resolve_endpoints(settings).kafka
    gate.require()
    ensure_topics(kafka, settings.partitions)
    return kafka


def new_publisher(settings: Settings, kafka: str, gate: RoomGate, source: str = "replay") -> Publisher:
    """Make a publisher that waits while there is no room."""
    publisher = Publisher(kafka, settings.partitions, settings.sweep_hours, source=source)
    publisher.before_more = gate.wait
    return publisher

"""The composition of the collector: sources, Kafka, the application and its server.

Delivery: a 200 means that Kafka holds every message of the request (:mod:`connectors.collector.delivery`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from starlette.types import ASGIApp

from connectors.collector.app import Collector, create_app
from connectors.collector.auth import Senders
from connectors.collector.body import DRAINED_TIMES, BodyLimits, BodyReader
from connectors.collector.delivery import Deliver, DeliveryLimits, KafkaDelivery
from connectors.collector.intake import Intake
from connectors.collector.page import Page
from connectors.collector.recent import Recent
from connectors.collector.server import listen, serve
from connectors.door.door import Door
from connectors.door.money import MoneyGate
from connectors.kafka.topics import ensure_topics
from connectors.protocol import Record
from connectors.sources.file import SourcesFile
from connectors.webhooks.receiver import STAGE as WEBHOOK_STAGE
from connectors.webhooks.receivers import Receivers
from connectors.webhooks.routes import OPENAPI_PATHS as WEBHOOK_PATHS
from connectors.webhooks.routes import routes as webhook_routes
from contracts.errors import NoRoomError
from contracts.metrics import COLLECTOR_BYTES
from contracts.settings import Settings
from crmstream.configured import sources_file
from crmstream.money.installation import money_gate
from crmstream.stack.collector_part import DEFAULT_PORT, collector_url
from crmstream.stack.disk import DiskWatch

_log = logging.getLogger(__name__)


class Room:
    """Lets records through to Kafka while its disk has room. Without a disk of ours to watch it always has."""

    def __init__(self, disk: DiskWatch | None, deliver: Deliver):
        self._disk = disk
        self._deliver = deliver
        self._was_full = False

    @property
    def full(self) -> bool:
        """Whether there is no room; a change is written to the log."""
        full = self._disk is not None and self._disk.full
        if self._disk is not None and full != self._was_full:
            self._was_full = full
            _log.warning("%s: %s", "answering 507" if full else "taking events again", self._disk.state.text)
        return full

    async def deliver(self, records: Sequence[Record]) -> None:
        """Deliver the records. Raises :class:`NoRoomError` while there is no room, before anything is delivered."""
        if records and self.full:
            raise NoRoomError("the disk of the local Kafka has no room")
        await self._deliver(records)


@dataclass(frozen=True)
class Started:
    """A collector that listens: its address, the file of sources, and how many there are."""

    url: str
    sources_file: str
    sources: int


def run_collector(
    settings: Settings, kafka: str, on_start: Callable[[Started], None], disk: DiskWatch | None = None
) -> None:
    """Collect until SIGTERM or Ctrl-C; what is under way is finished.

    While Kafka is away it answers 503, also at the start. ``disk`` is that of a local Kafka: while it has no room the
    answer is 507. Raises :class:`contracts.errors.CrmError` if the port cannot
    be had or the file of sources is wrong.
    """
    money = money_gate(settings)
    senders = Senders(sources_file(settings), settings.privacy_key, money=money)
    webhooks = _receivers(senders.file, settings, money)
    names = senders.names
    for doubt in webhooks.doubts():
        _log.warning(doubt)
    port = DEFAULT_PORT if settings.collector_port is None else settings.collector_port
    with listen(settings.collector_host, port) as listener:
        url = collector_url(settings.collector_host, listener.getsockname()[1])
        started = Started(url, str(senders.file.path), len(names))
        app = compose(settings, kafka, senders, webhooks, disk)
        most_bytes = settings.collector_max_batch_bytes * DRAINED_TIMES
        serve(app, listener, most_bytes, settings.collector_trusted_proxies, lambda: on_start(started))


def _receivers(file: SourcesFile, settings: Settings, money: MoneyGate) -> Receivers:
    return Receivers(
        file.current,
        file.path.parent,
        door=lambda source: Door(source, WEBHOOK_STAGE, settings.privacy_key, money=money),
    )


def compose(
    settings: Settings, kafka: str, senders: Senders, webhooks: Receivers, disk: DiskWatch | None = None
) -> ASGIApp:
    """Put the application together."""
    delivery = KafkaDelivery(
        kafka,
        settings.partitions,
        lambda: ensure_topics(kafka, settings.partitions),
        DeliveryLimits(settings.collector_delivery_seconds),
    )
    COLLECTOR_BYTES.set_function(lambda: delivery.bytes_in_flight)
    room = Room(disk, delivery.deliver)
    recent = Recent()
    bodies = BodyReader(BodyLimits(settings.collector_max_batch_bytes))

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        delivery.start()
        following = asyncio.create_task(senders.file.follow())
        yield
        following.cancel()
        await asyncio.wait([following])
        await delivery.close()

    collector = Collector(
        senders=senders,
        intake=Intake(room.deliver, recent),
        reader=bodies,
        page=Page(recent, settings.collector_live_view, settings.collector_host),
        available=lambda: delivery.available,
        disk_full=lambda: room.full,
        version=version("crmstream"),
        most_batch_events=settings.collector_max_batch_events,
        public_url=settings.collector_public_url,
        keep_ip=settings.collector_keep_ip,
    )
    webhook = webhook_routes(webhooks, room.deliver, bodies, note=recent.note)
    return create_app(collector, webhook, WEBHOOK_PATHS, running)

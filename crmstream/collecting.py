"""The composition of the collector: sources, Kafka, the application and its server.

Delivery: a 200 means that Kafka holds every message of the request (:mod:`connectors.collector.delivery`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from starlette.types import ASGIApp

from connectors.collector.app import Collector, create_app
from connectors.collector.auth import STAGE, Senders
from connectors.collector.body import DRAINED_TIMES, BodyLimits, BodyReader
from connectors.collector.delivery import DeliveryLimits, KafkaDelivery
from connectors.collector.intake import Intake
from connectors.collector.page import Page
from connectors.collector.recent import Recent
from connectors.collector.server import listen, serve
from connectors.doors import open_doors
from connectors.sources import SourcesFile, sources_path
from connectors.topics import ensure_topics
from contracts.metrics import COLLECTOR_BYTES
from contracts.settings import Settings
from crmstream.stack.collector_part import DEFAULT_PORT, collector_url


@dataclass(frozen=True)
class Started:
    """A collector that listens: its address, the file of sources, and how many there are."""

    url: str
    sources_file: str
    sources: int


def run_collector(settings: Settings, kafka: str, on_start: Callable[[Started], None]) -> None:
    """Collect until SIGTERM or Ctrl-C; what is under way is finished.

    While Kafka is away it answers 503, also at the start. Raises :class:`contracts.errors.CrmError` if the port cannot
    be had or the file of sources is wrong.
    """
    key = settings.privacy_key
    path = sources_path(settings.data_dir, settings.sources_file)
    senders = Senders(SourcesFile(path, check=lambda sources: open_doors(sources, STAGE, key)), key)
    names = senders.names
    port = DEFAULT_PORT if settings.collector_port is None else settings.collector_port
    with listen(settings.collector_host, port) as listener:
        url = collector_url(settings.collector_host, listener.getsockname()[1])
        started = Started(url, str(path), len(names))
        app = compose(settings, kafka, senders)
        serve(app, listener, settings.collector_max_batch_bytes * DRAINED_TIMES, lambda: on_start(started))


def compose(settings: Settings, kafka: str, senders: Senders) -> ASGIApp:
    """Put the application together."""
    delivery = KafkaDelivery(
        kafka,
        settings.partitions,
        lambda: ensure_topics(kafka, settings.partitions),
        DeliveryLimits(settings.collector_delivery_seconds),
    )
    COLLECTOR_BYTES.set_function(lambda: delivery.bytes_in_flight)
    recent = Recent()

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        delivery.start()
        yield
        await delivery.close()

    collector = Collector(
        senders=senders,
        intake=Intake(delivery.deliver, recent),
        reader=BodyReader(BodyLimits(settings.collector_max_batch_bytes)),
        page=Page(recent, settings.collector_live_view, settings.collector_host),
        available=lambda: delivery.available,
        version=version("crmstream"),
        most_batch_events=settings.collector_max_batch_events,
        public_url=settings.collector_public_url,
        keep_ip=settings.collector_keep_ip,
    )
    return create_app(collector, running=running)

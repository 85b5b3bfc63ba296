"""A broker that tests may stop, and a collector beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.collecting import CollectorProcess, write_sources

from crmstream.stack.parts import KafkaPart
from crmstream.stack.ports import free_port
from crmstream.stack.process import stop_all


@pytest.fixture(scope="package")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaPart]:
    """A broker of these tests' own; what one file of them wrote is there for the next."""
    part = KafkaPart(tmp_path_factory.mktemp("broker"), free_port(), free_port())
    part.start()
    part.wait_ready()
    yield part
    stop_all([part.process], 20)


@pytest.fixture(scope="package")
def collector(broker: KafkaPart, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector on that broker. Its patience is short, for the tests' sake."""
    folder: Path = tmp_path_factory.mktemp("collector")
    write_sources(folder, {"shop": "wk_shop", "slow": "wk_slow"}, slow={"events_per_second": 2})
    own = {"collector_keep_ip": True, "collector_trusted_proxies": "127.0.0.0/8"}
    with CollectorProcess(folder, broker.endpoint(), collector_delivery_seconds=1.5, **own) as running:
        yield running

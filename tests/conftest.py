"""Fixtures for all tests. The stack is the real one, started once per session on free ports and thrown away."""

from collections.abc import Iterator

import pytest

from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.supervisor import LocalStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Kafka, ClickHouse and Redis (no dataflow, no topics, no tables), shared by the session: use names of your own."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("stack"), kafka_bootstrap_servers=None, clickhouse_url=None, redis_url=None
    )
    with LocalStack(settings, with_dataflow=False) as running:
        yield running.endpoints

"""A broker of these tests' own: a heartbeat ticks whole topics, and so the clocks of other tests."""

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from contracts.settings import Settings
from crmstream.stack.supervisor import LocalStack


@pytest.fixture(scope="package")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fresh broker without topics. The other servers are named, so none is started."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("broker"),
        kafka_bootstrap_servers=None,
        clickhouse_url=SecretStr("http://127.0.0.1:1"),
        redis_url=SecretStr("redis://127.0.0.1:1"),
    )
    with LocalStack(settings, with_dataflow=False) as running:
        yield running.endpoints.kafka

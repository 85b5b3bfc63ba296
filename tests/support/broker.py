"""A broker and nothing else, for tests of what only speaks with Kafka."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import SecretStr

from contracts.settings import Settings
from crmstream.stack.supervisor import LocalStack


@contextmanager
def fresh_broker(folder: Path) -> Iterator[str]:
    """Start one; gives its address. The other servers are named, so none is started."""
    settings = Settings(
        data_dir=folder,
        kafka_bootstrap_servers=None,
        clickhouse_url=SecretStr("http://127.0.0.1:1"),
        redis_url=SecretStr("redis://127.0.0.1:1"),
    )
    with LocalStack(settings, with_dataflow=False) as running:
        yield running.endpoints.kafka

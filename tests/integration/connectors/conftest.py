"""A broker of these tests' own: a heartbeat ticks whole topics, and so the clocks of other tests."""

from collections.abc import Iterator

import pytest
from support.broker import fresh_broker


@pytest.fixture(scope="package")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a fresh broker without topics."""
    with fresh_broker(tmp_path_factory.mktemp("broker")) as kafka:
        yield kafka

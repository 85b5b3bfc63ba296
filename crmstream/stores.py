"""Connections to the stores, for what reads or writes both."""

from dataclasses import dataclass

from clickhouse_connect.driver.client import Client
from redis import Redis


@dataclass(frozen=True)
class Stores:
    """Connections to the stores that hold something about people."""

    clickhouse: Client
    redis: Redis

"""Connections to the stores by URL. Secrets in a URL never appear in errors or logs.

Connecting fails fast, for commands. Writers retry (:mod:`sinks.retries`).
"""

import logging
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import clickhouse_connect
import redis
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from confluent_kafka import Producer
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from contracts.errors import SettingsError, StoreRefusedError, StoreUnavailableError

CONNECT_TIMEOUT_SECONDS: Final = 10
ANSWER_SECONDS: Final = 300
REDIS_TIMEOUT_SECONDS: Final = 30
_PASSING_CODES: Final = frozenset({
    159,  # TIMEOUT_EXCEEDED
    202,  # TOO_MANY_SIMULTANEOUS_QUERIES
    209,  # SOCKET_TIMEOUT
    210,  # NETWORK_ERROR
    225,  # NO_ZOOKEEPER
    236,  # ABORTED: the server is shutting down
    241,  # MEMORY_LIMIT_EXCEEDED
    242,  # TABLE_IS_READ_ONLY
    243,  # NOT_ENOUGH_SPACE
    252,  # TOO_MANY_PARTS
    279,  # ALL_CONNECTION_TRIES_FAILED
    319,  # UNKNOWN_STATUS_OF_INSERT
    394,  # QUERY_WAS_CANCELLED
    425,  # SYSTEM_ERROR
    745,  # SERVER_OVERLOADED
    999,  # KEEPER_EXCEPTION
})  # fmt: skip


def clickhouse_client(url: SecretStr | str, database: str, *, answer_seconds: int = ANSWER_SECONDS) -> Client:
    """Connect to ClickHouse at ``http(s)://user:password@host:port``.

    Queries go to ``database``, which need not exist yet. A query without an answer for ``answer_seconds`` fails.

    Threads may share the client. Raises SettingsError for a malformed URL, StoreUnavailableError if no server answers,
    StoreRefusedError if the server denies access.
    """
    parts = _split(url, "CRM_CLICKHOUSE_URL", ("http", "https"), "http(s)://user:password@host:port")
    # The driver logs each of its attempts; we report an outage once.
    logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)
    try:
        client = clickhouse_connect.get_client(**_clickhouse_arguments(parts), send_receive_timeout=answer_seconds)
    except ClickHouseError as error:
        raise _clickhouse_problem(error, f"{parts.hostname}:{parts.port}") from None
    client.database = database
    return client


def clickhouse_is_out(error: Exception) -> bool:
    """Return whether an error of ClickHouse is temporary: no server answers, or it is overloaded."""
    if isinstance(error, OperationalError | StoreUnavailableError | OSError):
        return True
    # An answer without a code comes from something in between, such as a proxy.
    return isinstance(error, DatabaseError) and (error.code is None or error.code in _PASSING_CODES)


def redis_client(url: SecretStr | str) -> redis.Redis:
    """Make a client for ``redis(s)://user:password@host:port/db``. Its answers are text.

    It connects when first used.

    Raises SettingsError for a malformed URL.
    """
    _split(url, "CRM_REDIS_URL", ("redis", "rediss"), "redis(s)://user:password@host:port/db")
    return redis.Redis.from_url(
        _reveal(url), decode_responses=True, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        socket_timeout=REDIS_TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0),
    )  # fmt: skip


def check_redis(url: SecretStr | str) -> None:
    """Check that Redis answers. Raises SettingsError for a malformed URL, StoreUnavailableError if it does not."""
    address = urlsplit(_reveal(url)).netloc.rpartition("@")[2]
    with redis_client(url) as client:
        try:
            client.ping()
        except (redis.RedisError, OSError):
            raise StoreUnavailableError(
                f"Redis at {address} does not answer, or denies access: check CRM_REDIS_URL", address=address
            ) from None


def kafka_producer(bootstrap_servers: str) -> Producer:
    """Make an idempotent producer, which retries while brokers are down. It connects in the background."""
    return Producer({
        "bootstrap.servers": bootstrap_servers,
        "client.id": "crmstream-sinks",
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "compression.type": "lz4",
        "partitioner": "murmur2_random",
        "message.max.bytes": 1_048_588,  # what brokers take by default
        "message.timeout.ms": 0,
        "queue.buffering.max.kbytes": 65_536,  # then the caller waits; by default a gigabyte
    })  # fmt: skip


def _reveal(url: SecretStr | str) -> str:
    return url.get_secret_value() if isinstance(url, SecretStr) else url


def _split(url: SecretStr | str, setting: str, schemes: tuple[str, ...], form: str) -> SplitResult:
    """Split a URL. Raises SettingsError, which shows the expected form and not the URL."""
    try:
        parts = urlsplit(_reveal(url))
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise SettingsError(f"{setting} must have the form {form}", setting=setting)
    return parts


def _clickhouse_arguments(parts: SplitResult) -> dict[str, Any]:
    secure = parts.scheme == "https"
    return {
        "host": parts.hostname,
        "port": parts.port or (8443 if secure else 8123),
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "secure": secure,
        "interface": parts.scheme,
        "compress": "lz4" if not is_loopback(parts.hostname or "") else False,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "autogenerate_session_id": False,  # sessions forbid two queries at a time
        "show_clickhouse_errors": "scrub",  # without the address of the request
    }


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its address or as ``localhost``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _clickhouse_problem(error: ClickHouseError, address: str) -> StoreUnavailableError | StoreRefusedError:
    if clickhouse_is_out(error):
        return StoreUnavailableError(
            f"ClickHouse at {address} does not answer: check CRM_CLICKHOUSE_URL", address=address
        )
    return StoreRefusedError(f"ClickHouse at {address} denies access: {error}", address=address)

"""The parts of an installation other than Kafka: whether each answers, and what it says. Reads only."""

from dataclasses import dataclass
from typing import Final
from urllib.error import HTTPError
from urllib.request import urlopen

from clickhouse_connect.driver.exceptions import ClickHouseError
from redis.exceptions import RedisError

from contracts.errors import CrmError
from crmstream.observe.warehouse import Counts, read_counts
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client, redis_client

_TIMEOUT_SECONDS: Final = 2.0
_REFUSALS: Final = {503: "Kafka is away", 507: "the disk is full"}
_MOST_ANSWER_BYTES: Final = 10_000


@dataclass(frozen=True)
class Part:
    """A server or a worker: whether it answers, and what it says."""

    name: str
    up: bool
    detail: str


def ask_clickhouse(endpoints: Endpoints, database: str) -> tuple[Part, Counts]:
    """Ask ClickHouse for the figures of the warehouse."""
    try:
        client = clickhouse_client(endpoints.clickhouse_url, database)
    except CrmError as error:
        return Part("ClickHouse", False, str(error)), Counts()
    try:
        return Part("ClickHouse", True, f"version {client.server_version}"), read_counts(client)
    except ClickHouseError as error:
        return _refused(database, str(error)), Counts()
    finally:
        client.close()


def _refused(database: str, answer: str) -> Part:
    """A ClickHouse that answers, but not with figures."""
    if "UNKNOWN_DATABASE" in answer or "UNKNOWN_TABLE" in answer:
        return Part("ClickHouse", True, f"database {database} is not there: run `crmstream migrate`")
    return Part("ClickHouse", False, answer.splitlines()[0][:200])


def ask_redis(endpoints: Endpoints) -> Part:
    """Ask Redis (or Valkey) for its version."""
    try:
        with redis_client(endpoints.redis_url) as client:
            server = client.info("server")
        name = "Valkey" if "valkey_version" in server else "Redis"
        return Part("Redis", True, f"{name} {server.get('valkey_version', server['redis_version'])}")
    except (RedisError, OSError, CrmError):
        return Part("Redis", False, "does not answer")


def ask_collector(endpoints: Endpoints) -> list[Part]:
    """Ask the stack's collector, if it has one, whether it takes events."""
    if endpoints.collector_url is None:
        return []
    try:
        with urlopen(f"{endpoints.collector_url}/ready", timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 - our own
            broken = b'"sources_file":"broken"' in answer.read(_MOST_ANSWER_BYTES)
        remark = " (the file of sources is broken; the last good one still holds: see its log)" if broken else ""
        return [Part("collector", True, endpoints.collector_url + remark)]
    except HTTPError as error:
        why = _REFUSALS.get(error.code, f"it answers {error.code}: is it another program?")
        return [Part("collector", False, f"{endpoints.collector_url} takes no events: {why}")]
    except OSError:
        return [Part("collector", False, "does not answer")]

"""What several commands need: connections, ways to print. Moves no data."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import orjson
import typer
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console

from contracts.errors import StoreUnavailableError
from crmstream.stack.endpoints import Endpoints
from sinks.clients import redis_client

console: Final = Console(soft_wrap=False)
"""Standard output."""
notes: Final = Console(stderr=True)
"""Standard error: progress and remarks, so that piped output stays clean."""


def new_app() -> typer.Typer:
    """Make the Typer app of one command. Lines of its help beyond 76 columns break badly in a terminal."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def print_json(value: object) -> None:
    """Print a value as JSON for programs: one document, UTF-8, times with a zone."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode() + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they are: no markup, no colours, no wrapping."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def connect_redis(endpoints: Endpoints) -> Redis:
    """Connect to Redis and make sure that it answers; raises :class:`StoreUnavailableError` if not."""
    client = redis_client(endpoints.redis_url)
    try:
        client.ping()
    except (RedisError, OSError):
        raise StoreUnavailableError(
            "Redis does not answer. `crmstream status` shows which parts are up; check CRM_REDIS_URL."
        ) from None
    return client


def as_time(microseconds: int | None) -> datetime | None:
    """Microseconds since 1970 UTC as a time."""
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1_000_000, UTC)


def percent(probability: str | None) -> str:
    """Write a probability as it is kept in Redis in per cent, or a dash where there is none."""
    try:
        return f"{float(probability or ''):.1%}"
    except ValueError:
        return "–"

"""Where the servers are: from the settings, or from the file that a running stack leaves in its data folder."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from contracts.errors import StackError
from contracts.settings import Settings

STACK_FILE = "stack.json"
DEMO_FOLDER = "demo"
"""The demo's data folder inside CRM_DATA_DIR."""


@dataclass(frozen=True)
class Endpoints:
    """The addresses of one installation. URLs may hold passwords and are left out of the repr."""

    kafka: str
    """Bootstrap servers, ``host:port,...``."""
    clickhouse_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    worker_metrics: tuple[str, ...] = ()
    """``http://host:port/metrics`` of each dataflow process."""
    pid: int = 0
    """Process id of the stack's supervisor; 0 when all servers are outside ones and no stack runs."""
    collector_url: str | None = None
    """``http://host:port`` of the stack's collector, if it runs one."""


def save_endpoints(endpoints: Endpoints, data_dir: Path) -> None:
    """Write ``stack.json`` atomically, readable by its owner only."""
    content = dataclasses.asdict(endpoints) | {"pid_created": psutil.Process(endpoints.pid).create_time()}
    fresh = data_dir / f"{STACK_FILE}.new"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)
    fresh.replace(data_dir / STACK_FILE)


def remove_endpoints(data_dir: Path) -> None:
    """Remove ``stack.json``: the stack is down."""
    (data_dir / STACK_FILE).unlink(missing_ok=True)


def running_stack(data_dir: Path) -> Endpoints | None:
    """Return the endpoints of the stack that runs in the data folder, or None."""
    try:
        content = json.loads((data_dir / STACK_FILE).read_text(encoding="utf-8"))
        created = content.pop("pid_created")
        if abs(psutil.Process(content["pid"]).create_time() - created) > 0.05:
            return None
    except (OSError, ValueError, KeyError, psutil.NoSuchProcess):
        return None
    return Endpoints(**content | {"worker_metrics": tuple(content["worker_metrics"])})


def stack_folder(settings: Settings) -> Path:
    """Return the folder of the stack that commands use: that of the data folder, else its demo's if only that runs."""
    demo = settings.data_dir / DEMO_FOLDER
    alone = running_stack(settings.data_dir) is None and running_stack(demo) is not None
    return demo if alone else settings.data_dir


def resolve_endpoints(settings: Settings) -> Endpoints:
    """Return where the servers are: settings win, else the running stack of the data folder, else its demo.

    Raises:
        StackError: a server is not named by its setting and no stack is running.

    """
    outside = outside_servers(settings)
    running = running_stack(stack_folder(settings))
    if running is not None:
        own = {name: str(getattr(running, name)) for name in SETTING_NAMES}
        return combine(own | outside, running.worker_metrics, running.pid, running.collector_url)
    missing = [setting for name, setting in SETTING_NAMES.items() if name not in outside]
    if missing:
        raise StackError(
            f"no stack is running in {settings.data_dir}: start it with `crmstream up`, "
            f"or name outside servers by {', '.join(missing)}"
        )
    return combine(outside)


def resolve_kafka(settings: Settings) -> str:
    """Return where Kafka is, which is all that some need: the setting wins, else the running stack.

    Raises:
        StackError: Kafka is not named by its setting and no stack is running.

    """
    return settings.kafka_bootstrap_servers or resolve_endpoints(settings).kafka


def combine(
    servers: Mapping[str, str], worker_metrics: tuple[str, ...] = (), pid: int = 0, collector_url: str | None = None
) -> Endpoints:
    """Return the endpoints with the servers given by the name of their field."""
    kafka, clickhouse_url, redis_url = (servers[name] for name in SETTING_NAMES)
    return Endpoints(kafka, clickhouse_url, redis_url, worker_metrics, pid, collector_url)


SETTING_NAMES = {
    "kafka": "CRM_KAFKA_BOOTSTRAP_SERVERS",
    "clickhouse_url": "CRM_CLICKHOUSE_URL",
    "redis_url": "CRM_REDIS_URL",
}


def outside_servers(settings: Settings) -> dict[str, str]:
    """Return the servers that the settings name, by the name of their field in Endpoints."""
    urls = {"clickhouse_url": settings.clickhouse_url, "redis_url": settings.redis_url}
    named = {name: url.get_secret_value() for name, url in urls.items() if url is not None}
    if settings.kafka_bootstrap_servers:
        named["kafka"] = settings.kafka_bootstrap_servers
    return named

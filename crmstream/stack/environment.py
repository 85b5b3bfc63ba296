"""The environment variables of the processes of a stack: all settings, with addresses filled in."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Final

from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints

SECRETS = {"clickhouse_url", "redis_url", "postgres_url", "privacy_key"}
"""Settings that only the processes that need them get."""
STORES = ("CRM_CLICKHOUSE_URL", "CRM_REDIS_URL")
"""They hold passwords, so a process that takes requests from outside does not get them."""
ORDINARY = frozenset({
    "HOME", "JAVA_TOOL_OPTIONS", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "SSL_CERT_DIR",
    "SSL_CERT_FILE", "TEMP", "TMP", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV",
})  # fmt: skip
ORDINARY_PREFIXES = ("COVERAGE_", "LC_", "MALLOC_", "PYTHON")
"""The variables that every program of a stack inherits. All others may hold secrets."""
PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"})
"""Variables for clients of outside servers. They may hold a password, so servers do not get them."""
ALLOCATORS: Final = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""How a worker's memory stays near what it needs, and is cheap to get: one heap for numpy and Arrow, one for other
threads. By default glibc would make a heap per thread, and Arrow keep what it ever needed. Short-lived arrays of up to
32 MB come from the heap: a mapping of its own for each costs a page fault per 4 KB (arrays that last have one:
:mod:`contracts.arrays`). The end of the heap stays, up to 64 MB: batches that give it back and take it again cost a
tenth more CPU in a catch-up. :mod:`crmstream.memory` gives the rest back."""


def ordinary_environment() -> dict[str, str]:
    """Return what a program of the stack inherits of this process's environment."""
    return {
        name: value for name, value in os.environ.items() if name in ORDINARY or name.startswith(ORDINARY_PREFIXES)
    }


def settings_environment(settings: Settings) -> dict[str, str]:
    """Return the settings as ``CRM_*`` variables, without the secrets and without those that are unset."""
    variables = {}
    for name, value in settings.model_dump(mode="json", exclude=SECRETS).items():
        if value is not None:
            variables[f"CRM_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    return variables | {"CRM_DATA_DIR": str(settings.data_dir.resolve())}


def dataflow_environment(settings: Settings, endpoints: Endpoints, addresses: Sequence[str]) -> dict[str, str]:
    """Return the whole environment of a dataflow process: the settings, and what every program needs.

    Args:
        settings: those of the stack.
        endpoints: where the servers are.
        addresses: ``host:port`` of each worker, in the order of their index.

    """
    proxies = {name: value for name, value in os.environ.items() if name in PROXIES}
    return ALLOCATORS | ordinary_environment() | proxies | settings_environment(settings) | {
        "CRM_KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka,
        "CRM_CLICKHOUSE_URL": endpoints.clickhouse_url,
        "CRM_REDIS_URL": endpoints.redis_url,
        "CRM_WORKER_ADDRESSES": ";".join(addresses),
        # each worker is one process of its own: more threads would only contend for the cores
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip


def collector_environment(settings: Settings, environment: Mapping[str, str], port: int) -> dict[str, str]:
    """Return the environment of the collector, from that of the dataflow: its port, and the key of protected fields.

    It inherits all that is not ours: the variables with the secrets of webhooks have names that their users chose.
    """
    key = settings.privacy_key
    own = {} if key is None else {"CRM_PRIVACY_KEY": key.get_secret_value()}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CRM_", "BYTEWAX_"))}
    needed = {name: value for name, value in environment.items() if name not in STORES}
    return {**inherited, **needed, "CRM_COLLECTOR_PORT": str(port), **own}

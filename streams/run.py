"""Runs the dataflow in this process, alone or as one of a cluster, with recovery.

The recovery store is a folder of SQLite files, as many as there are partitions: the most workers ever wanted. It
belongs to one layout (partitions, buckets, sweeps, outcomes); another layout is refused, for its state would be read
wrongly.
"""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from contracts.errors import SettingsError
from contracts.settings import Settings
from streams.dataflow import Stores, build_dataflow

LAYOUT_FILE: Final = "layout.json"


def prepare_recovery(settings: Settings) -> Path:
    """Make the recovery store if there is none; raise :class:`SettingsError` if it has another layout.

    To be called once before workers start, not by each of them.
    """
    folder = settings.data_dir / "recovery"
    layout = layout_of(settings)
    file = folder / LAYOUT_FILE
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        changed = [f"{name} (was {known.get(name)})" for name in layout if known.get(name) != layout[name]]
        if changed:
            raise SettingsError(
                f"the state in {folder} was made with other settings: {', '.join(changed)}. Set them back, use another "
                "CRM_DATA_DIR, or move that folder away to rebuild all state from the start of the log."
            )
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    init_db_dir(folder, settings.partitions)
    file.write_text(json.dumps(layout), encoding="utf-8")
    return folder


def layout_of(settings: Settings) -> dict[str, object]:
    """The settings that stored state depends on."""
    return {
        "CRM_PARTITIONS": settings.partitions,
        "CRM_BUCKETS": settings.buckets,
        "CRM_SWEEP_HOURS": settings.sweep_hours,
        "CRM_OUTCOMES": [outcome.model_dump() for outcome in settings.outcomes],
        "CRM_BASE_CURRENCY": settings.base_currency,
    }


def run_worker(
    settings: Settings, index: int, addresses: Sequence[str], stopping: Callable[[], bool], epoch: timedelta
) -> None:
    """Run worker ``index`` of the cluster at ``addresses`` (fewer than two: alone) until ``stopping`` says True."""
    if settings.kafka_bootstrap_servers is None or settings.clickhouse_url is None or settings.redis_url is None:
        raise SettingsError(
            "a worker needs CRM_KAFKA_BOOTSTRAP_SERVERS, CRM_CLICKHOUSE_URL and CRM_REDIS_URL; `crmstream up` sets them"
        )
    stores = Stores(
        settings.kafka_bootstrap_servers,
        settings.clickhouse_url.get_secret_value(),
        settings.redis_url.get_secret_value(),
    )
    cluster = len(addresses) > 1
    cli_main(
        build_dataflow(settings, stores, stopping),
        process_id=index if cluster else None,
        addresses=list(addresses) if cluster else None,
        epoch_interval=epoch,
        recovery_config=RecoveryConfig(settings.data_dir / "recovery"),
    )

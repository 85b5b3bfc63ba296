"""Runs the dataflow in this process, alone or as one of a cluster, with recovery (:mod:`streams.recovery`)."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from bytewax.recovery import RecoveryConfig
from bytewax.run import cli_main

from contracts.base_currency import BY_FIRST_ORDER, can_be_base, decide
from contracts.errors import SettingsError
from contracts.settings import Settings
from streams.dataflow import Stores, build_dataflow
from streams.in_force import rates_in_force
from streams.recovery import recovery_folder


def run_worker(
    settings: Settings, index: int, addresses: Sequence[str], stopping: Callable[[], bool], epoch: timedelta
) -> None:
    """Run worker ``index`` of the cluster at ``addresses`` (fewer than two: alone) until ``stopping`` says True.

    Call :func:`streams.recovery.begin_run` before.
    """
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
        build_dataflow(settings, stores, stopping, rates_in_force(settings), partial(_decide, settings)),
        process_id=index if cluster else None,
        addresses=list(addresses) if cluster else None,
        epoch_interval=epoch,
        recovery_config=RecoveryConfig(recovery_folder(settings)),
    )


def _decide(settings: Settings, currency: str) -> None:
    """Decide the base currency by the first amount in the log; `crmstream up` then restarts the workers."""
    if can_be_base(currency):
        decide(settings.data_dir, currency, BY_FIRST_ORDER)

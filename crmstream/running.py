"""The composition: a local stack with topics, tables and recovery made ready, and the dataflow on top."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectors.kafka.topics import ensure_topics
from contracts.settings import Settings
from crmstream.cluster.addresses import Cluster
from crmstream.cluster.reports import forget_reports
from crmstream.money.keeper import RatesKeeper
from crmstream.people.keeper import ForgottenKeeper
from crmstream.stack.dataflow import COLLECTOR, WATCH_DISK, DataflowCommands
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.outside import check_outside
from crmstream.stack.supervisor import LocalStack
from crmstream.tables import prepare_tables
from crmstream.traits.keeper import TraitsKeeper
from sinks.clients import check_redis


def whoever_listens(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return ``say`` for a terminal that may be closed or a pipe that may break: the stack goes on, and stops in order.

    On a broken pipe Rich ends the program.
    """

    def said(what: str) -> None:
        with contextlib.suppress(OSError, SystemExit):
            say(what)

    return said


def full_stack(
    settings: Settings, on_event: Callable[[str], None] | None = None, *, with_collector: bool = False
) -> LocalStack:
    """Describe servers, workers, heartbeat and perhaps the collector of one data folder; nothing is started yet."""
    return prepared_stack(settings, whoever_listens(on_event or (lambda _: None)), with_collector=with_collector)


def prepared_stack(
    settings: Settings,
    on_event: Callable[[str], None],
    *,
    with_collector: bool = False,
    cluster: Cluster | None = None,
    look_after: Callable[[LocalStack], None] = lambda _: None,
) -> LocalStack:
    """Describe a stack with topics, tables, state and rates made ready, and perhaps the workers of one host only."""
    keeper, people = RatesKeeper(settings, on_event), ForgottenKeeper(settings, on_event)
    traits = TraitsKeeper(settings, on_event)

    def look(stack: LocalStack) -> None:
        keeper.look_after(stack)
        people.look_after(stack)
        traits.look_after(stack)
        look_after(stack)

    def prepare(endpoints: Endpoints) -> None:
        forget_reports(settings.data_dir, 0 if cluster is None else len(cluster.addresses))
        people.begin()
        keeper.bring_into_force()
        ensure_topics(endpoints.kafka, settings.partitions)
        if settings.redis_url is not None:
            check_redis(endpoints.redis_url)
        prepare_tables(settings, endpoints.clickhouse_url)
        keeper.convert(endpoints)

    collector = COLLECTOR if settings.kafka_bootstrap_servers else (*COLLECTOR, WATCH_DISK)
    return LocalStack(
        settings,
        prepare=prepare,
        on_event=on_event,
        commands=DataflowCommands(collector=collector if with_collector else ()),
        check=lambda: check_outside(settings),
        look_after=look,
        cluster=cluster,
    )


def servers_only(settings: Settings, on_event: Callable[[str], None]) -> LocalStack:
    """Describe the servers of one data folder, with topics and tables made ready, without the dataflow."""

    def prepare(endpoints: Endpoints) -> None:
        ensure_topics(endpoints.kafka, settings.partitions)
        prepare_tables(settings, endpoints.clickhouse_url)

    return LocalStack(
        settings, with_dataflow=False, prepare=prepare, on_event=whoever_listens(on_event),
        check=lambda: check_outside(settings),
    )  # fmt: skip


def money_in(currency: str) -> dict[str, object]:
    """The settings of an installation of its own all of whose money is in one currency, for :func:`apart`."""
    return {"base_currency": currency, "exchange_rates": {}, "exchange_rates_file": None}


def apart(settings: Settings, folder: Path, **changes: object) -> Settings:
    """The settings for a local stack in ``folder`` that shares no server, port or data with any other."""
    own: dict[str, Any] = {
        "data_dir": folder,
        **dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url")),
        **dict.fromkeys(("cluster_addresses", "cluster_index", "forgotten_file")),
        **dict.fromkeys(("kafka_port", "clickhouse_port", "redis_port", "collector_port"), 0),
    }
    return type(settings).model_validate(settings.model_dump() | own | changes)

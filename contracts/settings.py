"""Every setting, read once from the environment (prefix ``CRM_``) into one frozen object.

``docs/operations.md`` lists them; a test fails if one is missing there. Secrets (a password in a URL) come from the
environment only and are never logged.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceError

from contracts.currencies import MOST_RATE, NO_CURRENCY, CurrencyCode, check_code
from contracts.errors import SettingsError
from contracts.outcomes import DEFAULT_OUTCOMES, Outcome

Port = Annotated[int, Field(ge=0, le=65_535)]


class Settings(BaseSettings):
    """The settings of one crmstream installation. Each field's description is its help."""

    model_config = SettingsConfigDict(env_prefix="CRM_", frozen=True, extra="ignore", validate_default=True)

    data_dir: Path = Field(Path(".crmstream"), description="Folder of the local stack's data, logs and recovery store.")
    disk_warn_bytes: int | None = Field(
        None, ge=0, description="Free bytes of CRM_DATA_DIR's disk below which `up` and `status` warn. "
        "Unset: 2 GiB, at most a tenth of the disk.",
    )  # fmt: skip
    disk_stop_bytes: int | None = Field(
        None, ge=0, description="Free bytes of CRM_DATA_DIR's disk below which no events are taken; 0 never stops. "
        "Unset: 512 MiB, at most a 25th of the disk.",
    )  # fmt: skip
    kafka_bootstrap_servers: str | None = Field(
        None, description="Outside Kafka brokers (host:port,...). Unset: the local stack starts its own broker."
    )
    clickhouse_url: SecretStr | None = Field(
        None, description="Outside ClickHouse, http(s)://user:password@host:port. Unset: the local engine."
    )
    clickhouse_database: str = Field(
        "crm", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$", description="ClickHouse database."
    )
    redis_url: SecretStr | None = Field(
        None, description="Outside Redis, redis(s)://user:password@host:port/db. Unset: the local server."
    )

    sources_file: Path | None = Field(
        None, description="File of the sources, their write keys and rules. Unset: sources.yaml in CRM_DATA_DIR."
    )
    traits_file: Path | None = Field(
        None, description="File of declared traits. Unset: traits.yaml in CRM_DATA_DIR, if there is one."
    )
    publish_traits: bool = Field(
        True, description="Whether `crmstream up` keeps traits and accounts in Redis, beside profiles and scores."
    )
    forgotten_file: Path | None = Field(
        None, description="List of forgotten and suppressed people. Unset: forgotten.json in CRM_DATA_DIR."
    )
    order_sources: str | None = Field(
        None, description="Sources that report the same orders, the leading one first, like `shop,stripe`; separate "
        "shops by semicolons. Unset: each source has orders of its own."
    )  # fmt: skip
    privacy_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Secret of 32 or more characters for fields that sources hash or encrypt: `crmstream privacy key`.",
    )

    postgres_url: SecretStr | None = Field(
        None, description="Database of `crmstream connect postgres`, postgresql://user:password@host:port/database."
    )

    kafka_port: Port = Field(0, description="Port of the local broker; 0 takes a free one.")
    clickhouse_port: Port = Field(0, description="Port of the local ClickHouse engine; 0 takes a free one.")
    redis_port: Port = Field(0, description="Port of the local Redis server; 0 takes a free one.")

    collector: bool = Field(True, description="Whether `crmstream up` starts the collector.")
    collector_host: str = Field("127.0.0.1", description="Address on which the collector listens.")
    collector_port: Port | None = Field(
        None, description="Port of the collector; 0 takes a free one. Unset: 8080, for `up` another if that is taken."
    )
    collector_public_url: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+$",
        description="Where SDKs reach the collector, like https://t.example.com. Unset: the address they ask for.",
    )
    collector_max_batch_bytes: int = Field(
        500_000, ge=32_768, le=16_000_000, description="Most bytes of one request; RudderStack's SDKs may send 4000000."
    )
    collector_max_batch_events: int = Field(2_500, ge=1, le=100_000, description="Most messages in one request.")
    collector_delivery_seconds: float = Field(
        5.0, ge=0.1, le=300, allow_inf_nan=False, description="Kafka must acknowledge within it, or the answer is 503."
    )
    collector_live_view: Literal["loopback", "everybody", "nobody"] = Field(
        "loopback", description="Clients that may see the last events and metrics: loopback, everybody or nobody."
    )
    collector_keep_ip: bool = Field(
        False, description="Whether the sender's address goes into context.ip where a message has none."
    )
    collector_trusted_proxies: str = Field(
        "127.0.0.1",
        pattern=r"^(\*|[0-9a-fA-F:./, ]*)$",
        description="Proxies whose X-Forwarded-For names the sender: addresses and networks with commas, or * for all.",
    )

    partitions: int = Field(4, ge=1, le=256, description="Partitions of every topic; fixed when they are created.")
    buckets: int = Field(4, ge=1, le=4_096, description="Buckets of customers; a multiple of the partitions, fixed.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes of the dataflow, at most one per partition.")
    cluster_addresses: str | None = Field(
        None, description="host:port of each worker, with commas, where they run on several hosts: `crmstream worker`."
    )
    cluster_index: str | None = Field(
        None, description="Numbers of the workers of this host, from 0. Unset: those whose address this host has."
    )
    epoch_seconds: float = Field(
        2.0, gt=0, le=60, allow_inf_nan=False, description="Seconds between snapshots of the dataflow's state."
    )
    max_batch_events: int = Field(10_000, ge=1, le=100_000, description="Most records in one batch of the dataflow.")
    replay_step_days: float = Field(
        120,
        gt=0,
        le=3_650,
        allow_inf_nan=False,
        description="Most event-time days in one batch, so partitions stay aligned.",
    )
    replay_epoch_days: float = Field(
        1_095,
        gt=0,
        le=36_500,
        allow_inf_nan=False,
        description="Most event-time days that a partition may advance in one epoch: the bound of their skew.",
    )
    most_waiting_events: int = Field(
        200_000,
        ge=1,
        le=1_000_000_000,
        description="Events of a worker that may wait for a partition that is behind; then the others are not read on.",
    )
    live_backlog_events: int = Field(
        2_000,
        ge=0,
        le=1_000_000_000,
        description="Scores follow events at once while fewer records wait in a partition; else they catch up.",
    )

    sweep_hours: int = Field(24, ge=1, le=24 * 31, description="Event-time hours between sweeps over all customers.")
    dead_letter_breaker: str | None = Field(
        None,
        pattern=r"^(100|[1-9]?\d(\.\d+)?)%$",
        description="Share of invalid records, like 50%, above which a topic is paused until "
        "`crmstream dead-letters resume`. Unset: never.",
    )
    dead_letter_breaker_records: int = Field(
        1_000, ge=10, le=1_000_000, description="Newest records of a topic that CRM_DEAD_LETTER_BREAKER looks at."
    )
    dormant_days: int = Field(730, ge=1, le=36_500, description="Customers silent for longer are no longer swept.")
    training_stride_days: int = Field(14, ge=1, le=90, description="Days between two training snapshots of a customer.")
    training_sample: int = Field(
        20_000,
        ge=100,
        le=100_000_000,
        description="Models learn from at most this many customers per outcome and sweep, over all buckets. If there "
        "are more, a sample is drawn.",
    )
    visitor_days: int = Field(90, ge=1, le=36_500, description="Visitors silent for longer are forgotten.")
    most_merges: int = Field(
        100, ge=1, le=100_000, description="Most anonymous ids that one customer may take over; more are refused."
    )
    duplicate_window_events: int = Field(
        1_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Newest event ids by event time, over all buckets, in which duplicates are recognised.",
    )
    outcomes: tuple[Outcome, ...] = Field(DEFAULT_OUTCOMES, description="Outcomes to predict, as JSON.")
    base_currency: CurrencyCode | None = Field(
        None, description="ISO 4217 currency in which profiles add up. Unset: `crmstream init` or the first order says."
    )
    exchange_rates: dict[str, float] = Field(
        {}, description="Worth of one unit of other currencies in the base currency, as JSON."
    )
    exchange_rates_file: Path | None = Field(
        None, description="CSV file of exchange rates by day: `crmstream rates`. Unset: rates.csv in CRM_DATA_DIR."
    )

    time: Literal["auto", "live", "history"] = Field(
        "auto",
        description="Whether clocks follow the wall clock: live (always), history (never: they stand at the newest "
        "record), auto (while the stream is live, and once a history has settled).",
    )
    history_settles_seconds: float = Field(
        60,
        ge=2,
        le=86_400,
        allow_inf_nan=False,
        description="With CRM_TIME=auto, time moves on to now when a history has been silent for this long.",
    )
    heartbeat_idle_seconds: float = Field(
        2,
        gt=0,
        le=86_400,
        allow_inf_nan=False,
        description="A partition whose clock stands for this long gets a tick, so that it holds none back.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Minimum log level.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.buckets % self.partitions:
            raise ValueError(f"CRM_BUCKETS ({self.buckets}) must be a multiple of CRM_PARTITIONS ({self.partitions})")
        if self.workers > self.partitions:
            raise ValueError(f"CRM_WORKERS ({self.workers}) must not exceed CRM_PARTITIONS ({self.partitions})")
        names = [outcome.name for outcome in self.outcomes]
        if not names or len(set(names)) != len(names):
            raise ValueError("CRM_OUTCOMES must hold at least one outcome, each with a name of its own")
        self._check_money()
        self._check_order_sources()
        longest = (
            max(-(-outcome.within_days * 24 // self.sweep_hours) for outcome in self.outcomes) * self.sweep_hours / 24
        )
        if self.dormant_days <= longest:
            raise ValueError(
                f"CRM_DORMANT_DAYS must be above {longest:g}, the longest within_days of CRM_OUTCOMES in whole sweeps"
            )
        ports = [port for port in (self.kafka_port, self.clickhouse_port, self.redis_port, self.collector_port) if port]
        if len(set(ports)) < len(ports):
            raise ValueError("CRM_KAFKA_PORT, CRM_CLICKHOUSE_PORT, CRM_REDIS_PORT and CRM_COLLECTOR_PORT must differ")
        return self

    @property
    def dead_letter_share(self) -> float | None:
        """``dead_letter_breaker`` as a number from 0 to 1."""
        share = self.dead_letter_breaker
        return None if share is None else float(share.removesuffix("%")) / 100

    @property
    def order_source_groups(self) -> tuple[tuple[str, ...], ...]:
        """``order_sources``: one group of sources per shop, the leading source of each first."""
        groups = (self.order_sources or "").split(";")
        return tuple(tuple(name.strip() for name in group.split(",")) for group in groups if group.strip())

    @property
    def order_shops(self) -> dict[str, str]:
        """``order_sources`` by source: a name of its shop, the same whichever source leads."""
        return {source: min(group) for group in self.order_source_groups for source in group}

    def _check_order_sources(self) -> None:
        names = [name for group in self.order_source_groups for name in group]
        if "" in names:
            raise ValueError("CRM_ORDER_SOURCES: there is a comma without a source beside it")
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"CRM_ORDER_SOURCES: {twice} is listed twice")

    def _check_money(self) -> None:
        if self.base_currency == NO_CURRENCY:
            raise ValueError(f"CRM_BASE_CURRENCY: {NO_CURRENCY} stands for no currency")
        for currency, rate in self.exchange_rates.items():
            try:
                check_code(currency)
            except ValueError as problem:
                raise ValueError(f"CRM_EXCHANGE_RATES: {currency!r}: {problem}") from None
            if not 0 < rate <= MOST_RATE:
                raise ValueError(f"CRM_EXCHANGE_RATES: {currency} must be above 0 and at most {MOST_RATE:,}")
            if currency == self.base_currency:
                raise ValueError(f"CRM_EXCHANGE_RATES: {currency} is the base currency, so its rate is 1: leave it out")


def load_settings(**changes: Any) -> Settings:
    """Read the settings from the environment; ``changes`` (by field name) take precedence.

    Raises :class:`SettingsError` that names every wrong one, and never a secret's value.
    """
    try:
        return Settings(**changes)
    except SourceError as error:
        (name,) = re.findall(r'field "(\w+)"', str(error))
        raise SettingsError(f"CRM_{name.upper()}: is not valid JSON") from None
    except ValidationError as error:
        raise SettingsError("; ".join(map(_in_words, error.errors()))) from None


def _in_words(problem: ErrorDetails) -> str:
    """Return a problem with the name of its variable, and with its place in the JSON if there is one."""
    message = problem["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
    message = message.replace("items after validation", "characters")
    if not problem["loc"]:
        return message
    name, *place = map(str, problem["loc"])
    return f"CRM_{name.upper()}{''.join(f' [{key}]' for key in place)}: {message}"

"""Makes an installation ready to rebuild its profiles and models, from the log or from the warehouse.

The dataflow itself rebuilds them: at its next start it finds no state and reads everything again, first from a copy of
the facts in the order of the log, then from Kafka. Run this while no worker runs. A crash at any line leaves the
installation as it was, or ready to rebuild.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

from clickhouse_connect.driver.client import Client
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.settings import Settings
from contracts.topics import CONSUMER_GROUP, INPUT_TOPICS
from crmstream.observe.kafka import KafkaView, Offsets
from sinks.past_log import PREFIX, Extent, copy_facts, drop_past_log, extents, past_logs, rows_copied
from streams.rebuild import forget_copy, save_copy, saved_copy

ANSWER_SECONDS: Final = 30
LOOK_SECONDS: Final = 0.3
RECOVERY: Final = "recovery"


@dataclass(frozen=True)
class TopicPlan:
    """What is read of one topic: facts that Kafka has lost (None: not asked), their oldest, and records of Kafka."""

    topic: str
    lost: int
    oldest: datetime | None
    records: int


@dataclass(frozen=True)
class Plan:
    """What a rebuild reads; ``facts`` is how many rows of the warehouse are copied for it."""

    topics: Sequence[TopicPlan]
    facts: int


def plan(settings: Settings, view: KafkaView, client: Client) -> Plan:
    """Look at the log and the facts. Raises :class:`LogMismatchError` if the facts are those of another log."""
    offsets = view.offsets()
    found = list(extents(client, offsets.low, settings.partitions))
    _check(found, offsets)
    return Plan([_topic_plan(topic.name, found, offsets) for topic in INPUT_TOPICS], sum(each.facts for each in found))


def _topic_plan(topic: str, found: Sequence[Extent], offsets: Offsets) -> TopicPlan:
    mine = [each for each in found if each.topic == topic]
    records = sum(end - offsets.low[place] for place, end in offsets.end.items() if place[0] == topic)
    oldest = min((each.oldest for each in mine), default=None)
    return TopicPlan(topic, sum(each.lost for each in mine), oldest, records)


def _check(found: Sequence[Extent], offsets: Offsets) -> None:
    for each in found:
        end = offsets.end.get((each.topic, each.partition), 0)
        if each.last >= end:
            raise LogMismatchError(
                f"ClickHouse has facts of {each.topic}-{each.partition} up to offset {each.last:,}, but that log ends "
                f"at {end:,}: it is not the log that the facts come from. A rebuild joins the two by offsets: it "
                "needs the Kafka that this data folder belongs to."
            )


def copy_in_log_order(client: Client, copying: Callable[[], Client], on_progress: Callable[[int], None]) -> str:
    """Copy the facts in the order of the log and return the copy's name.

    The copying has a connection of its own, which ``copying`` makes; ``on_progress`` is called with the rows so far.
    """
    table = f"{PREFIX}{datetime.now(UTC):%Y%m%d_%H%M%S}_{token_hex(2)}"
    failed: list[Exception] = []

    def copy() -> None:
        try:
            copy_facts(copying(), table)
        except Exception as error:  # noqa: BLE001 - raised again where it can be seen
            failed.append(error)

    thread = threading.Thread(target=copy, name="copy-facts", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_SECONDS)
        on_progress(rows_copied(client, table))
    if failed:
        raise failed[0]
    return table


def begin_from_warehouse(settings: Settings, kafka: str, client: Client, table: str) -> Path | None:
    """Let the next start rebuild from a copy of the facts; return where the old state is now, None without one."""
    save_copy(settings.data_dir, table)
    _forget_positions(kafka)
    aside = move_aside(settings.data_dir)
    for older in past_logs(client):
        if older != table:
            drop_past_log(client, older)
    return aside


def begin_from_log(settings: Settings, kafka: str, client: Client) -> Path | None:
    """Let the next start rebuild from the log alone; return where the old state is now, None without one."""
    _forget_positions(kafka)
    aside = move_aside(settings.data_dir)
    forget_copy(settings.data_dir)
    for older in past_logs(client):
        drop_past_log(client, older)
    return aside


def forget_when_done(settings: Settings, kafka: str, client: Client) -> bool:
    """Remove the copy of the facts once all lanes have passed it; return whether it was removed now.

    A lane's position is in the consumer group when its epoch has completed, so a restart does not fall behind it.
    """
    table = saved_copy(settings.data_dir)
    if table is None:
        return False
    offsets = KafkaView(kafka).offsets()
    inputs = {topic.name for topic in INPUT_TOPICS}
    if any(offsets.committed.get(place, 0) < low for place, low in offsets.low.items() if place[0] in inputs):
        return False
    forget_copy(settings.data_dir)
    drop_past_log(client, table)
    return True


def move_aside(data_dir: Path) -> Path | None:
    """Move the recovery store aside; it is never deleted. Return where it is now, None without one."""
    recovery = data_dir / RECOVERY
    if not recovery.exists():
        return None
    aside = data_dir / f"{RECOVERY}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"
    recovery.rename(aside)
    return aside


def _forget_positions(kafka: str) -> None:
    """Remove the positions that the dataflow published: they are those of the state that is moved away."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    try:
        admin.delete_consumer_groups([CONSUMER_GROUP], request_timeout=ANSWER_SECONDS)[CONSUMER_GROUP].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
            reason = error.args[0].str()
            raise StoreUnavailableError(f"Kafka does not delete the group {CONSUMER_GROUP}: {reason}") from None

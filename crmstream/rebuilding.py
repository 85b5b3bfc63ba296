"""Makes an installation ready to rebuild its profiles and models, from the log or from the warehouse.

The dataflow itself rebuilds them: at its next start it finds no state and reads everything again, first what
Kafka has lost from ClickHouse, then from Kafka. Run this while no worker runs. A crash at any line leaves the
installation as it was, or ready to rebuild.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.settings import Settings
from contracts.topics import CONSUMER_GROUP, INPUT_TOPICS
from crmstream.observe.kafka import KafkaView, Offsets
from sinks.clickhouse import INSERT_SETTINGS
from sinks.outbox import Outbox, Ticket
from sinks.outbox_folder import files_in
from sinks.past_log import Extent, extents
from sinks.retries import first_line
from streams.rebuild import forget_ends, save_ends
from streams.recovery import outbox_folder

ANSWER_SECONDS: Final = 30
RECOVERY: Final = "recovery"


@dataclass(frozen=True)
class TopicPlan:
    """What there is of one topic: events that only ClickHouse has, when the oldest came, and the records of Kafka."""

    topic: str
    lost: int
    oldest: datetime | None
    records: int


def plan(settings: Settings, kafka: str, client: Client, *, from_warehouse: bool) -> list[TopicPlan]:
    """Look at the log and the warehouse.

    Raises :class:`LogMismatchError` if ``from_warehouse`` and the warehouse's events come from another log.
    """
    offsets = KafkaView(kafka).offsets()
    found = list(extents(client, offsets.low, settings.partitions))
    if from_warehouse:
        _check(found, offsets)
    return [_topic_plan(topic.name, found, offsets) for topic in INPUT_TOPICS]


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
                f"ClickHouse has events of {each.topic}-{each.partition} up to offset {each.last:,}, but that log ends "
                f"at {end:,}: it is not the log that they come from. A rebuild joins the two by offsets: it "
                "needs the Kafka that this data folder belongs to."
            )


def send_waiting_rows(settings: Settings, client: Client) -> int:
    """Send the rows in the outbox to ClickHouse: a rebuild reads them there. Return how many there were.

    Raises :class:`StoreUnavailableError` if ClickHouse does not take them now.
    """
    folder = outbox_folder(settings)
    outbox = Outbox(folder)
    try:
        sent = sum(_send(ticket, outbox, client) for ticket in outbox.left_over)
    finally:
        outbox.close()
    if files_in(folder):
        raise StoreUnavailableError(f"a worker still sends the rows in {folder} to ClickHouse: stop it first")
    return sent


def _send(ticket: Ticket, outbox: Outbox, client: Client) -> int:
    try:
        client.insert_arrow(ticket.piece.table, ticket.read(), settings=INSERT_SETTINGS)
    except ClickHouseError as error:
        raise StoreUnavailableError(
            f"ClickHouse does not take the rows for table {ticket.piece.table} in {ticket}: {first_line(error)}. "
            "Without them a rebuild would not be complete. Run it again when ClickHouse takes them."
        ) from None
    outbox.done([ticket])
    return ticket.piece.rows


def begin(settings: Settings, kafka: str, *, from_warehouse: bool) -> Path | None:
    """Let the next start of the dataflow rebuild all state; return where the old state is now, None without one."""
    if from_warehouse:
        ends = KafkaView(kafka).offsets().end
        save_ends(settings.data_dir, {
            topic.name: [ends[topic.name, number] for number in range(settings.partitions)] for topic in INPUT_TOPICS
        })  # fmt: skip
    _forget_positions(kafka)
    aside = move_aside(settings.data_dir)
    if not from_warehouse:
        forget_ends(settings.data_dir)
    return aside


def move_aside(data_dir: Path) -> Path | None:
    """Move the recovery store aside; it is never deleted. Return where it is now, None without one."""
    recovery = data_dir / RECOVERY
    if not recovery.exists():
        return None
    aside = data_dir / f"{RECOVERY}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"
    recovery.rename(aside)
    return aside


def _forget_positions(kafka: str) -> None:
    """Remove the positions that the dataflow published: they belong to the state that is moved away."""
    admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})
    try:
        admin.delete_consumer_groups([CONSUMER_GROUP], request_timeout=ANSWER_SECONDS)[CONSUMER_GROUP].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
            reason = error.args[0].str()
            raise StoreUnavailableError(f"Kafka does not delete the group {CONSUMER_GROUP}: {reason}") from None

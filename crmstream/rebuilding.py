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

from contracts.errors import CrmError, StoreUnavailableError
from contracts.settings import Settings
from contracts.topics import CONSUMER_GROUP, INPUT_TOPICS, Ends
from crmstream.coverage import Coverage, Gap, coverages, rebuild_ends
from crmstream.observe.kafka import KafkaView, Offsets
from sinks.clickhouse import INSERT_SETTINGS
from sinks.outbox import Outbox, Ticket
from sinks.outbox_folder import files_in
from sinks.past_log import Extent, extents
from sinks.retries import first_line
from streams.rebuild import forget_ends, save_ends, saved_ends
from streams.recovery import outbox_folder, recovery_folder

ANSWER_SECONDS: Final = 30


@dataclass(frozen=True)
class TopicPlan:
    """What there is of one topic: events that only ClickHouse has, when the oldest came, and the records of Kafka."""

    topic: str
    lost: int
    oldest: datetime | None
    records: int


@dataclass(frozen=True)
class RebuildPlan:
    """What a rebuild reads, and how far the warehouse and the log cover it (nothing without the warehouse)."""

    topics: list[TopicPlan]
    coverage: list[Coverage]

    @property
    def gaps(self) -> list[tuple[Coverage, Gap]]:
        """Return what is in neither."""
        return [(each, gap) for each in self.coverage for gap in each.gaps]

    @property
    def ends(self) -> dict[str, list[int]] | None:
        """Return the offsets up to which the warehouse is read; None: it is not read."""
        return rebuild_ends(self.coverage) if self.coverage else None


class LostEventsError(CrmError):
    """A rebuild would leave out records that neither the warehouse nor the log has."""


def plan(settings: Settings, kafka: str, client: Client, *, from_warehouse: bool) -> RebuildPlan:
    """Look at the log and the warehouse.

    Raises :class:`LogMismatchError` if ``from_warehouse`` and the warehouse's events come from another log.
    """
    offsets = KafkaView(kafka).offsets()
    found = list(extents(client, offsets.low, settings.partitions))
    covered = coverages(offsets, found, saved_ends(settings.data_dir), settings.partitions) if from_warehouse else []
    return RebuildPlan([_topic_plan(topic.name, found, offsets) for topic in INPUT_TOPICS], covered)


def refuse_gaps(planned: RebuildPlan) -> None:
    """Raise :class:`LostEventsError` if records are in neither the warehouse nor the log."""
    lost = sum(gap.records for _, gap in planned.gaps)
    if lost:
        raise LostEventsError(
            f"{lost:,} records of the log are neither in ClickHouse nor in Kafka (see the table): profiles and models "
            "would never count them. Nothing was changed. Ways on: (1) connect to the ClickHouse and the Kafka that "
            "this data folder belongs to, or restore them from a backup; (2) where facts are missing in log_events, "
            "insert them again (docs/operations.md, Rebuilding state); (3) `crmstream rebuild --from-warehouse "
            "--accept-loss`, to rebuild without them."
        )


def _topic_plan(topic: str, found: Sequence[Extent], offsets: Offsets) -> TopicPlan:
    mine = [each for each in found if each.topic == topic]
    records = sum(end - offsets.low[place] for place, end in offsets.end.items() if place[0] == topic)
    oldest = min((each.oldest for each in mine if each.oldest is not None), default=None)
    return TopicPlan(topic, sum(each.lost for each in mine), oldest, records)


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


def begin(settings: Settings, kafka: str, ends: Ends | None) -> Path | None:
    """Let the next start of the dataflow rebuild all state; return where the old state is now, None without one.

    ``ends`` are the offsets up to which it reads the warehouse; None: it reads the log only.
    """
    if ends is not None:
        save_ends(settings.data_dir, ends)
    _forget_positions(kafka)
    aside = move_aside(settings)
    if ends is None:
        forget_ends(settings.data_dir)
    return aside


def move_aside(settings: Settings) -> Path | None:
    """Move the recovery store aside; it is never deleted. Return where it is now, None without one."""
    recovery = recovery_folder(settings)
    if not recovery.exists():
        return None
    aside = recovery.with_name(f"{recovery.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}")
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

"""Undoes a link: publishes an ``Unlink`` event for a device or an e-mail address.

Delivery: the event is in Kafka when :func:`publish_unlink` returns. Published twice, it undoes nothing more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

from clickhouse_connect.driver.client import Client
from redis import Redis

from connectors.door.door import Door
from connectors.door.draft import Draft
from connectors.kafka.publisher import Publisher
from connectors.protocol import Record
from connectors.sources.source import Source
from contracts.errors import CrmError
from contracts.events import FUTURE_TOLERANCE, UNLINK
from contracts.identity import ANONYMOUS, EMAIL, EMAIL_ADDRESS, email_key, visitor_id
from contracts.unlinks import OWN_SOURCE
from crmstream.identity.lookup import LINKED, is_customer, owner_of, read_links

_INSTANT: Final = timedelta(microseconds=1)


class NotLinkedError(CrmError):
    """The id cannot be unlinked, because it is not linked or because it names no device and no address."""


@dataclass(frozen=True)
class Undo:
    """A link to undo: ``named`` is the id as the event carries it (anonymous id or address), ``owner`` its person.

    ``linked_at`` is the time of the link, None if only Redis has it so far.
    """

    named: str
    identity: str
    owner: str
    linked_at: datetime | None

    @property
    def is_address(self) -> bool:
        """Whether an e-mail address is to be unlinked, and not a device."""
        return self.identity.startswith(EMAIL)


def find_link(client: Client, redis: Redis, asked: str) -> Undo:
    """Find the link of a device or of an address. Raises :class:`NotLinkedError` where there is none to undo."""
    if asked.startswith(EMAIL):
        raise NotLinkedError("Name the e-mail address itself: it cannot be found by its hash.")
    bare = asked.removeprefix(ANONYMOUS)
    choices = [visitor_id(bare)] if bare != asked else [visitor_id(bare), email_key(bare)]
    if EMAIL_ADDRESS.fullmatch(bare):
        choices.reverse()
    for identity in choices:
        owner = owner_of(client, redis, identity)
        if owner is not None:
            links = read_links(client, [identity], [])
            since = [link.occurred_at for link in links if (link.person, link.outcome) == (owner, LINKED)]
            return Undo(bare, identity, owner, max(since, default=None))
    if is_customer(client, asked):
        raise NotLinkedError(
            f"{asked} is a customer's own id. Unlink one of its other ids: `crmstream identity show {asked}` has them."
        )
    raise NotLinkedError(f"{asked} is not linked to a customer: there is nothing to undo.")


def unlink_record(undo: Undo, now: datetime, event_clock: datetime | None) -> Record:
    """Make the record of the event.

    It happens at the event clock, so that it moves no clock where the log is a history, and after the link, whose clock
    may have been ahead: decisions about an identity are ordered by the times of their events. It happens now where the
    time of the link is not known yet.
    """
    moment = now if event_clock is None or undo.linked_at is None else min(now, event_clock)
    if undo.linked_at is not None:
        linked_at = undo.linked_at if undo.linked_at.tzinfo else undo.linked_at.replace(tzinfo=UTC)
        moment = min(max(moment, linked_at + _INSTANT), now + FUTURE_TOLERANCE)
    draft: Draft = {
        "event_id": f"unlink-{uuid4().hex}",
        "name": UNLINK,
        "occurred_at": moment,
        "received_at": now,
        "properties": {"previous_id": undo.owner} | ({"traits": {"email": undo.named}} if undo.is_address else {}),
        "customer_id" if undo.is_address else "anonymous_id": undo.owner if undo.is_address else undo.named,
    }
    # No privacy rules: they would change the id that is to be unlinked.
    return Door(Source(name=OWN_SOURCE)).event(draft)


def publish_unlink(publisher: Publisher, record: Record) -> None:
    """Publish the record and wait until Kafka has it."""
    publisher.publish(record)
    publisher.flush()

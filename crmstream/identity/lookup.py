"""Looks an id up: its owner, all ids of that owner, the decisions behind them. Reads only.

The table ``identity_links`` has the newest decision about each pair of an identity and a person, and Redis has the
owner of an identified visitor (``merged_into``) a moment earlier. A device may belong to an address, and the address
to a customer, so owners are followed over two hops.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from redis import Redis

from contracts.errors import CrmError
from contracts.identity import ANONYMOUS, EMAIL, email_key, visitor_id
from contracts.stored import MERGED_FIELD, score_key
from sinks.queries import query

LINKED: Final = "linked"
UNLINKED: Final = "unlinked"


class UnknownIdentityError(CrmError):
    """No event and no link names this id."""


@dataclass(frozen=True)
class Link:
    """The newest decision about an identity and a person; ``occurred_at`` is the time of the event behind it."""

    identity: str
    person: str
    outcome: str
    occurred_at: datetime


@dataclass(frozen=True)
class Identity:
    """What the stores have about an id.

    ``person`` is the customer to whom it belongs, None for a visitor and for a customer's own id. ``address`` is the
    e-mail address (``email:<hash>``) by which a device belongs to its owner. ``links`` are all decisions about the ids
    of the customer, the oldest first, and ``owners`` the owner of each identity among them that has one.
    """

    asked: str
    person: str | None
    address: str | None
    links: Sequence[Link]
    owners: dict[str, str]
    profiles: Sequence[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return {**vars(self), "links": [vars(link) for link in self.links]}


def read_identity(client: Client, redis: Redis, asked: str) -> Identity:
    """Look an id up under all names that it may have. Raises :class:`UnknownIdentityError`."""
    names = names_of(asked)
    chain = [] if is_customer(client, asked) else follow(client, redis, names)
    person = next((owner for owner in chain if not owner.startswith(EMAIL)), None)
    address = next((owner for owner in chain if owner.startswith(EMAIL)), None)
    links = _family(client, names, [*chain, asked])
    owners = owners_of(links)
    mine = [identity for identity, owner in owners.items() if owner in {person, address, asked}]
    profiles = _profiles(client, list(dict.fromkeys([*names, *chain, *mine])))
    if not links and not profiles and not chain:
        raise UnknownIdentityError(
            f"Nothing is known of {asked!r}: no event came under this id, or the dataflow has not read it yet "
            "(`crmstream status`)."
        )
    return Identity(asked, person, address, links, owners, profiles)


def is_customer(client: Client, asked: str) -> bool:
    """Return whether events came with this id as their customer id."""
    return not asked.startswith((ANONYMOUS, EMAIL)) and bool(_profiles(client, [asked]))


def names_of(asked: str) -> list[str]:
    """Return the names under which an id may be known: itself, a visitor's, and an address's."""
    if asked.startswith((ANONYMOUS, EMAIL)):
        return [asked]
    return [asked, visitor_id(asked), email_key(asked)]


def follow(client: Client, redis: Redis, names: Iterable[str]) -> list[str]:
    """Return the owner of the first of these identities that has one, and the owner's owner if that is an address."""
    for name in names:
        owner = owner_of(client, redis, name)
        if owner is not None:
            further = owner_of(client, redis, owner) if owner.startswith(EMAIL) else None
            return [owner] if further is None else [owner, further]
    return []


def owner_of(client: Client, redis: Redis, identity: str) -> str | None:
    """Return the owner of one identity: by Redis, which hears of a link first, else by its decisions in ClickHouse.

    The owner leaves Redis when the identity is unlinked, and when it was silent for long.
    """
    owner: Any = redis.hget(score_key(identity), MERGED_FIELD)
    return owner or owners_of(read_links(client, [identity], [])).get(identity)


def owners_of(links: Iterable[Link]) -> dict[str, str]:
    """Return who owns the identities after these decisions. A link to a customer is above one to an address."""
    undone: dict[str, datetime] = {}
    for link in links:
        if link.outcome == UNLINKED:
            undone[link.identity] = max(link.occurred_at, undone.get(link.identity, link.occurred_at))
    alive = [
        link
        for link in links
        if link.outcome == LINKED and (link.identity not in undone or link.occurred_at > undone[link.identity])
    ]
    alive.sort(key=lambda link: (not link.person.startswith(EMAIL), link.occurred_at))
    return {link.identity: link.person for link in alive}


def read_links(client: Client, identities: Sequence[str], persons: Sequence[str]) -> list[Link]:
    """Read the decisions about some identities, or in favour of some persons, the oldest first."""
    asked = {"identities": list(identities), "persons": list(persons)}
    return [Link(*row) for row in client.query(query("links_of"), parameters=asked).result_rows]


def _family(client: Client, names: Sequence[str], persons: Sequence[str]) -> list[Link]:
    """Read all decisions about the ids of some persons: devices, addresses, and the devices of these addresses."""
    near = read_links(client, names, persons)
    addresses = [link.identity for link in near if link.identity.startswith(EMAIL)]
    ids = {link.identity for link in near} | {link.identity for link in read_links(client, [], addresses)}
    return read_links(client, sorted(ids.union(names)), [*persons, *addresses])


def _profiles(client: Client, ids: Sequence[str]) -> list[dict[str, Any]]:
    return list(client.query(query("profiles_of"), parameters={"ids": list(ids)}).named_results())

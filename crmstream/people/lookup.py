"""Finds a person by any of their ids and reads what ClickHouse holds about them. Reads only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from clickhouse_connect.driver.client import Client
from redis import Redis

from contracts.errors import CrmError
from contracts.identity import ANONYMOUS, EMAIL, visitor_id
from crmstream.identity.lookup import Identity, UnknownIdentityError, is_customer, read_identity
from sinks.queries import query

FAR_AHEAD: Final = "2299-01-01 00:00:00"
"""Before this time are all events."""
FEW: Final = 5
"""The number of people that an error names."""
LEAST_DIGITS: Final = 5
"""A shorter number is in too many phone numbers."""
PHONE: Final = re.compile(r"[+0-9 ()./-]+")


class SeveralPeopleError(CrmError):
    """A text stands for several people."""


@dataclass(frozen=True)
class Person:
    """A person: ``name`` is the customer id, else ``anonymous:<id>`` or ``email:<hash>``; ``ids`` are all of them."""

    name: str
    ids: Sequence[str]

    @property
    def customers(self) -> list[str]:
        """The customer ids."""
        return [each for each in self.ids if not each.startswith((ANONYMOUS, EMAIL))]

    @property
    def visitors(self) -> list[str]:
        """The anonymous ids, as events have them."""
        return [each.removeprefix(ANONYMOUS) for each in self.ids if each.startswith(ANONYMOUS)]


def find_person(client: Client, redis: Redis, asked: str) -> Person:
    """Find a person by customer id, anonymous id, e-mail address, or a whole trait such as a phone number.

    Raises :class:`UnknownIdentityError` if nobody has it, :class:`SeveralPeopleError` if several have.
    """
    try:
        return _person(client, read_identity(client, redis, asked))
    except UnknownIdentityError:
        found = [row for row in search(client, asked, FEW + 1) if row["rank"] == 0]
        if not found:
            raise
        if len(found) > 1:
            names = ", ".join(row["customer_id"] for row in found[:FEW]) + (" and others" if len(found) > FEW else "")
            raise SeveralPeopleError(f"{asked!r} is of several people: {names}. Ask with one of these ids.") from None
        return _person(client, read_identity(client, redis, found[0]["customer_id"]))


def _person(client: Client, found: Identity) -> Person:
    """Return the owner of an id with all ids: those of the owner, and those of an address that is the owner's."""
    name = found.person or found.address
    if name is None:
        known = {row["customer_id"] for row in found.profiles}
        name = found.asked if is_customer(client, found.asked) else visitor_id(found.asked)
        name = name if name in known else next(iter(sorted(known)), name)
    mine = {name, *([found.address] if found.address else [])}
    ids = [identity for identity, owner in found.owners.items() if owner in mine]
    ids += [identity for identity, owner in found.owners.items() if owner in ids]
    return Person(name, list(dict.fromkeys([name, *sorted(mine), *ids])))


def read_traits(client: Client, person: Person) -> list[dict[str, Any]]:
    """Return the newest value of each trait, with ``trait``, ``value`` (plain), ``told_at`` and ``source``."""
    rows = client.query(query("traits_of"), parameters={"ids": list(person.ids)}).named_results()
    return [{"trait": row["trait"], "value": orjson.loads(row["json"]), **_told(row)} for row in rows]


def read_events(
    client: Client, person: Person, most: int, kinds: Sequence[str] = (), before: datetime | None = None
) -> list[dict[str, Any]]:
    """Return the events of a person, the newest first, with their properties as plain values."""
    asked = {
        "customers": person.customers, "visitors": person.visitors, "kinds": list(kinds), "most": most,
        "before": FAR_AHEAD if before is None else f"{before:%Y-%m-%d %H:%M:%S.%f}",
    }  # fmt: skip
    rows = client.query(query("events_of"), parameters=asked).named_results()
    return [{**row, "properties": orjson.loads(row["properties"])} for row in rows]


def search(client: Client, text: str, most: int) -> list[dict[str, Any]]:
    """Return people who have a text in their id or in a trait: ``customer_id``, ``found`` and ``rank`` (0: equal)."""
    digits = "".join(filter(str.isdigit, text)).lstrip("0") if PHONE.fullmatch(text) else ""
    asked = {"text": text, "digits": digits if len(digits) >= LEAST_DIGITS else "", "most": most}
    return list(client.query(query("people_with"), parameters=asked).named_results())


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {"told_at": row["told_at"], "source": row["source"]}

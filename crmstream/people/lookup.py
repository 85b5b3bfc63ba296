"""Finds a person by any of their ids and reads what ClickHouse holds about them. Reads only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from clickhouse_connect.driver.client import Client
from redis import Redis

from contracts.errors import CrmError
from contracts.identity import ANONYMOUS, EMAIL
from crmstream.identity.lookup import Identity, UnknownIdentityError, names_of, read_identity
from sinks.queries import query

FEW: Final = 5
"""The number of people that an error names."""
LEAST_DIGITS: Final = 5
"""A shorter number is in too many phone numbers."""
PHONE: Final = re.compile(r"[+0-9 ()./-]+")
CURSOR: Final = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z) (web|transaction|service|identity) (.+)", re.DOTALL)


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


@dataclass(frozen=True)
class Cursor:
    """A place in the events of a person, which are ordered by time, kind and event id, the newest first."""

    before: datetime
    kind: str = ""
    event_id: str = ""

    def __str__(self) -> str:
        return f"{self.before:%Y-%m-%dT%H:%M:%S.%fZ} {self.kind} {self.event_id}"

    @classmethod
    def after(cls, event: dict[str, Any]) -> "Cursor":
        """Return the place after an event, where the older ones begin."""
        return cls(event["occurred_at"], event["kind"], event["event_id"])

    @classmethod
    def of_text(cls, text: str) -> "Cursor":
        """Read a cursor, or a time (UTC unless it has a zone). Raises :class:`CrmError`."""
        place = CURSOR.fullmatch(text)
        try:
            moment = datetime.fromisoformat(place[1] if place else text)
        except ValueError:
            raise CrmError(f"--before: {text!r} is no time; write one as 2026-11-01 or 2026-11-01 10:30.") from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return cls(moment, place[2], place[3]) if place else cls(moment)


FROM_THE_NEWEST: Final = Cursor(datetime(2299, 1, 1, tzinfo=UTC))
"""Before this place are all events."""


def find_person(client: Client, redis: Redis, asked: str) -> Person:
    """Find a person by customer id, anonymous id, e-mail address, or a whole trait such as a phone number.

    Raises :class:`UnknownIdentityError` if nobody has it, :class:`SeveralPeopleError` if several have.
    """
    check_text(asked)
    try:
        return _person(client, redis, read_identity(client, redis, asked))
    except UnknownIdentityError:
        found = [row for row in search(client, asked, FEW + 1) if row["rank"] == 0]
        if not found:
            raise
        if len(found) > 1:
            names = ", ".join(printable(row["customer_id"]) for row in found[:FEW])
            names += " and others" if len(found) > FEW else ""
            raise SeveralPeopleError(f"{asked!r} is of several people: {names}. Ask with one of these ids.") from None
        return _person(client, redis, read_identity(client, redis, found[0]["customer_id"]))


def check_text(text: str) -> None:
    """Raise :class:`CrmError` for a text that cannot be looked for."""
    if not text.strip():
        raise CrmError("Ask with an id, or a part of one: an empty text is in everything.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CrmError("What you ask for is not UTF-8.") from None


def printable(text: str) -> str:
    """Return a text from outside with escapes for what moves a terminal's cursor or turns the direction of writing."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _person(client: Client, redis: Redis, found: Identity) -> Person:
    """Return the owner of an id with all ids of the owner. The devices of the owner's e-mail address are among them."""
    name = found.person or found.address or _own_name(found)
    if name.startswith(EMAIL) and name != found.asked:  # nobody has signed in: the devices are the address's
        found = read_identity(client, redis, name)
    mine = {name, *([found.address] if found.address else [])}
    ids = [identity for identity, owner in found.owners.items() if owner in mine]
    ids += [identity for identity, owner in found.owners.items() if owner in ids]
    return Person(name, list(dict.fromkeys([name, *sorted(mine), *ids])))


def _own_name(found: Identity) -> str:
    """Return under which of its possible names an id without an owner is known: the first with events, else a link."""
    names = names_of(found.asked)
    known = {row["customer_id"]: row["events"] for row in found.profiles}
    linked = {link.identity for link in found.links} | {link.person for link in found.links}
    seen = [name for name in names if known.get(name)]
    others = [name for name in names if name in known or name in linked]
    return next(iter([*seen, *others]), names[0])


def read_traits(client: Client, person: Person) -> list[dict[str, Any]]:
    """Return the newest value of each trait, with ``trait``, ``value`` (plain), ``set_at`` and ``source``."""
    rows = client.query(query("traits_of"), parameters={"ids": list(person.ids)}).named_results()
    return [
        {"trait": row["trait"], "value": plain(row["json"]), "set_at": row["set_at"].replace(tzinfo=UTC),
         "source": row["source"]} for row in rows
    ]  # fmt: skip


def read_events(
    client: Client, person: Person, most: int, kinds: Sequence[str] = (), before: Cursor = FROM_THE_NEWEST
) -> list[dict[str, Any]]:
    """Return the events of a person, the newest first, with their properties as plain values. Times are in UTC."""
    asked = {
        "customers": person.customers, "visitors": person.visitors, "kinds": list(kinds), "most": most,
        "before": f"{before.before:%Y-%m-%d %H:%M:%S.%f}", "before_kind": before.kind, "before_id": before.event_id,
    }  # fmt: skip
    rows = client.query(query("events_of"), parameters=asked).named_results()
    return [
        {**row, "occurred_at": row["occurred_at"].replace(tzinfo=UTC), "properties": plain(row["properties"])}
        for row in rows
    ]


def search(client: Client, text: str, most: int) -> list[dict[str, Any]]:
    """Return people who have a text in an id or a trait: ``customer_id``, ``found`` and ``rank`` (0: equal)."""
    check_text(text)
    digits = "".join(filter(str.isdigit, text)).lstrip("0") if PHONE.fullmatch(text) else ""
    asked = {"text": text, "digits": digits if len(digits) >= LEAST_DIGITS else "", "most": most}
    return list(client.query(query("people_with"), parameters=asked).named_results())


def plain(text: str) -> Any:
    """Read JSON; what is none stays a text."""
    try:
        return orjson.loads(text)
    except ValueError:
        return text

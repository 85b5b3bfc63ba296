"""Writes the traits of people to Redis: a hash ``crm:traits:{id}`` per owner, as the view ``customer_traits`` has them.

A hash has a field per declared trait, and one per other trait under the name with which it was sent. It is replaced as
a whole, so it may be written any number of times.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Any, Final, Protocol

from clickhouse_connect.driver.client import Client
from redis import Redis

from contracts.errors import CrmError
from contracts.identity import ANONYMOUS, EMAIL
from contracts.stored import traits_key
from contracts.traits import Trait
from crmstream.people.lookup import plain
from crmstream.stores import Stores
from sinks.queries import query
from sinks.traits import LONGEST_QUERY, covered_names, traits_query

PAGE: Final = 500
"""Ids of one request, at most."""
PAGE_BYTES: Final = 48_000
"""Bytes of these ids, at most: ClickHouse takes 128 KiB in a parameter."""
PART: Final = 50_000
"""People of a part, where all are written."""
TRIES: Final = 5
Fields = Mapping[str, str]


class Pending(Protocol):
    """The profile ids that are being erased. ``look`` differs when the list may have changed."""

    def look(self) -> object: ...  # noqa: D102

    def ids(self) -> Set[str]: ...  # noqa: D102


class PeoplesTraits:
    """Writes the hashes of people. Those of visitors expire after ``expires_seconds``, as their other hashes do.

    People who are ``pending`` are left alone. Whoever erases them notes that in the list before, and afterwards: traits
    that were read before the list changed are not written, but read again.
    """

    def __init__(self, declared: Mapping[str, Trait], expires_seconds: int, pending: Pending):
        self._query, self._part = (traits_query(name, declared) for name in ("traits_of_owners", "traits_of_part"))
        self._covered = covered_names(declared)
        self._expires, self._pending = expires_seconds, pending

    @property
    def form(self) -> str:
        """What the form of the hashes depends on: whoever was written in another form is written anew."""
        return f"{self._query} {self._covered}"

    def publish(self, stores: Stores, ids: Sequence[str]) -> None:
        """Write the hashes of the owners of some ids, now and before, and remove the hashes of ids that have an owner.

        Raises an error of the client if a store does not answer.
        """
        for page in _pages(ids):
            if not any(self._page(stores, page) for _ in range(TRIES)):
                raise CrmError("people are erased all the while")

    def parts(self, stores: Stores) -> int:
        """Return in how many parts everybody is written."""
        return -(-int(stores.clickhouse.query(query("count_people_with_traits")).first_row[0]) // PART)

    def publish_part(self, stores: Stores, part: int, parts: int) -> None:
        """Write the hashes of a part of everybody. This reads all traits once.

        Raises an error of the client if a store does not answer.
        """
        look = self._pending.look()
        found = self._found(stores.clickhouse, self._part, {"parts": parts, "part": part, "owner": ""})
        for page in _pages(list(found)):
            if self._pending.look() == look:
                self._write(stores.redis, page, found)
            else:
                self.publish(stores, page)

    def _page(self, stores: Stores, ids: Sequence[str]) -> bool:
        """Write a page; return False if somebody was erased meanwhile, and nothing is written."""
        look = self._pending.look()
        owners = owners_of(stores.clickhouse, [*ids, *self._claimants(stores.clickhouse, ids)])
        people = list(dict.fromkeys(owners.values()))
        mine = {name: owner for name, owner in self._known(stores.clickhouse, people).items() if owner in set(people)}
        found = self._traits(stores.clickhouse, mine | owners | dict(zip(people, people, strict=True)))
        if self._pending.look() != look:
            return False
        self._write(stores.redis, [*people, *(name for name, owner in owners.items() if owner != name)], found)
        return True

    def _write(self, redis: Redis, names: Iterable[str], found: Mapping[str, Fields]) -> None:
        """Replace the hashes of people by what was found, or remove them if it is nothing."""
        hidden = self._pending.ids()
        pipeline = redis.pipeline(transaction=True)
        for name in [name for name in names if name not in hidden]:
            key = traits_key(name)
            pipeline.delete(key)
            fields = found.get(name)
            if fields:
                pipeline.hset(key, items=[*chain.from_iterable(fields.items())])
                if name.startswith((ANONYMOUS, EMAIL)):
                    pipeline.expire(key, self._expires)
        pipeline.execute()

    @staticmethod
    def _claimants(client: Client, ids: Sequence[str]) -> list[str]:
        """Return the people to whom ids, or the e-mail addresses of these, were ever linked."""
        near = _column(client, "claimants_of", "ids", ids)
        return [*near, *_column(client, "claimants_of", "ids", [name for name in near if name.startswith(EMAIL)])]

    @staticmethod
    def _known(client: Client, people: Sequence[str]) -> dict[str, str]:
        """Return who owns the ids that were ever linked to people, or to their e-mail addresses."""
        near = _column(client, "known_ids_of", "people", people)
        far = _column(client, "known_ids_of", "people", [name for name in near if name.startswith(EMAIL)])
        return owners_of(client, list(dict.fromkeys([*near, *far])))

    def _traits(self, client: Client, owners: Mapping[str, str]) -> dict[str, Fields]:
        """Return the fields by owner, from the traits of all ids."""
        found: dict[str, Fields] = {}
        for part in _together(owners):
            whose = set(part.values())
            if len(whose) == 1 and len(list(_pages(list(part)))) > 1:  # one person with very many ids
                found |= self._found(client, self._part, {"parts": 1, "part": 0, "owner": whose.pop()})
            else:
                found |= self._found(client, self._query, {"ids": list(part), "owners": list(part.values())})
        return found

    def _found(self, client: Client, asked: str, parameters: dict[str, Any]) -> dict[str, Fields]:
        parameters = {**parameters, "covered": self._covered}
        answer = client.query(asked, parameters=parameters, settings={"max_query_size": LONGEST_QUERY})
        return {row["owner"]: _fields(row) for row in answer.named_results()}


def owners_of(client: Client, ids: Sequence[str]) -> dict[str, str]:
    """Return the owner of each id; an id without an owner owns itself. The owner of a device may be an address."""
    owners = {name: name for name in ids}
    first = _owners(client, list(owners))
    further = _owners(client, list(dict.fromkeys(first.values())))
    return owners | {name: further.get(owner, owner) for name, owner in first.items()}


def _owners(client: Client, ids: Sequence[str]) -> dict[str, str]:
    return {
        str(name): str(owner)
        for page in _pages(ids)
        for name, owner in client.query(query("owners_of"), parameters={"ids": page}).result_rows
    }


def _column(client: Client, name: str, parameter: str, ids: Sequence[str]) -> list[str]:
    """Return the only column of a query about some ids."""
    found = (client.query(query(name), parameters={parameter: page}).result_rows for page in _pages(ids))
    return list(dict.fromkeys(str(row[0]) for rows in found for row in rows))


def _pages(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut ids into pages of at most :data:`PAGE` ids and :data:`PAGE_BYTES` bytes."""
    start = size = 0
    for at, name in enumerate(ids):
        more = len(name.encode()) + 4
        if at > start and (at - start >= PAGE or size + more > PAGE_BYTES):
            yield ids[start:at]
            start, size = at, 0
        size += more
    if len(ids):
        yield ids[start:]


def _together(owners: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the ids in parts that fit into a page, all of one owner in the same part, which may be larger then."""
    by_owner: dict[str, list[str]] = {}
    for name, owner in owners.items():
        by_owner.setdefault(owner, []).append(name)
    part: dict[str, str] = {}
    size = 0
    for owner, names in by_owner.items():
        more = sum(len(name.encode()) + len(owner.encode()) + 8 for name in names)
        if part and (len(part) + len(names) > PAGE or size + more > PAGE_BYTES):
            yield part
            part, size = {}, 0
        part |= dict.fromkeys(names, owner)
        size += more
    if part:
        yield part


def _fields(row: Mapping[str, Any]) -> Fields:
    """Return the fields of a hash: texts as they are, other values as JSON."""
    others = {name: _text(json) for name, json in row["others"].items()}
    return others | dict(row["declared"])


def _text(json: str) -> str:
    """Return a JSON value as text; what is none stays as it is."""
    value = plain(json)
    return value if isinstance(value, str) else json

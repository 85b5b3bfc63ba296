"""Writes the traits of people to Redis: a hash ``crm:traits:{id}`` per owner, as the view ``customer_traits`` has them.

A hash has a field per declared trait, and one per other trait under the name with which it was sent. It is replaced as
a whole, so it may be written any number of times.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import orjson
from clickhouse_connect.driver.client import Client
from redis import Redis

from contracts.identity import ANONYMOUS, EMAIL
from contracts.stored import traits_key
from contracts.traits import Trait
from sinks.queries import query
from sinks.traits import LONGEST_QUERY, covered_names, traits_query

PAGE: Final = 500
"""People of one request."""
PART: Final = 50_000
"""People of a part, of those that are written all."""
Fields = Mapping[str, str]


@dataclass(frozen=True)
class Stores:
    """The connections of one round."""

    clickhouse: Client
    redis: Redis


class PeoplesTraits:
    """Writes the hashes of people. Those of visitors expire after ``expires_seconds``, as their other hashes do.

    ``pending`` returns the profile ids that are being erased: they are left alone.
    """

    def __init__(self, declared: Mapping[str, Trait], expires_seconds: int, pending: Callable[[], Set[str]]):
        self._query, self._part = (traits_query(name, declared) for name in ("traits_of_owners", "traits_of_part"))
        self._covered = covered_names(declared)
        self._expires, self._pending = expires_seconds, pending

    def publish(self, stores: Stores, ids: Sequence[str]) -> None:
        """Write the hashes of the people to whom some ids belong, and remove those of ids that belong to others.

        Raises an error of the client if a store does not answer.
        """
        for start in range(0, len(ids), PAGE):
            self._page(stores, ids[start : start + PAGE])

    def publish_all(self, stores: Stores) -> None:
        """Write the hashes of everybody, part by part. Each part reads all traits once.

        Raises an error of the client if a store does not answer.
        """
        count = int(stores.clickhouse.query(query("count_people_with_traits")).first_row[0])
        parts = -(-count // PART)
        for part in range(parts):
            asked = {"parts": parts, "part": part, "covered": self._covered}
            found = self._found(stores.clickhouse, self._part, asked)
            names = list(found)
            for start in range(0, len(names), PAGE):
                self._write(stores.redis, names[start : start + PAGE], found)

    def _page(self, stores: Stores, ids: Sequence[str]) -> None:
        owners = owners_of(stores.clickhouse, ids)
        people = dict.fromkeys(owners.values())
        mine = {name: owner for name, owner in self._known(stores.clickhouse, people).items() if owner in people}
        found = self._traits(stores.clickhouse, mine | owners | dict(zip(people, people, strict=True)))
        self._write(stores.redis, [*people, *(name for name in ids if owners[name] != name)], found)

    def _write(self, redis: Redis, names: Iterable[str], found: Mapping[str, Fields]) -> None:
        """Replace the hashes of people by what was found, or remove them if it is nothing."""
        hidden = self._pending()
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

    def _known(self, client: Client, people: Iterable[str]) -> dict[str, str]:
        """Return who owns the ids that were ever linked to people, or to their e-mail addresses."""
        near = _known_ids(client, list(people))
        far = _known_ids(client, [name for name in near if name.startswith(EMAIL)])
        return owners_of(client, list(dict.fromkeys([*near, *far])))

    def _traits(self, client: Client, owners: Mapping[str, str]) -> dict[str, Fields]:
        """Return the fields by owner, from the traits of all ids."""
        found: dict[str, Fields] = {}
        for part in _together(owners):
            asked = {"ids": list(part), "owners": list(part.values()), "covered": self._covered}
            found |= self._found(client, self._query, asked)
        return found

    @staticmethod
    def _found(client: Client, asked: str, parameters: dict[str, Any]) -> dict[str, Fields]:
        answer = client.query(asked, parameters=parameters, settings={"max_query_size": LONGEST_QUERY})
        return {row["owner"]: _fields(row) for row in answer.named_results()}


def owners_of(client: Client, ids: Sequence[str]) -> dict[str, str]:
    """Return to whom each id belongs, itself if to nobody. A device may be an address's, and that a customer's."""
    owners = {name: name for name in ids}
    first = _owners(client, list(ids))
    further = _owners(client, list(dict.fromkeys(first.values())))
    return owners | {name: further.get(owner, owner) for name, owner in first.items()}


def _owners(client: Client, ids: Sequence[str]) -> dict[str, str]:
    return {
        str(name): str(owner)
        for part in _parts(ids)
        for name, owner in client.query(query("owners_of"), parameters={"ids": part}).result_rows
    }


def _known_ids(client: Client, people: Sequence[str]) -> list[str]:
    found = (client.query(query("known_ids_of"), parameters={"people": part}).result_rows for part in _parts(people))
    return list(dict.fromkeys(str(row[0]) for rows in found for row in rows))


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), PAGE):
        yield ids[start : start + PAGE]


def _together(owners: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the ids in parts of some :data:`PAGE`, all of one owner in the same part."""
    part: dict[str, str] = {}
    before = ""
    for name, owner in sorted(owners.items(), key=lambda pair: pair[1]):
        if len(part) >= PAGE and owner != before:
            yield part
            part = {}
        part[name], before = owner, owner
    if part:
        yield part


def _fields(row: Mapping[str, Any]) -> Fields:
    """Return the fields of a hash: texts as they are, other values as JSON."""
    others = {name: _text(json) for name, json in row["others"].items()}
    return others | dict(row["declared"])


def _text(json: str) -> str:
    """Return a JSON value as text; what is none stays as it is."""
    try:
        value = orjson.loads(json)
    except ValueError:
        return json
    return value if isinstance(value, str) else json

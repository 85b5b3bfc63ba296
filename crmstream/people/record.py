"""Writes all that the stores hold about one person as one JSON document. Reads only.

Rows go from ClickHouse to the file as they come, so memory does not grow with their number.
"""

from collections.abc import Callable
from typing import IO, Any

import orjson
from redis import Redis

from contracts.stored import profile_key, score_key, traits_key
from crmstream.people.lookup import Person
from crmstream.people.personal import PERSONAL, parameters, selected
from crmstream.sql.body import Body
from crmstream.sql.export import Query, copy
from crmstream.stores import Stores

Moved = Callable[[str, Body], None]


class RowsAsList:
    """A file for JSON lines that writes them as the items of a list. A line holds no line break of its own."""

    def __init__(self, file: IO[bytes]):
        self._file = file
        self._ended = False
        """Whether a line has ended, and it is not known yet whether another one follows."""

    def write(self, chunk: bytes) -> int:
        """Write a part of the lines."""
        if chunk:
            self._file.write((b",\n" if self._ended else b"") + chunk.removesuffix(b"\n").replace(b"\n", b",\n"))
            self._ended = chunk.endswith(b"\n")
        return len(chunk)


def write_record(stores: Stores, person: Person, asked: str, file: IO[bytes], moved: Moved) -> dict[str, int]:
    """Write the document; return the number of rows by table.

    Raises :class:`crmstream.sql.export_source.ExportError` if ClickHouse fails.
    """
    _member(file, b"{\n", "person", {"id": person.name, "ids": list(person.ids)})
    _member(file, b",\n", "redis", _hashes(stores.redis, person))
    file.write(b',\n"clickhouse": {')
    counts: dict[str, int] = {}
    for table in PERSONAL:
        file.write((b",\n" if counts else b"\n") + orjson.dumps(table) + b": [\n")

        def go_on(body: Body, table: str = table) -> None:
            moved(table, body)

        query = Query(selected(table), parameters(person, asked))
        body = copy(stores.clickhouse, query, "jsonl", RowsAsList(file), go_on)
        file.write(b"\n]")
        counts[table] = body.rows or 0
    file.write(b"\n}\n}\n")
    return counts


def _member(file: IO[bytes], before: bytes, name: str, value: Any) -> None:
    file.write(before + orjson.dumps(name) + b": " + orjson.dumps(value, option=orjson.OPT_INDENT_2))


def _hashes(redis: Redis, person: Person) -> dict[str, dict[str, str]]:
    """Return the hashes of all ids that have one, by key."""
    keys = [key for name in person.ids for key in (score_key(name), profile_key(name), traits_key(name))]
    pipeline = redis.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    return {key: found for key, found in zip(keys, pipeline.execute(), strict=True) if found}

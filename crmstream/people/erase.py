"""Erases people from ClickHouse and Redis.

The ids stand in a table of their own while rows are deleted: ClickHouse keeps the texts of the last mutations. It
rewrites the parts of tables that hold such rows and waits for that; it removes the older files some minutes later.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from secrets import token_hex
from typing import Final

from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from redis import Redis

from contracts.settings import Settings
from contracts.stored import profile_key, score_key, top_key, traits_key
from crmstream.people.lookup import Person
from crmstream.people.personal import PERSONAL, parameters

_SYNC: Final = {"mutations_sync": 2, "allow_nondeterministic_mutations": 1}
_BLOCK: Final = 1_000
_ID_FIELDS: Final = ("customer_id", "anonymous_id", "userId", "anonymousId", "user_id")
ERASED: Final = {
    "dead_letters": "key IN {names:Array(String)} OR multiSearchAny(body, {contacts:Array(String)}) OR "
    + " OR ".join(f"JSONExtractString(body, '{field}') IN {{names:Array(String)}}" for field in _ID_FIELDS),
    **{table: condition for table, condition in PERSONAL.items() if table != "dead_letters"},
}
"""The conditions of the rows to delete. A rejected record must name an id where ids stand, or a contact anywhere: a
short id may be in the records of others too. They are first, for contacts are found by the rows of other tables."""
_LIST: Final = "(SELECT value FROM {listed} WHERE kind = '{kind}')"
_ARRAY: Final = "(SELECT groupArray(value) FROM {listed} WHERE kind = '{kind}')"


def erase_rows(
    client: Client, person: Person, told: Callable[[str], None], contacts: Sequence[str] = ()
) -> dict[str, int]:
    """Delete the rows about a person from every table; return their number by table, without tables that had none.

    ``told`` is called with each table before it is looked through. ``contacts`` are looked for in rejected records.
    """
    deleted: dict[str, int] = {}
    with _listed(client, person, contacts) as listed:
        for table, condition in ERASED.items():
            told(table)
            where = _over(condition, listed)
            found = client.query(f"SELECT count() FROM {table} WHERE {where}").result_rows[0][0]  # noqa: S608 - names of ours
            if found:
                client.command(f"ALTER TABLE {table} DELETE WHERE {where}", settings=_SYNC)
                deleted[table] = int(found)
    return deleted


def erase_keys(redis: Redis, ids: Sequence[str], settings: Settings) -> int:
    """Delete what Redis holds of ids; return the number of hashes."""
    deleted = 0
    for start in range(0, len(ids), _BLOCK):
        some = ids[start : start + _BLOCK]
        pipeline = redis.pipeline(transaction=False)
        for each in some:
            pipeline.delete(score_key(each), profile_key(each), traits_key(each))
        for outcome in settings.outcomes:
            pipeline.zrem(top_key(outcome.name), *some)
        deleted += sum(pipeline.execute()[: len(some)])
    return deleted


@contextmanager
def _listed(client: Client, person: Person, contacts: Sequence[str]) -> Iterator[str]:
    """Yield the name of a table with the parameters of the conditions for a person. It lasts as long as the block."""
    name = f"{quote_identifier(str(client.database))}.people_new_{token_hex(4)}"
    client.command(f"CREATE TABLE {name} (kind LowCardinality(String), value String) ENGINE = Memory")
    try:
        listed = parameters(person) | {"contacts": list(contacts)}
        rows = [(kind, value) for kind, values in listed.items() for value in values]
        for start in range(0, len(rows), _BLOCK):
            client.insert(name, rows[start : start + _BLOCK], column_names=["kind", "value"])
        yield name
    except BaseException:
        client.command("KILL MUTATION WHERE NOT is_done AND position(command, {name:String}) > 0 SYNC", {"name": name})
        raise
    finally:
        client.command(f"DROP TABLE IF EXISTS {name} SYNC")


def _over(condition: str, listed: str) -> str:
    """Return a condition that takes its parameters from the table ``listed``."""

    def rows(found: re.Match[str]) -> str:
        return "IN " + _LIST.format(listed=listed, kind=found[1])

    def array(found: re.Match[str]) -> str:
        return _ARRAY.format(listed=listed, kind=found[1])

    return re.sub(r"\{(\w+):Array\(String\)\}", array, re.sub(r"IN \{(\w+):Array\(String\)\}", rows, condition))

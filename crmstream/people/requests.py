"""Requests of other systems to erase somebody, and people of the list who are there again."""

from contextlib import suppress
from datetime import UTC

from clickhouse_connect.driver.client import Client

from contracts.forgotten import NEVER, Forgotten, microseconds
from contracts.identity import ANONYMOUS
from crmstream.identity.lookup import UnknownIdentityError, is_customer
from crmstream.people.lookup import Person, find_person
from crmstream.stores import Stores
from sinks.queries import query


def requested(stores: Stores, source: str) -> list[Person]:
    """Return the people for whom a source has sent ``Delete User`` and who were not erased since.

    Only the id itself counts: a text that is somebody else's trait must not erase them.
    """
    rows = stores.clickhouse.query(query("deletion_requests"), parameters={"source": source}).result_rows
    return [_exactly(stores, str(name)) for (name,) in rows]


def _exactly(stores: Stores, name: str) -> Person:
    if name.startswith(ANONYMOUS) or is_customer(stores.clickhouse, name):
        with suppress(UnknownIdentityError):
            return find_person(stores.clickhouse, stores.redis, name)
    return Person(name, [name])


def there_again(client: Client, forgotten: Forgotten) -> tuple[list[Person], int]:
    """Return people of the list who have a profile from before their request, as after a restored backup.

    Also return how many have come back since: what is stored of these is left alone.
    """
    found, back = [], 0
    with client.query_row_block_stream(query("profiles_seen")) as stream:
        for block in stream:
            for name, last_seen in block:
                until = forgotten.until(str(name))
                if until == NEVER:
                    continue
                if microseconds(last_seen.replace(tzinfo=UTC)) <= until:
                    found.append(Person(str(name), [str(name)]))
                else:
                    back += 1
    return found, back

"""``crmstream identity``: the decisions of identity resolution, from ClickHouse and Redis. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from clickhouse_connect.driver.client import Client
from redis import Redis

from contracts.errors import CrmError
from contracts.identity import ANONYMOUS, EMAIL, email_key, visitor_id
from contracts.settings import load_settings
from contracts.stored import MERGED_FIELD, score_key
from crmstream.commands.shared import connect_redis, new_app, print_json, print_lines
from crmstream.commands.status_view import plural
from crmstream.stack.endpoints import resolve_endpoints
from sinks.clients import clickhouse_client
from sinks.queries import query

app = new_app()
LINKED: Final = "linked"
WHY: Final = {
    "belongs_to_another": "belongs to another customer already; two known people are never merged",
    "is_a_customer": "is a customer's own id; two known people are never merged",
    "merge_limit": "one id too many for this customer (CRM_MOST_MERGES)",
}
"""What the outcomes of refused links mean."""


class UnknownIdentityError(CrmError):
    """Nothing is known of an id."""


@app.callback(no_args_is_help=True)
def identity() -> None:
    """Show which ids are one person, and why.

    [bold]Examples[/bold]

    crmstream identity show c-000042
    """


@app.command(name="show")
def show(
    identity: Annotated[
        str, typer.Argument(metavar="ID", help="A customer id, an anonymous id, or an e-mail address.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show who an id is: its customer, the customer's other ids, and what was refused.

    Ids are linked by Identify and Alias events; an e-mail address in the
    traits is a second key. A link counts from the next sweep on, in live
    scores at once. Addresses are kept as a hash: ask with the address itself,
    or, where a source hashes it at the door, with what the door makes of it.

    [bold]Examples[/bold]

    crmstream identity show c-000042

    crmstream identity show 507f191e810c19729de860ea --json | jq .person
    """
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    client = clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)
    try:
        found = read_identity(client, connect_redis(endpoints), identity)
    finally:
        client.close()
    if as_json:
        print_json(found.as_json())
    else:
        print_lines(identity_lines(found))


@dataclass(frozen=True)
class Link:
    """One decision about an identity."""

    identity: str
    person: str
    outcome: str
    occurred_at: datetime
    decided_at: datetime


@dataclass(frozen=True)
class Identity:
    """What is known of an id: whose it is, all links of that person, and the profiles under all these ids.

    ``likely`` is the customer by a link that counts from the next sweep on.
    """

    asked: str
    person: str | None
    likely: str | None
    links: Sequence[Link]
    profiles: Sequence[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        links = [vars(link) for link in self.links]
        return {**vars(self), "links": links}


def read_identity(client: Client, redis: Redis, asked: str) -> Identity:
    """Look an id up under all names that it may have. Raises :class:`UnknownIdentityError`."""
    names = names_of(asked)
    links = _links(client, names, [asked])
    person = next((each.person for each in links if each.identity in names and each.outcome == LINKED), None)
    if person is not None and _profiles(client, [asked]):
        person = None  # a customer of that id is nobody else, whoever the visitor of that id is
    likely = None if person or _profiles(client, [asked]) else _likely(redis, names)
    if person is not None:
        links = _links(client, names, [person])
    ids = [*names, *([person] if person else []), *(each.identity for each in links if each.outcome == LINKED)]
    profiles = _profiles(client, list(dict.fromkeys(ids)))
    if not links and not profiles and likely is None:
        raise UnknownIdentityError(
            f"Nothing is known of {asked!r}: no event came under this id, or it is not worked off yet "
            "(`crmstream status`)."
        )
    return Identity(asked, person, likely, links, profiles)


def names_of(asked: str) -> list[str]:
    """The names under which an id may be known: itself, a visitor's, and an address's."""
    if asked.startswith((ANONYMOUS, EMAIL)):
        return [asked]
    return [asked, visitor_id(asked), email_key(asked)]


def _links(client: Client, identities: Sequence[str], persons: Sequence[str]) -> list[Link]:
    asked = {"identities": list(identities), "persons": list(persons)}
    return [Link(*row) for row in client.query(query("links_of"), parameters=asked).result_rows]


def _profiles(client: Client, ids: Sequence[str]) -> list[dict[str, Any]]:
    return list(client.query(query("profiles_of"), parameters={"ids": list(ids)}).named_results())


def _likely(redis: Redis, names: Iterable[str]) -> str | None:
    found: Any = (redis.hget(score_key(name), MERGED_FIELD) for name in names)
    return next((person for person in found if person is not None), None)


def identity_lines(found: Identity) -> list[str]:
    """Lay out an identity: whose it is, then each link and profile under its whole id."""
    lines = [_whose(found)]
    linked = [each for each in found.links if each.outcome == LINKED]
    refused = [each for each in found.links if each.outcome != LINKED]
    for title, links in (("Linked", linked), ("Refused", refused)):
        lines += ["", title] if links else []
        for each in links:
            whom = f"to {each.person}, at {_minute(each.occurred_at)}"
            lines += [f"  {each.identity}", f"    {whom}", f"    {_why(each)}"]
    lines += ["", "Profiles"] if found.profiles else []
    for row in found.profiles:
        lines += [f"  {row['customer_id']}", f"    {_profile(row)}"]
    return lines


def _whose(found: Identity) -> str:
    if found.person is not None:
        return f"{found.asked} is customer {found.person}."
    if found.likely is not None:
        return (f"{found.asked} is likely customer {found.likely}:\n"
                "a link of today, which counts for good from the next sweep on.")  # fmt: skip
    if any(not row["customer_id"].startswith(ANONYMOUS) for row in found.profiles):
        return f"{found.asked} is a customer."
    return f"{found.asked} is a visitor who is not identified."


def _why(link: Link) -> str:
    return f"counts from {_minute(link.decided_at)}" if link.outcome == LINKED else WHY[link.outcome]


def _profile(row: dict[str, Any]) -> str:
    if row["merged_into"]:
        return f"part of {row['merged_into']}"
    counts = f"{plural(row['events'], 'event')}, {plural(row['orders'], 'order')}"
    return f"{counts}, seen {_minute(row['first_seen'])} to {_minute(row['last_seen'])}"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"

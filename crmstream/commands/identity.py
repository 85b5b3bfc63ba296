"""``crmstream identity``: who is whom, from ClickHouse and Redis. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from clickhouse_connect.driver.client import Client
from redis import Redis
from rich.markup import escape
from rich.table import Table

from contracts.errors import CrmError
from contracts.identity import ANONYMOUS, EMAIL, email_key, visitor_id
from contracts.settings import load_settings
from contracts.stored import MERGED_FIELD, score_key
from crmstream.commands.shared import connect_redis, console, new_app, print_json
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
        _print(found)


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


def _print(found: Identity) -> None:
    asked = escape(found.asked)
    if found.person is not None:
        console.print(f"[bold]{asked}[/bold] is customer [bold]{escape(found.person)}[/bold].")
    elif found.likely is not None:
        console.print(f"[bold]{asked}[/bold] is likely customer [bold]{escape(found.likely)}[/bold]: "
                      "a link of today, which counts for good from the next sweep on.")  # fmt: skip
    elif any(not row["customer_id"].startswith(ANONYMOUS) for row in found.profiles):
        console.print(f"[bold]{asked}[/bold] is a customer.")
    else:
        console.print(f"[bold]{asked}[/bold] is a visitor whom nobody has identified.")
    linked = [each for each in found.links if each.outcome == LINKED]
    refused = [each for each in found.links if each.outcome != LINKED]
    if linked:
        console.print(_links_table("Linked", linked, "counts from"))
    if refused:
        console.print(_links_table("Refused", refused, "why"))
    if found.profiles:
        console.print(_profiles_table(found.profiles))


def _links_table(title: str, links: Iterable[Link], last: str) -> Table:
    table = Table("id", "customer", "at", last, title=title, title_justify="left")
    for each in links:
        told = f"{each.decided_at:%Y-%m-%d %H:%M}" if each.outcome == LINKED else WHY[each.outcome]
        table.add_row(escape(each.identity), escape(each.person), f"{each.occurred_at:%Y-%m-%d %H:%M}", told)
    return table


def _profiles_table(profiles: Iterable[dict[str, Any]]) -> Table:
    table = Table("profile", "events", "orders", "first seen", "last seen", title="Profiles", title_justify="left")
    for row in profiles:
        if row["merged_into"]:
            table.add_row(escape(row["customer_id"]), f"[dim]in {escape(row['merged_into'])}[/dim]")
            continue
        seen = (f"{row[name]:%Y-%m-%d %H:%M}" for name in ("first_seen", "last_seen"))
        table.add_row(escape(row["customer_id"]), f"{row['events']:,}", f"{row['orders']:,}", *seen)
    return table

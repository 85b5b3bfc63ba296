"""``crmstream customer``: who somebody is: traits, profile, scores, events. Reads only."""

import shlex
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Final

import orjson
import typer

from contracts.stored import score_key
from crmstream.commands.aligned import aligned
from crmstream.commands.score import UnknownCustomerError, read_customer, score_lines
from crmstream.commands.shared import connect_redis, console, new_app, notes, print_json, print_lines
from crmstream.commands.warehouse import warehouse
from crmstream.observe.clock import read_as_of
from crmstream.observe.workers import read_pages
from crmstream.people.lookup import (
    FROM_THE_NEWEST,
    Cursor,
    Person,
    find_person,
    printable,
    read_events,
    read_traits,
    search,
)
from crmstream.stack.endpoints import Endpoints, stack_folder

app = new_app()
LAST_EVENTS: Final = 10
"""The number of events that ``show`` has."""
LONGEST: Final = 60
"""Characters of a value in a line."""

class Kind(StrEnum):
    """A kind of events, as an option that may be given several times: Typer takes no list of literals."""

    WEB = "web"
    TRANSACTION = "transaction"
    SERVICE = "service"
    IDENTITY = "identity"


Asked = Annotated[
    str,
    typer.Argument(
        metavar="ID", help="A customer id, an anonymous id, an e-mail address, a phone number, or another whole trait."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.callback(no_args_is_help=True)
def customer() -> None:
    """Show who somebody is, find people, list what they did.

    [bold]Examples[/bold]

    crmstream customer show c-000042

    crmstream customer search someone@example.com

    crmstream customer events c-000042 --kind transaction
    """


@app.command(name="show")
def show(asked: Asked, as_json: AsJson = False) -> None:
    """Show traits, scores with their reasons, profile, ids and last events.

    Any id of the person will do: of a device that is the customer's, the
    customer is shown. Scores and profile come from Redis, and so follow within
    a second; traits and events come from ClickHouse, some seconds later.

    [bold]Examples[/bold]

    crmstream customer show c-000042

    crmstream customer show +4915112345678 --json | jq .traits
    """
    with warehouse("trait_facts") as (settings, endpoints, client):
        redis = connect_redis(endpoints)
        person = find_person(client, redis, asked)
        try:
            scored = read_customer(redis, person.name, settings.outcomes)
        except UnknownCustomerError:  # silent for so long that Redis has forgotten the person
            scored = {"customer_id": person.name, "outcomes": {}, "profile": {}}
        traits = read_traits(client, person)
        events = read_events(client, person, LAST_EVENTS)
        clock = str(read_as_of(read_pages(endpoints, stack_folder(settings))))
    if as_json:
        plain = {trait["trait"]: trait["value"] for trait in traits}
        print_json({**scored, "ids": person.ids, "traits": plain, "last_events": events})
        return
    print_lines(score_lines(scored, clock, console.width))
    print_lines(trait_lines(traits, console.width))
    print_lines(id_lines(person))
    print_lines(["", "Last events", *event_lines(events, console.width)])


@app.command(name="search")
def find(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A part of an id or of a trait.")],
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="At most so many people.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Find people by a part of an id, a name, an e-mail address, a phone number.

    It looks at customer ids, anonymous ids and the newest value of every trait,
    in capitals or not. Who has exactly this text comes first. Of phone numbers
    only the digits count. It reads all traits: some seconds with millions of
    customers.

    [bold]Examples[/bold]

    crmstream customer search "@example.com" --limit 100

    crmstream customer search "0151 1234567" --json
    """
    with warehouse("trait_facts") as (_, endpoints, client):
        found = _found(client, endpoints, text, limit)
    if as_json:
        print_json(found)
    elif found:
        rows = [
            [printable(row["customer_id"]), row["lifecycle"], row["segment"], _short(row["found"])] for row in found
        ]
        print_lines(aligned(["customer", "lifecycle", "segment", "found"], rows, width=console.width, needed=1))
    else:
        notes.print(f"Nobody has {text!r} in an id or a trait.", markup=False, highlight=False)
    if not found:
        raise typer.Exit(1)


@app.command(name="events")
def events(
    asked: Asked,
    kinds: Annotated[
        list[Kind] | None, typer.Option("--kind", help="Only events of this kind; may be given several times.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="At most so many events.")] = 50,
    before: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only events before this time (UTC); a full page says the next.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the events of one person, the newest first, from all channels.

    With --json each event has its properties. A full page says how to ask for
    the older ones.

    [bold]Examples[/bold]

    crmstream customer events c-000042

    crmstream customer events c-000042 --kind service --kind transaction

    crmstream customer events c-000042 --before "2026-11-01" --json
    """
    start = FROM_THE_NEWEST if before is None else Cursor.of_text(before)
    with warehouse("trait_facts") as (_, endpoints, client):
        person = find_person(client, connect_redis(endpoints), asked)
        found = read_events(client, person, limit, [str(kind) for kind in kinds or ()], start)
    if as_json:
        print_json(found)
        return
    if not found:
        notes.print(f"{printable(person.name)} has no such events.", markup=False, highlight=False)
        return
    print_lines([printable(person.name), *event_lines(found, console.width)])
    if len(found) == limit:
        older = shlex.quote(str(Cursor.after(found[-1])))
        notes.print(f"Older ones: --before {printable(older)}", markup=False, highlight=False, soft_wrap=True)


def _found(client: Any, endpoints: Endpoints, text: str, limit: int) -> list[dict[str, Any]]:
    """Search, and add what Redis knows of each person."""
    rows = search(client, text, limit)
    pipeline = connect_redis(endpoints).pipeline(transaction=False)
    for row in rows:
        pipeline.hmget(score_key(row["customer_id"]), ["lifecycle", "segment"])
    known = [{"lifecycle": lifecycle or "", "segment": segment or ""} for lifecycle, segment in pipeline.execute()]
    return [
        {"customer_id": row["customer_id"], "found": row["found"], **more}
        for row, more in zip(rows, known, strict=True)
    ]


def trait_lines(traits: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Lay out traits: name, value, and since when it has been so."""
    if not traits:
        return []
    rows = [
        [
            f"  {_short(each['trait'])}", _short(_text(each["value"])), f"{each['set_at']:%Y-%m-%d}",
            _short(each["source"]),
        ] for each in traits
    ]  # fmt: skip
    return ["", *aligned(["Traits", "", "since", "source"], rows, width=width, needed=2)]


def id_lines(person: Person) -> list[str]:
    """Lay out the other ids of a person."""
    others = [printable(each) for each in person.ids if each != person.name]
    return ["", "Ids", *(f"  {each}" for each in others)] if others else []


def event_lines(events: Sequence[Mapping[str, Any]], width: int) -> list[str]:
    """Lay out events, a line for each."""
    rows = [
        [f"  {each['occurred_at']:%Y-%m-%d %H:%M}", *(_short(each[name]) for name in ("name", "about", "source"))]
        for each in events
    ]
    return aligned(["  time", "event", "about", "source"], rows, width=width, needed=2) if rows else ["  none"]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _short(text: str) -> str:
    """One short line: what comes from outside must not move the cursor."""
    line = printable(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"

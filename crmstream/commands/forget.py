"""``crmstream forget``: erases people, and keeps them out when their events come again."""

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer
from redis import Redis

from contracts.errors import CrmError
from contracts.forgotten import forgotten_path, read_forgotten
from contracts.settings import Settings, load_settings
from crmstream.commands.exporting import spinner
from crmstream.commands.shared import connect_redis, console, new_app, print_lines
from crmstream.commands.status_view import plural
from crmstream.commands.warehouse import warehouse
from crmstream.observe.workers import read_pages
from crmstream.people.forget import Erased, Work, forget, is_contact, pending_person, person_of
from crmstream.people.lookup import Person, printable
from crmstream.people.requests import requested, there_again
from crmstream.stack.endpoints import Endpoints, stack_folder
from crmstream.stores import Stores
from sinks.clients import clickhouse_client
from sinks.migrations import ANSWER_SECONDS

app = new_app()
_LATER = (
    "The dataflow does not run. It removes them from its state when it starts: run `crmstream forget --pending` then."
)
_KAFKA = "Kafka has their records until the retention of its topics ends; no worker reads them again."


@app.command(name="forget")
def run(  # noqa: PLR0913, PLR0917 - one parameter per option
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Ids, e-mail addresses, phone numbers.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    source: Annotated[
        str | None, typer.Option("--requested-by", metavar="SOURCE", help="People for whom a source sent Delete User.")
    ] = None,
    pending: Annotated[bool, typer.Option("--pending", help="Go on with what was begun and not finished.")] = False,
    listed: Annotated[
        bool, typer.Option("--listed", help="Listed people who are stored again, as after a restored backup.")
    ] = False,
    log: Annotated[bool, typer.Option("--log", help="Only list what was asked for and when.")] = False,
) -> None:
    """Erase people for good, after a question.

    Everything of a person goes: all ids, the profile, what waits to train a
    model, every row of ClickHouse, the hashes of Redis, rejected records. The
    workers restart for it, which takes some seconds. A list of hashed ids keeps
    the person out: events from before this moment are left out when they are
    read or sent again. Later events make a new customer of the same id; say
    `crmstream suppress ID` before to keep these out, too. After a restored
    backup, --listed erases listed people who are stored again. Models keep what
    they have learned.

    [bold]Examples[/bold]

    crmstream forget c-000042

    crmstream forget someone@example.com c-000043 --yes

    crmstream forget --requested-by shop --yes
    """
    if log:
        print_lines(_log(load_settings()))
        return
    asked = ids or []
    if not asked and source is None and not (pending or listed):
        raise CrmError("Nobody is named. Name ids, or --requested-by, --listed or --pending (see --help).")
    with warehouse("trait_facts") as (settings, endpoints, client):
        stores = Stores(client, connect_redis(endpoints))
        people = [person_of(stores, each) for each in asked]
        people += requested(stores, source) if source is not None else []
        people += _listed(settings, stores) if listed else []
        unfinished = pending_person(settings)
        if not people and unfinished is None:
            print_lines(["There is nobody to forget."])
            return
        if not yes:
            print_lines(_question(people, unfinished))
            typer.confirm("Erase for good?", abort=True, err=True)
        contacts = [each for each in asked if is_contact(each)]
        erased, removed = _forget(settings, endpoints, stores.redis, people, contacts)
    print_lines(_told(erased, removed=removed))


def _listed(settings: Settings, stores: Stores) -> list[Person]:
    found, back = there_again(stores.clickhouse, read_forgotten(forgotten_path(settings)))
    if back:
        print_lines([f"{plural(back, 'id')} of the list came back after the request and stay: name them to erase."])
    return found


def _forget(
    settings: Settings, endpoints: Endpoints, redis: Redis, people: Sequence[Person], contacts: Sequence[str]
) -> tuple[Erased, bool]:  # fmt: skip
    """Erase people. Return what was erased, and whether the state is rid of them."""
    running = any(page is not None for page in read_pages(endpoints, stack_folder(settings)))
    url, database = endpoints.clickhouse_url, settings.clickhouse_database
    with spinner() as progress, closing(clickhouse_client(url, database, answer_seconds=ANSWER_SECONDS)) as patient:
        task = progress.add_task("listing them", total=None)

        def told(what: str) -> None:
            progress.update(task, description=what)

        work = Work(running, datetime.now(UTC), told)
        return forget(settings, Stores(patient, redis), people, contacts, work), running


def _question(people: Sequence[Person], unfinished: Person | None) -> list[str]:
    lines = [f"{printable(person.name)}, with {plural(len(person.ids), 'id')} in all" for person in people]
    if unfinished is not None:
        lines.append(f"{plural(len(unfinished.ids), 'id')} of before, whose erasure was not finished")
    return lines


def _told(erased: Erased, *, removed: bool) -> list[str]:
    rows = sum(erased.rows.values())
    lines = [
        f"Forgot {plural(erased.ids, 'id')}: {plural(rows, 'row')} of {plural(len(erased.rows), 'table')}, "
        f"{plural(erased.hashes, 'key')} of Redis."
    ]
    return [*lines, _KAFKA if removed else _LATER]


def _log(settings: Settings) -> list[str]:
    """Lay the list out: it says when, not who."""
    people = read_forgotten(forgotten_path(settings)).people
    width = max(console.width - 34, 10)
    lines = [
        f"{entry.asked_at}  {'suppressed' if entry.is_for_ever else 'forgotten '}  {hashed[:width]}"
        for hashed, entry in sorted(people.items(), key=lambda pair: (pair[1].asked_at, pair[0]))
    ]
    return lines or ["Nobody was forgotten so far."]

"""``crmstream identity``: shows which ids are one customer, and undoes a link."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from contracts.identity import ANONYMOUS, EMAIL
from contracts.settings import Settings
from crmstream.commands.aligned import indented
from crmstream.commands.shared import connect_redis, console, new_app, notes, print_json, print_lines
from crmstream.commands.status_view import plural
from crmstream.commands.warehouse import warehouse
from crmstream.identity.lookup import LINKED, UNLINKED, Identity, Link, read_identity
from crmstream.identity.unlink import Undo, find_link, publish_unlink, unlink_record
from crmstream.observe.clock import read_as_of
from crmstream.observe.waiting import NotDoneError, wait_for_dataflow
from crmstream.observe.workers import read_pages
from crmstream.publishing import RoomGate, new_publisher, usable_kafka
from crmstream.stack.endpoints import Endpoints, stack_folder

app = new_app()
WAIT_SECONDS: Final = 30.0
WHY: Final = {
    "belongs_to_another": "belongs to another customer already; two known customers are never merged",
    "is_a_customer": "is a customer's own id; two known customers are never merged",
    "merge_limit": "one id too many for this customer (CRM_MOST_MERGES)",
}
"""What the outcomes of refused links mean."""
_EFFECT: Final = (
    "What was merged stays with the customer. From the next sweep on, events under this id count for the visitor "
    "again, until an event links the id once more."
)

Id = Annotated[str, typer.Argument(metavar="ID", help="A customer id, an anonymous id, or an e-mail address.")]
Unlinkable = Annotated[str, typer.Argument(metavar="ID", help="An anonymous id or an e-mail address.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.callback(no_args_is_help=True)
def identity() -> None:
    """Show which ids are one customer and why, or undo a wrong link.

    [bold]Examples[/bold]

    crmstream identity show c-000042

    crmstream identity unlink 507f191e810c19729de860ea
    """


@app.command(name="show")
def show(identity: Id, as_json: AsJson = False) -> None:
    """Show the customer of an id, the customer's other ids, and refused links.

    Identify and Alias events link ids; an e-mail address in the traits is an
    id too. Links count as soon as the dataflow has read them. Addresses are
    kept as a hash: ask with the address itself, or, where a source hashes
    addresses before Kafka, with that hash.

    [bold]Examples[/bold]

    crmstream identity show c-000042

    crmstream identity show 507f191e810c19729de860ea --json | jq .person
    """
    with warehouse("identity_links") as (_, endpoints, client):
        found = read_identity(client, connect_redis(endpoints), identity)
    if as_json:
        print_json(found.as_json())
    else:
        print_lines(identity_lines(found))


@app.command(name="unlink")
def unlink(identity: Unlinkable, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Undo the link of a device or an e-mail address, after a question.

    For a link that is wrong: a borrowed phone, an address typed by somebody
    else. It publishes an Unlink event. What was merged stays with the
    customer: counts and sums cannot be taken apart. From the next sweep on
    (within CRM_SWEEP_HOURS) events under this id count for the visitor again,
    with a new history. A later Identify or Alias may link the id again, to any
    customer. Write anonymous:ID if an anonymous id looks like an address.

    [bold]Examples[/bold]

    crmstream identity unlink 507f191e810c19729de860ea

    crmstream identity unlink someone@example.com --yes
    """
    with warehouse("identity_links") as (settings, endpoints, client):
        undo = find_link(client, connect_redis(endpoints), identity)
        if undo.linked_at is None:  # Redis hears of a link at once; ClickHouse has its time, up to an epoch later
            with suppress(NotDoneError):
                wait_for_dataflow(endpoints.kafka, WAIT_SECONDS)
            undo = find_link(client, connect_redis(endpoints), identity)
        if not yes:
            print_lines(indented(_EFFECT, console.width, indent=""))
            typer.confirm(f"Unlink {undo.named} from {undo.owner}?", abort=True, err=True)
        _publish(settings, endpoints, undo)
    print_lines(indented(_after(settings, endpoints, undo), console.width, indent=""))


def _publish(settings: Settings, endpoints: Endpoints, undo: Undo) -> None:
    gate = RoomGate(settings, notes.print)
    kafka = usable_kafka(settings, gate)
    record = unlink_record(undo, datetime.now(UTC), _clock(settings, endpoints))
    with new_publisher(settings, kafka, gate, source="identity") as publisher:
        publish_unlink(publisher, record)


def _clock(settings: Settings, endpoints: Endpoints) -> datetime | None:
    """Return the event clock; None while the dataflow does not run."""
    return read_as_of(read_pages(endpoints, stack_folder(settings))).event_clock


def _after(settings: Settings, endpoints: Endpoints, undo: Undo) -> str:
    """Wait for the dataflow, if it runs, and say how things stand."""
    if _clock(settings, endpoints) is None:
        return f"Published. The dataflow does not run: it unlinks {undo.named} when it has started. {_EFFECT}"
    try:
        wait_for_dataflow(endpoints.kafka, WAIT_SECONDS)
    except NotDoneError:
        return f"Published. The dataflow is behind (`crmstream status`): it unlinks {undo.named} when it is there."
    return f"{undo.named} is unlinked from {undo.owner}. {_EFFECT}"


def identity_lines(found: Identity) -> list[str]:
    """Lay out an identity: its customer, then each link and profile under its whole id."""
    lines = _heading(found)
    for title, links in _sections(found).items():
        lines += ["", title] if links else []
        for link in links:
            lines += [f"  {link.identity}", *(f"    {line}" for line in _link(link))]
    lines += ["", "Profiles"] if found.profiles else []
    for row in found.profiles:
        lines += [f"  {row['customer_id']}", f"    {_profile(row)}"]
    return lines


def _sections(found: Identity) -> dict[str, Sequence[Link]]:
    """The decisions by what they mean now: in force, undone or overtaken, refused."""
    sections: dict[str, list[Link]] = {"Linked": [], "Earlier": [], "Refused": []}
    for link in found.links:
        if link.outcome == LINKED and found.owners.get(link.identity) == link.person:
            sections["Linked"].append(link)
        elif link.outcome in (LINKED, UNLINKED):
            sections["Earlier"].append(link)
        else:
            sections["Refused"].append(link)
    return {**sections}


def _heading(found: Identity) -> list[str]:
    if found.person is not None:
        by = [f"through the address {found.address}."] if found.address else []
        return [f"{found.asked} is customer {found.person}{',' if by else '.'}", *by]
    if found.address is not None:
        return [f"{found.asked} is a visitor with the address", f"{found.address}, which is no customer's yet."]
    if any(not row["customer_id"].startswith((ANONYMOUS, EMAIL)) for row in found.profiles):
        return [f"{found.asked} is a customer."]
    return [f"{found.asked} is a visitor who is not identified."]


def _link(link: Link) -> list[str]:
    at = _minute(link.occurred_at)
    if link.outcome == UNLINKED:
        return [f"unlinked from {link.person}, at {at}"]
    why = [] if link.outcome == LINKED else [WHY.get(link.outcome, link.outcome)]
    return [f"to {link.person}, at {at}", *why]


def _profile(row: dict[str, Any]) -> str:
    if row["merged_into"]:
        return f"part of {row['merged_into']}"
    if not row["events"]:
        return "no events since it was unlinked"
    counts = f"{plural(row['events'], 'event')}, {plural(row['orders'], 'order')}"
    return f"{counts}, seen {_minute(row['first_seen'])} to {_minute(row['last_seen'])}"


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"

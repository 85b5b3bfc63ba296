"""``crmstream export-person``: all that is stored about one person, as JSON. Reads only."""

import sys
from contextlib import nullcontext
from typing import Annotated

import typer
from rich.markup import escape

from crmstream.commands.exporting import place_of, spinner, stoppable, target_of
from crmstream.commands.shared import connect_redis, new_app, notes
from crmstream.commands.status_view import plural
from crmstream.commands.warehouse import warehouse
from crmstream.people.lookup import find_person, printable
from crmstream.people.record import write_record
from crmstream.sql.body import Body
from crmstream.sql.export import Target, whole_file
from crmstream.stores import Stores

app = new_app()


@app.command(name="export-person")
def run(
    asked: Annotated[
        str, typer.Argument(metavar="ID", help="A customer id, an anonymous id, an e-mail address, a phone number.")
    ],
    out: Annotated[str, typer.Option("--out", "-o", metavar="FILE", help="The file; - for standard output.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
) -> None:
    """Write all that is stored about one person to a file, as JSON.

    For a person who asks what is known of them: all ids, the hashes of Redis,
    and the rows of every table of ClickHouse that are about one of the ids,
    with rejected records that name one. Only its owner may read the file, and
    it appears when it is complete. Records of the last months are also in
    Kafka (docs/operations.md says for how long): the same events.

    [bold]Examples[/bold]

    crmstream export-person c-000042 --out c-000042.json

    crmstream export-person someone@example.com --out - | jq .person
    """
    target = target_of(out, overwrite=overwrite)  # before the connection
    with stoppable():
        name, counts = _write(asked, target)
    what = f"{plural(sum(counts.values()), 'row')} about {printable(name)}"
    notes.print(escape(f"Wrote {what} to {place_of(out)}."), highlight=False, soft_wrap=True)


def _write(asked: str, target: Target | None) -> tuple[str, dict[str, int]]:
    with warehouse("trait_facts") as (_, endpoints, client):
        redis = connect_redis(endpoints)
        person = find_person(client, redis, asked)
        opened = nullcontext(sys.stdout.buffer) if target is None else whole_file(target)
        with spinner() as progress, opened as file:
            task = progress.add_task("waiting for the first rows", total=None)

            def moved(table: str, body: Body) -> None:
                progress.update(task, description=f"{table}: {plural(body.rows or 0, 'row')}")

            return person.name, write_record(Stores(client, redis), person, asked, file, moved)

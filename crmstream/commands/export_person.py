"""``crmstream export-person``: all that is stored about one person, as JSON. Reads only."""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from crmstream.commands.shared import connect_redis, new_app, notes
from crmstream.commands.status_view import plural
from crmstream.commands.warehouse import warehouse
from crmstream.people.lookup import find_person, printable
from crmstream.people.record import Stores, write_record
from crmstream.sql.body import Body
from crmstream.sql.export import Target, whole_file
from crmstream.sql.export_source import STDOUT
from crmstream.stack.signals import StopSignals

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
    target = None if out == STDOUT else Target(Path(out), overwrite)
    if target is not None:
        target.check()  # before the connection
    signals = StopSignals()
    signals.install()
    try:
        name, counts = _write(asked, target)
    except KeyboardInterrupt:
        notes.print("Stopped: the export is not complete.")
        raise typer.Exit(130) from None
    finally:
        signals.restore()
    place = "standard output" if target is None else out
    what = f"{plural(sum(counts.values()), 'row')} about {printable(name)}"
    notes.print(escape(f"Wrote {what} to {place}."), highlight=False, soft_wrap=True)


def _write(asked: str, target: Target | None) -> tuple[str, dict[str, int]]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with warehouse("trait_facts") as (_, endpoints, client):
        redis = connect_redis(endpoints)
        person = find_person(client, redis, asked)
        progress = Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal)
        opened = nullcontext(sys.stdout.buffer) if target is None else whole_file(target)
        with progress, opened as file:
            task = progress.add_task("waiting for the first rows", total=None)

            def moved(table: str, body: Body) -> None:
                progress.update(task, description=f"{table}: {plural(body.rows or 0, 'row')}")

            return person.name, write_record(Stores(client, redis), person, asked, file, moved)

"""``crmstream sql``: ask the warehouse. Reads only, unless ``--write`` is given."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import CrmError
from contracts.settings import load_settings
from crmstream.commands.shared import console, new_app, notes
from crmstream.commands.status_view import plural
from crmstream.sql.layout import Format, lay_out
from crmstream.sql.session import Session
from crmstream.sql.shell import Shell, history
from crmstream.sql.statements import statements
from crmstream.stack.endpoints import resolve_endpoints
from sinks.clients import clickhouse_client

app = new_app()


class NothingToRunError(CrmError):
    """No statement was given."""


@app.command(name="sql")
def run(
    query: Annotated[str | None, typer.Argument(help="The statement. Without it: a shell, or standard input.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", exists=True, dir_okay=False, help="Run the statements of a file.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How rows are written.")] = "table",
    limit: Annotated[int, typer.Option(min=0, help="Most rows of one answer; 0 for all.")] = 1_000,
    write: Annotated[bool, typer.Option("--write", help="Allow statements that change something.")] = False,
) -> None:
    r"""Ask the warehouse: run SQL on ClickHouse, or open a shell.

    Only reads, unless --write is given. Tables wider than the terminal are
    written as records below each other. Write FINAL after a table's name:
    without it, rows that were written again count twice until ClickHouse has
    merged them. In the shell a statement ends with a semicolon; \tables lists
    the tables, \describe TABLE its columns, \help the rest, and \q leaves.
    docs/contracts.md describes the tables.

    [bold]Examples[/bold]

    crmstream sql

    crmstream sql "SELECT count() FROM customers FINAL"

    crmstream sql -f report.sql --format csv --limit 0 > report.csv
    """
    settings = load_settings()
    text = query if query is not None else _given(file)
    client = clickhouse_client(resolve_endpoints(settings).clickhouse_url, settings.clickhouse_database)
    session = Session(client, write, limit)
    try:
        if text is None:
            notes.print(f"Database {settings.clickhouse_database}. \\help lists the shell's commands, \\q leaves.")
            with history(settings.data_dir):
                Shell(lambda statement, chosen: _answer(session, statement, chosen), _say, form).loop()
        else:
            _run_all(session, text, form)
    finally:
        client.close()


def _given(file: Path | None) -> str | None:
    """The statements of the file or of standard input; None where a person types."""
    if file is not None:
        return file.read_text(encoding="utf-8-sig")
    return None if sys.stdin.isatty() else sys.stdin.read()


def _run_all(session: Session, text: str, form: Format) -> None:
    found = statements(text)
    if not found:
        raise NothingToRunError("There is no statement to run.")
    for statement in found:
        _answer(session, statement, form)


def _answer(session: Session, statement: str, form: Format) -> None:
    answer = session.run(statement)
    if answer.text is not None:
        sys.stdout.buffer.write(answer.text)
        sys.stdout.flush()
    elif answer.columns or answer.rows:
        sys.stdout.write(lay_out(answer, form, console.width))
        sys.stdout.flush()
    if answer.cut:
        notes.print(f"[yellow]Only the first {plural(session.limit, 'row')}: there are more (--limit 0 for all).[/]")
    count = "" if answer.text is not None else f"{plural(len(answer.rows), 'row')} in "
    notes.print(f"[dim]{count}{answer.seconds:.3f} s[/]", highlight=False)


def _say(text: str) -> None:
    notes.print(text, markup=False, highlight=False, soft_wrap=True)

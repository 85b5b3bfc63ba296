"""The command ``crmstream``: what commands there are, and how they fail.

A command's module is imported only when that command runs, so that ``--help`` answers at once. Moves no data.
"""

import logging
import os
from importlib import import_module
from typing import Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from contracts.errors import CrmError

RUN: Final = "Run"
FEED: Final = "Feed events in"
READ: Final = "Read what came out"

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "init": (RUN, "Make the data folder and decide the base currency."),
    "up": (RUN, "Start the local stack and the dataflow; Ctrl-C stops them."),
    "worker": (RUN, "Run this host's workers of a dataflow on several hosts; Ctrl-C stops them."),
    "demo": (RUN, "Show it all: a local stack, a simulated shop, live scores in the terminal."),
    "env": (RUN, "Print where the servers of the stack listen, as variables of a shell."),
    "rebuild": (RUN, "Compute all profiles and models anew, when state is lost or cannot be read."),
    "migrate": (RUN, "Create the Kafka topics and bring the ClickHouse database up to date."),
    "simulate": (FEED, "Publish the history of a simulated shop, then let it go on live."),
    "import": (FEED, "Look at a file of orders, propose a mapping, and publish it after a yes."),
    "replay": (FEED, "Publish the history in a file, by a mapping."),
    "watch": (FEED, "Publish every file that appears in a folder."),
    "collect": (FEED, "Take events over HTTP, from the SDKs of Segment and RudderStack."),
    "webhook": (FEED, "Try webhook mappings on samples, and list or send them."),
    "source": (FEED, "Say who may send events: sources and their write keys."),
    "plan": (FEED, "Hold what comes in against a tracking plan."),
    "privacy": (FEED, "Make the key for protected fields, and read a field back."),
    "rates": (FEED, "Say what currencies are worth in the base currency."),
    "connect": (FEED, "Publish the changes of a database, each exactly once."),
    "score": (READ, "Show the scores and the profile of one customer."),
    "customer": (READ, "Show who somebody is, find people, list what they did."),
    "identity": (READ, "Show which ids are one customer and why, or undo a wrong link."),
    "top": (READ, "List the customers with the highest score of an outcome."),
    "sql": (READ, "Ask the warehouse: run SQL on ClickHouse, or open a shell."),
    "export": (READ, "Write a table, a view or the answer of a query to a file: CSV, Parquet or JSON lines."),
    "export-person": (READ, "Write all that is stored about one person to a file, as JSON."),
    "forget": (RUN, "Erase people for good, after a question."),
    "suppress": (RUN, "Keep the events of people out from now on."),
    "dead-letters": (READ, "List, show, retry or purge the records that were rejected; resume topics."),
    "status": (READ, "Show which parts are up, how far the dataflow is behind, and how fast it goes."),
    "backtest": (READ, "Score a purchase history as of dates in the past, to see what the scores are worth."),
}
"""Every command: its panel and its line in the overview. The rest is in ``crmstream.commands.<name>``."""

_MODULES: Final = {"import": "import_file"}
"""Commands whose module is called otherwise: their name is a word of Python."""

OVERVIEW: Final = """Real-time analytic CRM: live scores for every customer, from an event stream.

[bold]Try it[/bold]

  crmstream demo                    [dim]everything at once, on this machine[/dim]

[bold]Or step by step[/bold]

  crmstream up                      [dim]stack and dataflow, until Ctrl-C[/dim]
  crmstream simulate                [dim]a shop's history, in another terminal[/dim]
  crmstream status                  [dim]how far it is[/dim]
  crmstream top churn               [dim]who is about to leave[/dim]
  crmstream score c-000042          [dim]why[/dim]

Settings are environment variables (CRM_...); docs/operations.md lists them. CRM_DATA_DIR chooses the stack.
"""


def load_command(name: str) -> Any:
    """Import one command."""
    return typer.main.get_command(import_module(f"crmstream.commands.{_MODULES.get(name, name.replace('-', '_'))}").app)


class LazyCommands(TyperGroup):
    """Lists all commands by their line in :data:`COMMANDS`, and imports the one that runs."""

    def __init__(self, **attributes: Any):
        super().__init__(**attributes)
        for name, (panel, line) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=line, rich_help_panel=panel)

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the parent's signature
        """List the commands in the order in which they are told here."""
        return list(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is asked for."""
        if args[0] in COMMANDS:
            self.commands[args[0]] = load_command(args[0])
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error that a person can act on becomes one line and exit code 1."""
        _warn_of_typos()
        try:
            return super().invoke(ctx)
        except CrmError as error:
            Console(stderr=True, soft_wrap=True).print(f"[bold red]Error:[/] {escape(str(error))}")
            raise typer.Exit(1) from None


def _warn_of_typos() -> None:
    """Say which variables look like settings and are none. The processes of a stack do not come by here."""
    named = [name for name in os.environ if name.upper().startswith("CRM_")]
    if named:
        for sentence in import_module("contracts.misspelled").unknown_settings(named):
            Console(stderr=True, soft_wrap=True).print(f"[yellow]Warning:[/] {escape(sentence)}", highlight=False)


app = typer.Typer(
    cls=LazyCommands,
    help=OVERVIEW,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # locals may hold customers' data
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _crmstream() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")

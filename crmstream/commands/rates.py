"""``crmstream rates``: what currencies are worth in the base currency, and which amounts wait for a rate.

Delivery: the file of rates is replaced as a whole; a stack that runs follows it and converts what waited, once.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from contracts.errors import InputFileError, SettingsError, StackError
from contracts.rates import Rates, Steps, day_number, day_of
from contracts.settings import Settings, load_settings
from crmstream.commands.shared import console, new_app, print_json
from crmstream.money.installation import installation_rates
from crmstream.money.rates_file import parse_currency, parse_rate, rates_path, read_rates, write_rates
from crmstream.money.words import as_rows, read_waiting, stored_lines
from crmstream.stack.endpoints import Endpoints, resolve_endpoints
from sinks.exchange_rates import Waiting

app = new_app()
Code = Annotated[str, typer.Argument(metavar="CURRENCY", help="ISO 4217 code, like USD.")]
Worth = Annotated[str, typer.Argument(metavar="RATE", help="What 1 of it is worth in the base currency.")]
Since = Annotated[
    datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day on which it holds. Default: always.")
]
File = Annotated[Path, typer.Argument(help="CSV file with the columns currency, from, rate.")]


@app.callback(no_args_is_help=True)
def _rates() -> None:
    """Say what currencies are worth in the base currency.

    An amount in a currency without a rate waits: its order counts, its money
    does not yet. Once there is a rate, a running stack converts what waits.
    The rate with the newest day that is not after the event's holds; before
    the first day the first one. See docs/money.md.

    [bold]Examples[/bold]

    crmstream rates set EUR 1.08

    crmstream rates load rates-of-the-bank.csv

    crmstream rates show
    """


@app.command()
def show(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Show the base currency, the rates, and the amounts that wait for one.

    [bold]Examples[/bold]

    crmstream rates show
    """
    settings = load_settings()
    rates, decision = installation_rates(settings)
    endpoints = _running(settings)
    waiting = None if endpoints is None else read_waiting(settings, endpoints)
    if as_json:
        print_json(_as_dictionary(rates, waiting))
        return
    if rates.steps:
        console.print(_table(rates))
    for line in stored_lines(decision, waiting):
        console.print(line, soft_wrap=True)
    if waiting is None:
        console.print("[dim]Amounts that wait are shown while the stack runs.[/dim]")


@app.command(name="set")
def set_rate(currency: Code, rate: Worth, since: Since = None) -> None:
    """Set the rate of a currency, from a day on or always.

    [bold]Examples[/bold]

    crmstream rates set EUR 1.08

    crmstream rates set EUR 1.11 --from 2026-01-01
    """
    settings = load_settings()
    try:
        code, worth = parse_currency(currency.strip()), parse_rate(rate.strip())
    except ValueError as problem:
        raise SettingsError(f"{problem}.") from None
    path = rates_path(settings)
    steps = read_rates(path)
    first = day_number(since.date()) if since else 0
    if first < 0:
        raise SettingsError("--from: lies before 1970.")
    days = dict(steps.get(code, ())) | {first: worth}
    _replace(settings, steps | {code: tuple(sorted(days.items()))})
    _say_next(settings, f"1 {code} is {worth:g} {_base(settings)}{f' from {day_of(first)} on' if first else ''}.")


@app.command()
def load(file: File) -> None:
    """Take all rates from a CSV file in place of those in the file of rates.

    [bold]Examples[/bold]

    crmstream rates load rates-of-the-bank.csv
    """
    settings = load_settings()
    if not file.exists():
        raise InputFileError(f"Exchange rates {file}: is not there.")
    steps = read_rates(file)
    _replace(settings, steps)
    count = sum(map(len, steps.values()))
    _say_next(settings, f"{count:,} rates of {len(steps):,} currencies are in {rates_path(settings)}.")


def _replace(settings: Settings, steps: dict[str, Steps]) -> None:
    """Write the file of rates, unless it would contradict what else is said of money."""
    decision = installation_rates(settings)[1]
    if decision is None:
        raise SettingsError("a rate is a worth in the base currency, which is undecided: run `crmstream init` first.")
    if decision.currency in steps:
        raise SettingsError(f"{decision.currency} is the base currency: its rate is 1.")
    twice = sorted(steps.keys() & settings.exchange_rates.keys())
    if twice:
        raise SettingsError(f"CRM_EXCHANGE_RATES has a rate of {', '.join(twice)}: change it there, or remove it.")
    write_rates(rates_path(settings), steps)


def _base(settings: Settings) -> str:
    return installation_rates(settings)[0].base or ""


def _say_next(settings: Settings, done: str) -> None:
    running = _running(settings)
    then = "The stack converts what waits, within seconds." if running else "`crmstream up` converts what waits."
    console.print(f"{done} {then}", soft_wrap=True)


def _running(settings: Settings) -> Endpoints | None:
    try:
        return resolve_endpoints(settings)
    except StackError:
        return None


def _as_dictionary(rates: Rates, waiting: list[Waiting] | None) -> dict[str, Any]:
    rows = [
        {"currency": code, "from": _day(day), "rate": rate}
        for code, steps in sorted(rates.steps.items()) for day, rate in steps
    ]  # fmt: skip
    return {"base_currency": rates.base, "rates": rows, "waiting": as_rows(waiting)}


def _day(number: int) -> date | None:
    return day_of(number) if number else None


def _table(rates: Rates) -> Table:
    table = Table("currency", "from", f"in {rates.base}", title="Exchange rates", title_justify="left")
    for code, steps in sorted(rates.steps.items()):
        for day, rate in steps:
            table.add_row(code, str(_day(day) or ""), f"{rate:g}")
    return table



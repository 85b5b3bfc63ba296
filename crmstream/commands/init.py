"""``crmstream init``: make the data folder and decide the base currency. Does no harm when run twice."""

import sys
from typing import Annotated

import typer

from contracts.base_currency import BY_INIT, FILE, Decision, base_currency, decide
from contracts.currencies import NO_CURRENCY, check_code
from contracts.errors import SettingsError
from contracts.settings import Settings, load_settings
from crmstream.commands.shared import console, new_app

app = new_app()
Code = Annotated[
    str | None, typer.Option(metavar="CODE", help="ISO 4217 code, like EUR. Without it a terminal is asked.")
]


@app.command(name="init")
def run(base_currency: Code = None) -> None:
    """Make the data folder and decide the base currency.

    Revenue adds up in the base currency; amounts in other currencies are
    converted into it (crmstream rates). The decision is made once and kept in
    base-currency.json in CRM_DATA_DIR. Without it the first order that comes
    in decides.

    [bold]Examples[/bold]

    crmstream init --base-currency EUR

    CRM_DATA_DIR=/srv/crm crmstream init
    """
    settings = load_settings()
    decision = decide_by_hand(settings, base_currency)
    if decision is None and sys.stdin.isatty():
        decision = ask(settings)
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if decision is None:
        console.print("The base currency is that of the first order that comes in.")
    else:
        console.print(f"Base currency: {decision}, kept in {settings.data_dir / FILE}.", soft_wrap=True)


def decide_by_hand(settings: Settings, wanted: str | None) -> Decision | None:
    """Decide for ``wanted``, if it is given; return the decision. Raises :class:`SettingsError`."""
    made = base_currency(settings)
    if wanted is None:
        return made
    try:
        code = check_code(wanted)
    except ValueError as problem:
        raise SettingsError(f"--base-currency: {problem}.") from None
    if made is None:
        made = decide(settings.data_dir, code, BY_INIT)
    if made.currency != code:
        raise SettingsError(
            f"--base-currency is {code}, but this installation counts in {made}. To count everything anew in {code}: "
            f"stop `crmstream up`, remove {settings.data_dir / FILE} and run `crmstream rebuild --from-warehouse`."
        )
    return made


def ask(settings: Settings) -> Decision | None:
    """Ask on the terminal; an empty answer leaves it to the first order."""
    while True:
        answer = console.input("Base currency, in which revenue adds up (like EUR; empty: that of the first order): ")
        code = answer.strip().upper()
        if not code:
            return None
        try:
            if check_code(code) != NO_CURRENCY:
                return decide(settings.data_dir, code, BY_INIT)
        except ValueError:
            pass
        console.print(f"{code} is not an ISO 4217 currency code.", markup=False)

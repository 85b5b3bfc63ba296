"""``crmstream privacy``: the key of protected fields, and reading one back. Moves no events."""

import secrets
import sys
from typing import Annotated

import orjson
import typer

from connectors.privacy.protection import Protector
from contracts.errors import SettingsError
from contracts.settings import load_settings
from crmstream.commands.shared import new_app, notes

app = new_app()
KEY_BYTES = 32

Token = Annotated[str | None, typer.Argument(help="The value, enc:1:...; without it, one a line from standard input.")]


@app.callback(no_args_is_help=True)
def _privacy() -> None:
    """Make the key for protected fields, and read a field back.

    Sources may have fields that are hashed or encrypted before anything is
    kept (docs/sources/privacy.md). Both need one secret, CRM_PRIVACY_KEY.

    [bold]Examples[/bold]

    crmstream privacy key

    crmstream privacy decrypt enc:1:...
    """


@app.command(name="key")
def key() -> None:
    """Make a new secret for CRM_PRIVACY_KEY, and print it.

    Keep it where you keep passwords, and set the same one for every process.
    With another key the same person gets another hash, and what the lost one
    encrypted is lost.

    [bold]Example[/bold]

    crmstream privacy key
    """
    notes.print("Set this as CRM_PRIVACY_KEY for every crmstream process, and keep it safe:", highlight=False)
    typer.echo(secrets.token_urlsafe(KEY_BYTES))


@app.command(name="decrypt")
def decrypt(value: Token = None) -> None:
    """Read an encrypted field back, with the key in CRM_PRIVACY_KEY.

    A text is printed as it is, anything else as JSON.

    [bold]Examples[/bold]

    crmstream privacy decrypt enc:1:...

    crmstream privacy decrypt < values.txt
    """
    secret = load_settings().privacy_key
    if secret is None:
        raise SettingsError("CRM_PRIVACY_KEY is not set: only who holds the key can read encrypted fields.")
    protector = Protector(secret)
    for token in [value] if value is not None else filter(None, map(str.strip, sys.stdin)):
        content = protector.decrypt(token)
        typer.echo(content if isinstance(content, str) else orjson.dumps(content).decode())

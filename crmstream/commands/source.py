"""``crmstream source``: the file of sources, its write keys and what is configured there. Moves no events."""

import os
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from connectors.sources.edit import add_key, add_source, revoke
from connectors.sources.source import Source, WriteKey, in_force, load_sources
from connectors.sources.webhook import MissingSecretError, WebhookPart
from contracts.errors import InputFileError
from contracts.settings import load_settings
from crmstream.commands.shared import console, new_app, notes, print_json
from crmstream.configured import sources_file

app = new_app()
OTHERS = "(others)"
SHOWN_DIGITS = 12
"""Digits of a key's hash that are shown: enough to tell keys apart."""

Name = Annotated[str, typer.Argument(help="The source's name.")]
Rate = Annotated[float | None, typer.Option(min=0.001, max=1_000_000, help="Most events per second of one key.")]
Prefix = Annotated[str | None, typer.Option("--key", help="How the key's hash begins, as `source list` shows it.")]
All = Annotated[bool, typer.Option("--all", help="Revoke all keys of the source.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.callback(no_args_is_help=True)
def _source() -> None:
    """Say who may send events: sources and their write keys.

    A source is a shop, an app, a server: whatever sends events of its own.
    It shows a write key with what it sends. Sources are kept in a YAML file
    (CRM_SOURCES_FILE), with their rules: docs/sources. Running collectors
    see a change within a second.

    [bold]Examples[/bold]

    crmstream source add web-shop

    crmstream source list
    """


@app.command(name="add")
def add(name: Name, events_per_second: Rate = None) -> None:
    """Add a source, and print its write key.

    The key is shown this once; only its hash is kept.

    [bold]Examples[/bold]

    crmstream source add web-shop

    crmstream source add app --events-per-second 200
    """
    path = sources_file(load_settings())
    _show_key(add_source(path, name, datetime.now(UTC), events_per_second), name)


@app.command(name="key")
def key(name: Name) -> None:
    """Make a further write key for a source, and print it.

    To change a key: make a new one, use it everywhere, then revoke the old.

    [bold]Example[/bold]

    crmstream source key web-shop
    """
    _show_key(add_key(sources_file(load_settings()), name, datetime.now(UTC)), name)


@app.command(name="revoke")
def revoke_key(name: Name, prefix: Prefix = None, every: All = False) -> None:
    """Revoke a write key: what comes with it is refused from then on.

    Without --key the source must have one key only.

    [bold]Examples[/bold]

    crmstream source revoke web-shop --key 9f86d081

    crmstream source revoke web-shop --all
    """
    path = sources_file(load_settings())
    source = load_sources(path).sources.get(name)
    meant = _meant(source.keys if source else (), prefix, every=every)
    if len(meant) > 1 and not every:
        shown = ", ".join(_shown(one) for one in meant)
        raise InputFileError(f"Source {name} has {len(meant)} such keys in force ({shown}): say --key, or --all.")
    for digest in revoke(path, name, datetime.now(UTC), None if every else prefix):
        notes.print(f"Revoked the key {digest.removeprefix('sha256:')[:SHOWN_DIGITS]} of {name}.", highlight=False)


@app.command(name="list")
def list_sources(as_json: AsJson = False) -> None:
    """List the sources: their keys in force, webhooks, limits and rules.

    The last line, (others), is `default`: files and databases whose source is
    not named. Keys are shown by the beginning of their hash. Of a webhook's secret it is
    shown whether its variable is set here, where this command runs.

    [bold]Examples[/bold]

    crmstream source list

    crmstream source list --json
    """
    path = sources_file(load_settings())
    found = load_sources(path)
    sources = [*found.sources.values(), *([found.others(OTHERS)] if found.default else [])]
    if as_json:
        print_json([_described(source) for source in sources])
    elif not sources:
        notes.print(f"There are no sources in {path}. `crmstream source add NAME` makes one.", highlight=False)
    else:
        console.print(_table(sources))


def _show_key(write_key: str, name: str) -> None:
    """The key alone goes to standard output, so that a script can take it."""
    notes.print(f"The write key of {name}, shown this once (only its hash is kept):", highlight=False)
    typer.echo(write_key)
    notes.print(
        "Give it to whatever sends: as the SDK's write key, or as the user name of HTTP Basic.", highlight=False
    )


def _meant(keys: tuple[WriteKey, ...], prefix: str | None, *, every: bool) -> list[WriteKey]:
    wanted = "" if every else (prefix or "").removeprefix("sha256:")
    return [one for one in keys if in_force(one) and one.hash.removeprefix("sha256:").startswith(wanted)]


def _shown(one: WriteKey) -> str:
    return one.hash.removeprefix("sha256:")[:SHOWN_DIGITS]


def _described(source: Source) -> dict[str, Any]:
    active = [one for one in source.keys if in_force(one)]
    return {
        "name": source.name,
        "keys": [{"hash": _shown(one), "created": one.created} for one in active],
        "revoked_keys": len(source.keys) - len(active),
        "webhook": _webhook(source.webhook) if source.webhook else None,
        "events_per_second": source.events_per_second,
        "currency": source.currency,
        "privacy": source.privacy.model_dump(),
        "plan": str(source.plan.path) if source.plan else None,
    }


def _webhook(part: WebhookPart) -> dict[str, Any]:
    try:
        has_secret = bool(part.secrets(os.environ))
    except MissingSecretError:
        has_secret = False
    return {"mapping": part.mapping, "secret": list(part.secret), "secret_is_set": has_secret}


def _table(sources: Any) -> Table:
    table = Table("source", "keys in force", "webhook", "events/s", "currency", "privacy", "plan", title="Sources")
    for source in map(_described, sources):
        keys = [f"{one['hash']} of {one['created']:%Y-%m-%d}" for one in source["keys"]]
        webhook = source["webhook"]
        limit = source["events_per_second"]
        table.add_row(
            source["name"],
            "\n".join(keys) or ("–" if webhook else "[yellow]none[/]"),
            _shown_webhook(webhook) if webhook else "–",
            "no limit" if limit is None else f"{limit:,g}",
            source["currency"] or "–",
            escape(_rules(source["privacy"])),
            escape(source["plan"] or "–"),
        )
    return table


def _shown_webhook(webhook: dict[str, Any]) -> str:
    mapping, names = escape(webhook["mapping"]), ", ".join(webhook["secret"])
    if not names:
        return f"{mapping}\n[yellow]not signed[/]"
    return f"{mapping}\n{names}: {'set' if webhook['secret_is_set'] else '[yellow]not set[/]'}"


def _rules(privacy: dict[str, Any]) -> str:
    lists = [f"{action} {', '.join(privacy[action])}" for action in ("drop", "hash", "encrypt") if privacy[action]]
    return "\n".join([*lists, f"ip: {privacy['ip']}"])

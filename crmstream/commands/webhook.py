"""``crmstream webhook``: try mappings of webhooks on samples, print the shipped ones, send a sample.

Delivery: only ``send`` moves anything, and that as the collector says (:mod:`connectors.webhooks.routes`).
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import typer
from rich.markup import escape

from connectors.door.door import Door
from connectors.door.money import MoneyGate
from connectors.sources.signatures import SignatureError, sign
from connectors.sources.source import Source, load_sources, sources_path
from connectors.sources.webhook import MissingSecretError
from connectors.webhooks.mapping import load_webhook_mapping, shipped_mappings, shipped_text
from connectors.webhooks.receiver import STAGE, Received, Receiver
from connectors.webhooks.trial import Sample, events_of, guess_mapping, read_sample, trial_source
from contracts.base_currency import read_decision
from contracts.errors import InputFileError, StoreUnavailableError
from contracts.settings import Settings, load_settings
from crmstream.commands import webhook_view
from crmstream.commands.shared import console, new_app, notes, print_json
from crmstream.stack.collector_part import DEFAULT_PORT, collector_url
from crmstream.stack.endpoints import running_stack

HELP: Final = """Try webhook mappings on samples, and list or send them.

Webhooks come to [bold]POST /v1/webhook/SOURCE[/] of the collector. A source with
a webhook: part in the file of sources says which mapping reads them and how
they are signed: docs/sources/webhooks.md

[bold]Examples[/bold]

crmstream webhook test sample.json
  [dim]what a sample becomes; no stack is needed[/dim]

crmstream webhook mapping stripe > my-stripe.yaml
  [dim]a mapping of your own begins with one that is shipped[/dim]
"""
ANSWER_SECONDS: Final = 30.0

app = new_app()
File = Annotated[Path, typer.Argument(help="JSON file with a webhook's body; - for standard input.")]
Mapping = Annotated[str | None, typer.Option(help="Mapping file, or the name of a shipped one.")]
SourceOption = Annotated[str | None, typer.Option("--source", help="A source of the file of sources.")]
Headers = Annotated[list[str] | None, typer.Option("--header", help="'Name: value'; may be given several times.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback(help=HELP, no_args_is_help=True)
def _webhook() -> None:
    pass


@app.command(name="test")
def try_(
    file: File,
    mapping: Mapping = None,
    source: SourceOption = None,
    header: Headers = None,
    as_json: AsJson = False,
) -> None:
    """Show which events a sample becomes, what is ignored, what is refused.

    Without --mapping or --source the shipped mapping that knows the sample is
    taken. With --source, a signature among the headers is checked too. The
    exit code is 1 if anything is refused.

    [bold]Examples[/bold]

    crmstream webhook test charge.json --mapping my-stripe.yaml

    crmstream webhook test order.json --header 'X-Shopify-Topic: orders/paid'
    """
    now = datetime.now(UTC)
    sample = read_sample(_content(file), header or ())
    if source and mapping:
        raise InputFileError("Give --mapping or --source, not both: a source names its mapping.")
    settings = load_settings()
    chosen = _configured(settings, source) if source else trial_source(mapping or guess_mapping(sample, now))
    receiver = Receiver(_door(chosen, settings), _folder(settings) if source else None)
    received = receiver.receive(sample.content, sample.headers, now)
    signature = _signature(receiver, sample, now)
    _show(received, chosen.name, signature, as_json=as_json)
    if received.problems or (signature and signature.startswith("bad")):
        raise typer.Exit(1)


def _door(source: Source, settings: Settings) -> Door:
    """The door of a trial: it knows the base currency and does not decide it."""
    money = MoneyGate(decided=read_decision(settings.data_dir))
    return Door(source, STAGE, settings.privacy_key, money=money)


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the shipped mappings and the events that they make.

    [bold]Examples[/bold]

    crmstream webhook list
    """
    mappings = {name: load_webhook_mapping(name) for name in shipped_mappings()}
    if as_json:
        print_json([{"mapping": name, "about": mapping.about} for name, mapping in mappings.items()])
        return
    console.print(webhook_view.shipped(mappings))


@app.command(name="mapping")
def mapping_(name: Annotated[str, typer.Argument(help="The shipped mapping.")]) -> None:
    """Print a shipped mapping, to begin one of your own with.

    [bold]Examples[/bold]

    crmstream webhook mapping zendesk > my-zendesk.yaml
    """
    sys.stdout.write(shipped_text(name))


@app.command(name="send")
def send(
    file: File,
    source: Annotated[str, typer.Option(help="The source whose secret signs it.")],
    url: Annotated[str | None, typer.Option(help="The collector; default: the running one.")] = None,
    header: Headers = None,
) -> None:
    """Sign a sample as its provider would, and send it to the collector.

    The secret comes from the variable that the source names. What the
    collector answers is printed.

    [bold]Examples[/bold]

    crmstream webhook send charge.json --source payments
    """
    settings = load_settings()
    configured = _configured(settings, source)
    sample = read_sample(_content(file), header or ())
    receiver = Receiver(_door(configured, settings), _folder(settings))
    signed = {}
    if receiver.scheme is not None:
        signed = sign(receiver.scheme, sample.content, _secret(receiver), datetime.now(UTC))
    status, answer = _post(f"{(url or _collector(settings)).rstrip('/')}/v1/webhook/{source}", sample, signed)
    console.print(f"[{'green' if status == 200 else 'red'}]{status}[/] {escape(answer)}", soft_wrap=True)
    if status != 200:
        raise typer.Exit(1)


def _content(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise InputFileError(f"{file} can't be read: {error.strerror}.") from None


def _folder(settings: Settings) -> Path:
    """Where the paths of mappings begin: beside the file of sources."""
    return sources_path(settings.data_dir, settings.sources_file).parent


def _configured(settings: Settings, name: str) -> Source:
    path = sources_path(settings.data_dir, settings.sources_file)
    found = load_sources(path).sources.get(name)
    if found is None or found.webhook is None:
        raise InputFileError(f"Sources {path}: has no source {name} with a `webhook:` part.")
    return found


def _secret(receiver: Receiver) -> str:
    try:
        return receiver.part.secrets(os.environ)[0]
    except MissingSecretError as error:
        raise InputFileError(f"Nothing is sent: {error}.") from None


def _signature(receiver: Receiver, sample: Sample, now: datetime) -> str | None:
    """Say whether the sample's signature is good; None if it has none, or none is asked for."""
    if receiver.scheme is None or receiver.scheme.header.lower() not in sample.headers:
        return None
    try:
        receiver.check(sample.content, sample.headers, now)
    except (SignatureError, MissingSecretError) as error:
        return f"bad: {error}"
    return "good"


def _show(received: Received, source: str, signature: str | None, *, as_json: bool) -> None:
    events = events_of(received)
    if as_json:
        print_json(received.told() | {"events": events} | ({"signature": signature} if signature else {}))
        return
    console.print(webhook_view.outcome(received, events, source))
    if signature:
        notes.print(f"Signature {signature}.", highlight=False)


def _collector(settings: Settings) -> str:
    """Where the collector is: that of the running stack, else by the settings."""
    running = running_stack(settings.data_dir)
    port = DEFAULT_PORT if settings.collector_port is None else settings.collector_port
    return (running and running.collector_url) or collector_url(settings.collector_host, port)


def _post(url: str, sample: Sample, signed: dict[str, str]) -> tuple[int, str]:
    if not url.startswith(("http://", "https://")):
        raise InputFileError(f"--url {url}: must begin with http:// or https://.")
    headers = {"Content-Type": "application/json", **sample.headers, **signed}
    request = Request(url, sample.content, headers, method="POST")  # noqa: S310 - the scheme is checked
    try:
        with urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read().decode(errors="replace")
    except HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (URLError, OSError):
        raise StoreUnavailableError(
            f"No collector answers at {url}. `crmstream up` starts one; --url says where it is."
        ) from None

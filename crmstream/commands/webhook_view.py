"""How the webhook commands show what they found. Moves no data."""

from collections.abc import Iterator
from typing import Any, Final

import orjson
from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from connectors.webhooks.mapping import WebhookMapping
from connectors.webhooks.receiver import Received
from connectors.webhooks.trial import event_names

_LONGEST: Final = 400


def outcome(received: Received, events: list[dict[str, Any]], mapping: str) -> Group:
    """Show what a sample became."""
    return Group(*_parts(received, events, mapping))


def _parts(received: Received, events: list[dict[str, Any]], mapping: str) -> Iterator[RenderableType]:
    said = f" [dim]({escape(received.type)})[/]" if received.type else ""
    yield f"[bold]{escape(mapping)}[/]{said}: {_counts(received)}"
    for event in events:
        yield _event(event)
    if received.reason:
        yield f"[yellow]Ignored:[/] {escape(received.reason)}."
    for problem in received.problems:
        yield f"[red]Refused:[/] {escape(problem.field)} {escape(problem.problem)}."


def _counts(received: Received) -> str:
    plural = "" if received.events == 1 else "s"
    parts = [f"{received.events} event{plural}"]
    parts += ["ignored"] if received.ignored else []
    parts += [f"{len(received.problems)} refused"] if received.problems else []
    return ", ".join(parts)


def _event(event: dict[str, Any]) -> Panel:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _rows(event):
        table.add_row(name, Text(value))
    title = f"[bold]{escape(str(event['name']))}[/] [dim]{event['kind']}[/]"
    return Panel(table, title=title, title_align="left", box=box.ROUNDED)


def _rows(event: dict[str, Any]) -> Iterator[tuple[str, str]]:
    labels = {"customer_id": "customer", "anonymous_id": "visitor", "occurred_at": "time", "event_id": "event id"}
    for field, label in labels.items():
        if field in event:
            yield label, str(event[field])
    for name, value in event["properties"].items():
        if name == "traits":
            yield from ((f"traits.{trait}", _text(one)) for trait, one in value.items())
        else:
            yield name, _text(value)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def shipped(mappings: dict[str, WebhookMapping]) -> Table:
    """List the shipped mappings."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("mapping", "signature", "events"):
        table.add_column(heading, no_wrap=heading == "mapping", overflow="fold")
    for name, mapping in mappings.items():
        signature = mapping.signature if isinstance(mapping.signature, str) else "its own"
        table.add_row(name, signature, f"{', '.join(event_names(mapping))}\n[dim]{escape(mapping.about)}[/]")
    return table

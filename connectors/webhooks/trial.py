"""Try a sample of a webhook: which mapping knows it, what it becomes. Needs no broker; moves no data."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.sources.source import Source
from connectors.sources.webhook import WebhookPart
from connectors.webhooks.convert import WebhookConverter
from connectors.webhooks.mapping import WebhookMapping, load_webhook_mapping, shipped_mappings
from connectors.webhooks.receiver import BodyError, Received, parse
from contracts.errors import InputFileError
from contracts.events import EVENT_TYPES
from contracts.refused import REFUSED_KEY

GENERIC: Final = "generic"
_ENVELOPE: Final = {"headers", "body"}


@dataclass(frozen=True)
class Sample:
    """A webhook as somebody kept it: its bytes, and its headers by their small names."""

    content: bytes
    headers: dict[str, str]


def read_sample(content: bytes, headers: Sequence[str] = ()) -> Sample:
    """Read a sample: a body, or what dead letters keep of one (``{"headers": {...}, "body": ...}``).

    ``headers`` are texts like ``X-Shopify-Topic: orders/paid``. Raises :class:`InputFileError`.
    """
    try:
        body = parse(content)
    except BodyError as error:
        raise InputFileError(f"This is no sample of a webhook: {error}.") from None
    kept: dict[str, str] = {}
    if isinstance(body, dict) and body.keys() == _ENVELOPE and isinstance(body["headers"], dict):
        kept = {str(name).lower(): str(value) for name, value in body["headers"].items()}
        content = msgspec.json.encode(body["body"])
    return Sample(content, kept | dict(map(_header, headers)))


def trial_source(mapping: str, currency: str | None = None) -> Source:
    """Make a source to try a mapping with; it is named after the mapping and signs nothing."""
    stem = Path(mapping).stem.lower()
    name = "".join(one if one.isascii() and (one.isalnum() or one in "-_") else "-" for one in stem).strip("-_")
    part = WebhookPart.model_validate({"mapping": mapping, "signature": "none"})
    return Source(name=name[:63] or "trial", currency=currency, webhook=part)


def guess_mapping(sample: Sample, now: datetime) -> str:
    """Find the shipped mapping that knows a sample. Raises :class:`InputFileError` if none does."""
    names = sorted(shipped_mappings(), key=lambda name: (name == GENERIC, name))
    body = parse(sample.content)
    for name in names:
        converter = WebhookConverter(load_webhook_mapping(name), name)
        done = converter.convert(body, sample.content, sample.headers, now)
        if done.known and (name != GENERIC or any(draft["name"] in EVENT_TYPES for draft in done.drafts)):
            return name
    raise InputFileError(
        f"No shipped mapping knows this sample. Say which one is meant with --mapping ({', '.join(names)}, or a file). "
        "What Shopify sends is named by a header: give it with --header 'X-Shopify-Topic: orders/paid'."
    )


def events_of(received: Received) -> list[dict[str, Any]]:
    """Read the events of what a sample became."""
    return [msgspec.json.decode(one.value or b"{}") for one in received.records if one.key != REFUSED_KEY]


def event_names(mapping: WebhookMapping) -> tuple[str, ...]:
    """List the names of the events that a mapping makes, each once."""
    names = [rule.name if isinstance(rule.name, str) else "any that a body names" for rule in mapping.rules]
    return tuple(dict.fromkeys(names))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise InputFileError(f"--header {name}: write it as 'Name: value'.")
    return name.strip().lower(), value.strip()

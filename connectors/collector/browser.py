"""What SDKs in browsers ask for before they send, and messages in the address of a picture. Pure; moves no data."""

import base64
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import orjson

from connectors.collector.answers import AnswerError
from connectors.sources.source import Source

GIF: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent picture of one pixel."""
_NESTED: Final = ("properties", "traits", "context")
_AS_STANDARD: Final = str.maketrans({"-": "+", "_": "/", " ": "+", "\n": None, "\r": None, "\t": None})
"""Base64 as addresses have it. A ``+`` that is not escaped in an address arrives as a blank."""
_ESCAPED: Final = re.compile("%[0-9A-Fa-f]{2}")


def analytics_settings(write_key: str, scheme: str, host: str) -> dict[str, Any]:
    """The settings that analytics.js reads at its start: send everything here, and nothing to anybody else."""
    segment = {
        "apiKey": write_key,
        "apiHost": f"{host}/v1",
        "protocol": scheme,
        "addBundledMetadata": True,
        "unbundledIntegrations": [],
    }
    return {
        "integrations": {"Segment.io": segment},
        "edgeFunction": {},
        "analyticsNextEnabled": True,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0, "host": f"{host}/v1"},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }


def rudder_config(source: Source, write_key: str) -> dict[str, Any]:
    """The configuration that RudderStack's SDKs read at their start: no destinations but this one."""
    quiet = {"enabled": False}
    return {
        "source": {
            "id": source.name,
            "name": source.name,
            "writeKey": write_key,
            "enabled": True,
            "workspaceId": "crmstream",
            "config": {"statsCollection": {"errors": quiet, "metrics": quiet}},
            "connections": [],
            "destinations": [],
            "dataplanes": {},
        },
        "updatedAt": "1970-01-01T00:00:00.000Z",
    }


def anonymous_id_of(header: bytes | None) -> str | None:
    """Read the visitor from the header ``AnonymousId`` of RudderStack's SDKs: base64 of an id."""
    if not header:
        return None
    try:
        return from_base64(header.decode("latin-1")).decode() or None
    except ValueError:
        return None


def from_base64(text: str) -> bytes:
    """Decode base64 or base64url, with or without padding, as it arrives in an address. Raises ``ValueError``."""
    if _ESCAPED.search(text):  # escaped twice
        text = unquote(text)
    standard = text.translate(_AS_STANDARD).rstrip("=")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def pixel_message(query: Mapping[str, str]) -> bytes:
    """Return the message in a picture's address: base64 of JSON as ``data``, or a parameter for each field.

    ``data`` may also be JSON itself. ``properties.price=3`` is a field inside; texts stay texts. Raises
    :class:`AnswerError` (400).
    """
    if data := query.get("data"):
        if data.lstrip().startswith("{"):
            return data.encode(errors="replace")
        try:
            return from_base64(data)
        except ValueError:
            raise AnswerError(400, "bad_body", "The parameter `data` is not base64.") from None
    message: dict[str, Any] = {}
    for name, value in query.items():
        outer, dot, inner = name.partition(".")
        if dot and outer in _NESTED:
            inside = message.setdefault(outer, {})
            if isinstance(inside, dict):
                inside[inner] = value
        elif not dot:
            message[name] = value
    return orjson.dumps(message)

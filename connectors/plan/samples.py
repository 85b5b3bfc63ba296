"""Events for a plan to be tried on, out of a file of JSON lines: our own envelopes, or messages as SDKs send them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.plan.check import IDENTIFY
from connectors.plan.report import Sample
from contracts.errors import InputFileError

NO_SOURCE: Final = "(file)"
_read: Final = msgspec.json.Decoder().decode
_NAMES: Final = {
    "page": "Page Viewed", "screen": "Screen Viewed", "identify": IDENTIFY, "alias": "Alias", "group": "Group"
}  # fmt: skip


def read_samples(path: Path) -> Iterator[Sample | int]:
    """Yield the event of each line, or the number of a line that holds none. Empty lines are left out.

    Raises :class:`InputFileError` if the file can't be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _sample(line) or number
    except OSError as error:
        raise InputFileError(f"{path} can't be read: {error.strerror}.") from None


def _sample(line: bytes) -> Sample | None:
    try:
        content = _read(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    name, properties = _envelope(content) if "name" in content and "type" not in content else _message(content)
    if not isinstance(name, str) or not isinstance(properties, dict):
        return None
    source = content.get("source")
    return Sample(source if isinstance(source, str) else NO_SOURCE, name, properties)


def _envelope(content: dict[str, Any]) -> tuple[object, object]:
    return content["name"], content.get("properties", {})


def _message(content: dict[str, Any]) -> tuple[object, object]:
    """Name a message, and gather its properties, as the collector does."""
    kind = content.get("type")
    properties = {} if content.get("properties") is None else content["properties"]
    if kind == "track":
        return content.get("event"), properties
    if not isinstance(kind, str) or not isinstance(properties, dict):
        return None, None
    extra = {field: content[key] for key, field in _FIELDS.get(kind, {}).items() if content.get(key) is not None}
    return _NAMES.get(kind), {**properties, **extra}


_FIELDS: Final = {
    "identify": {"traits": "traits"},
    "alias": {"previousId": "previous_id"},
    "group": {"groupId": "group_id", "traits": "group_traits"},
    "page": {"name": "name", "category": "category"},
    "screen": {"name": "name", "category": "category"},
}
"""What stands beside a message's properties and becomes one of them."""

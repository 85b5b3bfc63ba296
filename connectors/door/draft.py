"""Drafts: events before the contract has accepted them, and what the door puts right in each of them. Pure."""

import math
from collections.abc import Iterator
from typing import Any, Final

from contracts.identity import identifier_of
from contracts.notes import NOTES, texts_of
from contracts.wire import RejectedError

Draft = dict[str, object]
"""An event before it is one: the envelope's fields but ``source``, ``schema_version`` and, where the name tells it,
``kind``. Times are aware datetimes or ISO 8601 texts with a zone; ``properties`` is a dict of JSON values.
``notes`` (a list of :class:`contracts.notes.Note`) go into the property ``crm_notes``."""
ID_FIELDS: Final = ("customer_id", "anonymous_id")
_NOTHING: Final[dict[str, Any]] = {}


def without_none(draft: Draft) -> Draft:
    """Leave out the fields that have no value."""
    return {field: value for field, value in draft.items() if value is not None}


def identify(event: Draft) -> None:
    """Write ids in their one form, and leave out a placeholder where another id is there.

    A placeholder that stands alone stays, so that the contract names it.
    """
    absent = []
    for field in ID_FIELDS:
        if field in event:
            try:
                identifier = identifier_of(event[field])
            except ValueError as problem:
                raise RejectedError(field, str(problem)) from None
            if identifier is None:
                absent.append(field)
            else:
                event[field] = identifier
    if len(absent) == 1 and any(field in event for field in ID_FIELDS if field not in absent):
        del event[absent[0]]


def note(event: Draft, notes: object) -> None:
    """Write the notes of connectors into the event; what a sender put in their place goes."""
    properties = event.get("properties", _NOTHING)
    if not isinstance(properties, dict):
        return  # the contract names it
    kept = {name: value for name, value in properties.items() if name != NOTES} if NOTES in properties else properties
    if isinstance(notes, list) and notes:
        kept = {**kept, NOTES: texts_of(notes)}
    if kept is not properties:
        event["properties"] = kept


def check_numbers(event: Draft) -> None:
    """Refuse what JSON has no number for, and would become null."""
    for field, value in event.items():
        for path in _no_numbers(value, field):
            raise RejectedError(path, "is not a finite number")


def _no_numbers(node: object, path: str) -> Iterator[str]:
    if isinstance(node, float) and not math.isfinite(node):
        yield path
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from _no_numbers(value, f"{path}.{name}")
    elif isinstance(node, list | tuple):
        for item in node:
            yield from _no_numbers(item, path)

"""Gives an event the name that crmstream knows it by, and its properties their known names and types. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from connectors.door.names import LONGEST_NAME, Meaning, meaning_of
from connectors.door.properties import fit, put
from connectors.plan.check import ORIGINAL_NAME
from contracts.events import EVENT_TYPES, Kind
from contracts.notes import Note

LATER: Final = "currency"
"""A required property that the door adds after this, from the source."""


class Recognised(NamedTuple):
    """A known event: its kind, name and properties, and the path from which each added property was taken."""

    kind: Kind
    name: str
    properties: dict[str, Any]
    taken: Mapping[str, str]


class Unsure(NamedTuple):
    """Why an event keeps a name that resembles a known one, as its note says it."""

    note: Note


def recognise(
    name: str, kind: object, properties: dict[str, Any], plans: Callable[[str], bool], notes: list[Note]
) -> Recognised | Unsure | None:
    """Return the known event that a name means, which is no known name itself; None for a name of its own.

    ``kind`` is the one that the draft gives, if any; ``plans`` says whether the tracking plan has a name. Adds to
    ``notes`` what was done to the properties.
    """
    if len(name) > LONGEST_NAME or (meaning := meaning_of(name)) is None:
        return None
    if not meaning.sure:
        return None if plans(name) else _unsure(f"resembles {meaning.name}")
    if plans(name):
        return _unsure(f"means {meaning.name}, but is in the plan under its own name")
    return _renamed(name, meaning, kind, properties, notes)


def _renamed(
    name: str, meaning: Meaning, given: object, properties: dict[str, Any], notes: list[Note]
) -> Recognised | Unsure:
    kind, required = EVENT_TYPES[meaning.name]
    if given not in (None, kind):
        return _unsure(f"means {meaning.name}, but the event is given another kind")
    fitted, noted = dict(properties), list[Note]()
    taken = fit(kind, meaning.name, fitted, noted)
    missing = [field for field in required if fitted.get(field) is None and field != LATER]
    if missing:
        return _unsure(f"means {meaning.name}, which needs {' and '.join(missing)}")
    put(fitted, ORIGINAL_NAME, name)
    notes += noted
    return Recognised(kind, meaning.name, fitted, taken)


def _unsure(problem: str) -> Unsure:
    return Unsure(Note("name", problem))

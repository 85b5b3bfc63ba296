"""Fit the properties of an event to what the contract says of its kind, without losing any.

Senders are careless with types: numbers in quotation marks, ids as numbers, ``products`` instead of a count. A value
that means the same is converted. One that cannot be is set aside under ``original_<name>`` and noted where the event
can do without it, and stays as it came where the event can't, so that the refusal names it. Pure; moves no data.
"""

from collections.abc import Callable
from typing import Any, Final

from connectors.door.amounts import complete_total, count_items
from connectors.door.spellings import spell
from connectors.door.values import as_number, as_text, is_absent
from contracts.currencies import NO_CURRENCY, SIGNS, is_code
from contracts.events import CES_SUBMITTED, EVENT_TYPES, MAX_AMOUNT, NPS_SUBMITTED, ORDER_REFUNDED, Kind
from contracts.notes import Note

Properties = dict[str, Any]
Convert = Callable[[object], object]
"""Returns a value as the contract wants it; None if it cannot be that."""

OTHER_SCALES: Final = frozenset({NPS_SUBMITTED, CES_SUBMITTED})
"""Ratings that do not go from 1 to 5, as ``score`` does: they are in ``rating``."""
LONGEST_LABEL: Final = 500
LONGEST_URL: Final = 4_000
LETTERS_NOTE: Final = Note("currency", "was not written in capital letters")
SIGN_NOTE: Final = Note("currency", "was a sign, and is kept as original_currency")
NO_CODE_NOTE: Final = Note("currency", f"is no code, and is kept as original_currency: money waits as {NO_CURRENCY}")


def fit(kind: Kind, name: str, properties: Properties, notes: list[Note]) -> dict[str, str]:
    """Fit ``properties`` in place and add to ``notes``. ``name`` is the event's.

    Returns the path from which each property that was added was taken, by its name.
    """
    taken = spell(kind, name, properties, notes)
    if name in OTHER_SCALES and "score" in properties:
        set_aside(properties, "score")
    required = EVENT_TYPES[name][1] if name in EVENT_TYPES else ()
    fields = _FIELDS.get(kind)
    if fields is None:
        _fit_transaction(name, properties, required, notes)
    else:
        for field, convert in fields:
            if field in properties:
                _replace(properties, field, convert, required, notes)
    return taken


def _fit_transaction(name: str, properties: Properties, required: tuple[str, ...], notes: list[Note]) -> None:
    _replace(properties, "order_id", _label, required, notes)
    total = properties.get("total")
    if total.__class__ is not float or not 0 <= total <= MAX_AMOUNT:  # nearly all are right already
        if is_absent(total):
            complete_total(name, properties, notes)
            if is_absent(properties.get("total")):
                properties.pop("total", None)
        _replace(properties, "total", _refund if name == ORDER_REFUNDED else _amount, required, notes)
    currency = properties.get("currency")
    if not is_code(currency):
        properties.pop("currency", None)
        if not is_absent(currency):
            _fit_currency(currency, properties, notes)
    if properties.get("total") is None and properties.get("currency") is not None and "total" not in required:
        # the contract takes money whole or not at all
        properties.setdefault("original_currency", properties.pop("currency"))
    count_items(name, properties, notes)


def _fit_currency(given: object, properties: Properties, notes: list[Note]) -> None:
    """Set the currency that is meant; none is refused, so where nobody can tell the money waits."""
    text = given.strip() if isinstance(given, str) else ""
    if is_code(text.upper()):
        properties["currency"] = text.upper()
        notes.append(LETTERS_NOTE)
        return
    properties["original_currency"] = given
    properties["currency"] = SIGNS.get(text, NO_CURRENCY)
    notes.append(SIGN_NOTE if text in SIGNS else NO_CODE_NOTE)


def _replace(
    properties: Properties, name: str, convert: Convert, required: tuple[str, ...], notes: list[Note]
) -> None:
    """Convert a property, or set it aside where that fails and the event can do without it."""
    value = properties.get(name)
    if value is None:
        return
    fitting = convert(value)
    if fitting is not None:
        properties[name] = fitting
    elif name not in required:
        set_aside(properties, name)
        notes.append(Note(name, f"cannot be used, and is kept as original_{name}"))
        if name == "url" and isinstance(value, str):
            properties[name] = value[:LONGEST_URL]


def put(properties: Properties, name: str, value: object) -> None:
    """Set a property that is ours; what the sender has under its name is set aside."""
    if properties.get(name, value) != value:
        set_aside(properties, name)
    properties[name] = value


def set_aside(properties: Properties, name: str) -> None:
    """Keep a property under ``original_<name>``."""
    properties[f"original_{name}"] = properties.pop(name)


def _label(value: object) -> str | None:
    if value.__class__ is str and len(value) <= LONGEST_LABEL:  # nearly all of them
        return value
    text = as_text(value)
    return text if text is not None and len(text) <= LONGEST_LABEL else None


def _url(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST_URL else None


def _identifier(value: object) -> str | None:
    text = as_text(value)
    return text if text and len(text) <= 100 and text.isprintable() else None


def _object(value: object) -> object | None:
    return value if isinstance(value, dict) else None


def _score(value: object) -> float | None:
    score = as_number(value)
    return score if score is not None and 1 <= score <= 5 else None


def _amount(value: object) -> float | None:
    amount = as_number(value)
    return amount if amount is not None and 0 <= amount <= MAX_AMOUNT else None


def _refund(value: object) -> float | None:
    """What went back; many write it with a minus sign."""
    amount = as_number(value)
    return None if amount is None else _amount(abs(amount))


_FIELDS: Final[dict[Kind, tuple[tuple[str, Convert], ...]]] = {
    "web": (("product_id", _label), ("session_id", _label), ("url", _url)),
    "service": (("ticket_id", _label), ("conversation_id", _label), ("score", _score)),
    "identity": (("previous_id", _identifier), ("traits", _object)),
}

"""Fit the properties of a message to what the contract says of its kind, without losing any.

Senders are careless with types: numbers in quotation marks, ids as numbers, ``products`` instead of a count. What means
the same is converted. What cannot be is set aside under ``original_<name>`` where the event can do without it, and
stays as it came where it can't, so that the refusal names it. Pure; moves no data.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from contracts.events import EVENT_TYPES, MAX_AMOUNT, ORDER_REFUNDED, Kind

Properties = dict[str, Any]

LONGEST_LABEL: Final = 500
LONGEST_URL: Final = 4_000
MOST_ITEMS: Final = 1_000_000
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def fit(kind: Kind, name: str, properties: Properties) -> None:
    """Fit ``properties`` in place. ``name`` is the event's."""
    _, required = EVENT_TYPES.get(name, (kind, ()))
    match kind:
        case "web":
            _fit_web(properties, required)
        case "transaction":
            _fit_transaction(name, properties, required)
        case "service":
            _replace(properties, "ticket_id", _label, required)
            _replace(properties, "conversation_id", _label, required)
            _replace(properties, "score", _score, required)
        case "identity":
            _replace(properties, "previous_id", _identifier, required)
            _replace(properties, "traits", _object, required)


def put(properties: Properties, name: str, value: object) -> None:
    """Set a property that is ours; what the sender has under its name is set aside."""
    if properties.get(name, value) != value:
        set_aside(properties, name)
    properties[name] = value


def set_aside(properties: Properties, name: str) -> None:
    """Keep a property under ``original_<name>``."""
    properties[f"original_{name}"] = properties.pop(name)


def as_text(value: object) -> str | None:
    """Make text of a text or a number; None of anything else."""
    match value:
        case str():
            return value
        case bool():
            return None
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else repr(value)
    return None


def as_number(value: object) -> float | None:
    """Make a number of a number, or of a text that is one; None of anything else."""
    match value:
        case bool():
            return None
        case int():
            return value if abs(value) <= MAX_AMOUNT else None
        case float():
            return value if math.isfinite(value) else None
        case str() if _NUMBER.fullmatch(value.strip()):
            return float(value)
    return None


def _replace(properties: Properties, name: str, convert: Any, required: tuple[str, ...]) -> None:
    value = properties.get(name)
    if value is None:
        return
    fitting = convert(value)
    if fitting is not None:
        properties[name] = fitting
    elif name not in required:
        set_aside(properties, name)


def _label(value: object) -> str | None:
    text = as_text(value)
    return text if text is not None and len(text) <= LONGEST_LABEL else None


def _identifier(value: object) -> str | None:
    text = as_text(value)
    return text if text and len(text) <= 100 and text.isprintable() else None


def _object(value: object) -> object | None:
    return value if isinstance(value, dict) else None


def _score(value: object) -> float | None:
    score = as_number(value)
    return score if score is not None and 1 <= score <= 5 else None


def _fit_web(properties: Properties, required: tuple[str, ...]) -> None:
    if properties.get("product_id") is None and (product := properties.get("sku")) is not None:
        properties["product_id"] = product
    _replace(properties, "product_id", _label, required)
    _replace(properties, "session_id", _label, required)
    url = properties.get("url")
    if url is not None and not (isinstance(url, str) and len(url) <= LONGEST_URL):
        set_aside(properties, "url")
        if isinstance(url, str):
            properties["url"] = url[:LONGEST_URL]


def _fit_transaction(name: str, properties: Properties, required: tuple[str, ...]) -> None:
    _replace(properties, "order_id", _label, required)
    if properties.get("total") is None and (revenue := properties.get("revenue")) is not None:
        properties["total"] = revenue
    _replace(properties, "total", _refund if name == ORDER_REFUNDED else _amount, required)
    _replace(properties, "currency", _currency, required)
    if properties.get("total") is None and properties.get("currency") is not None and "total" not in required:
        set_aside(properties, "currency")  # the contract takes money whole or not at all
    _count_items(properties)


def _amount(value: object) -> float | None:
    amount = as_number(value)
    return amount if amount is not None and 0 <= amount <= MAX_AMOUNT else None


def _refund(value: object) -> float | None:
    """What went back; many write it with a minus sign."""
    amount = as_number(value)
    return None if amount is None else _amount(abs(amount))


def _currency(value: object) -> str | None:
    code = value.strip().upper() if isinstance(value, str) else ""
    return code if _CURRENCY.fullmatch(code) else None


def _count_items(properties: Properties) -> None:
    """Make ``items`` the number of pieces: as given, or summed over the list of products."""
    given = properties.get("items")
    if isinstance(given, list):
        set_aside(properties, "items")
    elif given is not None:
        count = as_number(given)
        if count is not None and float(count).is_integer() and 0 <= count <= MOST_ITEMS:
            properties["items"] = int(count)
        else:
            set_aside(properties, "items")
    products = given if isinstance(given, list) else properties.get("products")
    if properties.get("items") is None and isinstance(products, list):
        properties["items"] = min(MOST_ITEMS, sum(map(_pieces, products)))


def _pieces(product: object) -> int:
    quantity = as_number(product.get("quantity")) if isinstance(product, Mapping) else None
    return int(quantity) if quantity is not None and 1 <= quantity <= MOST_ITEMS else 1

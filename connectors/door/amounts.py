"""The total of an order and the number of its pieces, where the sender gives their parts. Pure.

A total that is given always counts. What is computed is noted on the event.
"""

import re
from typing import Any, Final

from connectors.door.values import as_number, is_absent
from contracts.events import MAX_AMOUNT, ORDER_CANCELLED, ORDER_COMPLETED, ORDER_REFUNDED
from contracts.notes import Note

MOST_ITEMS: Final = 1_000_000
LISTS: Final = ("products", "items", "original_items", "line_items", "lineItems")
"""Where the products of an order stand."""
_PRICES: Final = ("price", "unit_price", "unitPrice", "item_price")
_QUANTITIES: Final = ("quantity", "qty")
_BACK: Final = frozenset({ORDER_REFUNDED, ORDER_CANCELLED})
_DIGITS: Final = 4
_ADDED: Final = ("tax", "shipping")
_NAMES_MONEY: Final = re.compile("total|amount|price|revenue|value", re.IGNORECASE)


def products_of(properties: dict[str, Any]) -> list[Any] | None:
    """Return the list of products of an order, if it has one."""
    for name in LISTS:
        if isinstance(found := properties.get(name), list):
            return found
    return None


def complete_total(name: str, properties: dict[str, Any], notes: list[Note]) -> None:
    """Compute the ``total`` of an order or a refund that has none, in place.

    It is subtotal + tax + shipping - discount, else the sum of price x quantity of the products, less the order's
    discount. A refund of a whole order often names no money: it counts as a refund of 0. So does an order that names
    products or itself, and no money anywhere; a field for money that is empty or cannot be read is not taken for 0.
    """
    if name not in (ORDER_COMPLETED, ORDER_REFUNDED) or not is_absent(properties.get("total")):
        return
    total, done = _from_subtotal(properties), "is the sum of subtotal, tax and shipping, less the discount"
    if total is None:
        total, done = _from_products(properties), "is the sum of the products"
    if total is None and _counts_without_money(name, properties):
        total, done = 0.0, "is missing and counts as 0"
    if total is not None:
        properties["total"] = total
        notes.append(Note("total", done))


def count_items(name: str, properties: dict[str, Any], notes: list[Note]) -> None:
    """Write the number of pieces into ``items``, in place: as given, else summed over the products.

    The products of a refund or a cancellation are not counted: many senders list those of the whole order. Numbers
    beyond 1,000,000 count as 1,000,000, which is noted; so is every quantity that cannot be one.
    """
    given = properties.get("items")
    if given.__class__ is int and 0 <= given <= MOST_ITEMS:  # nearly all of them
        return
    if given is not None:
        count = _whole(given)
        if count is not None and count >= 0:
            properties["items"] = _bounded(count, "items", notes)
            return
        properties["original_items"] = properties.pop("items")
        if not isinstance(given, list):
            notes.append(Note("items", "is no number of pieces, and kept as original_items"))
    products = None if name in _BACK else products_of(properties)
    if products is not None:
        properties["items"] = _bounded(sum(_pieces(product, notes) for product in products), "items", notes)


def _counts_without_money(name: str, properties: dict[str, Any]) -> bool:
    is_named = not is_absent(properties.get("order_id"))
    if name == ORDER_REFUNDED:
        return is_named
    products = products_of(properties) or []
    return (is_named or bool(products)) and not any(map(_names_money, (properties, *products)))


def _names_money(fields: object) -> bool:
    return not isinstance(fields, dict) or any(_NAMES_MONEY.search(str(field)) for field in fields)


def _whole(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = as_number(value)
    return int(number) if number is not None and float(number).is_integer() else None


def _bounded(count: int, field: str, notes: list[Note]) -> int:
    if count > MOST_ITEMS:
        notes.append(Note(field, f"is more than {MOST_ITEMS:,} and counts as that"))
    return min(count, MOST_ITEMS)


def _pieces(product: object, notes: list[Note]) -> int:
    """The pieces of one product: 1 where no quantity is given, part of a piece is a piece."""
    given = product.get("quantity") if isinstance(product, dict) else None
    if given.__class__ is int and 0 <= given <= MOST_ITEMS:  # nearly all of them
        return given
    given = _first(product, _QUANTITIES)
    if is_absent(given):
        return 1
    quantity = given if isinstance(given, int) and not isinstance(given, bool) else as_number(given)
    if quantity is None:
        notes.append(Note("products.quantity", "is no number and counts as 1"))
        return 1
    if quantity < 0:
        notes.append(Note("products.quantity", "is negative and counts as 0"))
        return 0
    if quantity > MOST_ITEMS:
        return _bounded(MOST_ITEMS + 1, "products.quantity", notes)
    pieces = int(quantity)
    if pieces != quantity:
        notes.append(Note("products.quantity", "is a fraction and counts as the next whole number"))
        pieces += 1
    return pieces


def _from_subtotal(properties: dict[str, Any]) -> float | None:
    subtotal = as_number(properties.get("subtotal"))
    if subtotal is None:
        return None
    parts = [as_number(properties[part]) for part in _ADDED if not is_absent(properties.get(part))]
    if any(part is None or part < 0 for part in parts):
        return None
    return _less_discount(subtotal + sum(part for part in parts if part is not None), properties)


def _from_products(properties: dict[str, Any]) -> float | None:
    sums = [_price(product) for product in products_of(properties) or ()]
    if not sums or any(one is None for one in sums):
        return None
    return _less_discount(sum(one for one in sums if one is not None), properties)


def _price(product: object) -> float | None:
    """Price x quantity of one product; None if one of them cannot be read."""
    price, quantity = as_number(_first(product, _PRICES)), _first(product, _QUANTITIES)
    count = 1 if is_absent(quantity) else as_number(quantity)
    if price is None or count is None or price < 0 or count < 0:
        return None
    return price * count


def _less_discount(amount: float, properties: dict[str, Any]) -> float | None:
    """Take the order's discount off; None where it is no number or more than the amount."""
    if is_absent(properties.get("discount")):
        discount: float | None = 0
    else:
        discount = as_number(properties["discount"])
    if discount is None or amount > MAX_AMOUNT or abs(discount) > amount:
        return None
    return round(amount - abs(discount), _DIGITS)


def _first(product: object, names: tuple[str, ...]) -> object:
    if not isinstance(product, dict):
        return None
    return next((value for name in names if not is_absent(value := product.get(name))), None)

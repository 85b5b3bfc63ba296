"""The names that senders give to the properties that have a column of their own. docs/event-names.md shows the table.

A dot leads into an object, or into the first element of a list. The first name whose value says something counts.
Nothing is renamed: the column's name is added, and what the sender wrote stays. Pure.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from connectors.door.values import is_absent
from contracts.events import (
    CES_SUBMITTED,
    CSAT_SUBMITTED,
    EVENT_TYPES,
    NPS_SUBMITTED,
    ORDER_CANCELLED,
    ORDER_COMPLETED,
    ORDER_REFUNDED,
    Kind,
)
from contracts.notes import Note

Names = tuple[str, ...]

SPELLINGS: Final[Mapping[Kind, Mapping[str, Names]]] = {
    "web": {
        "session_id": ("sessionId", "ga_session_id"),
        "url": ("pageUrl", "page_url", "page_location"),
        "product_id": ("productId", "sku", "item_id", "itemId", "product.product_id", "product.id", "product.sku"),
    },
    "transaction": {
        "order_id": (
            "orderId", "transaction_id", "transactionId", "order_number", "orderNumber", "order.id",
            "checkout.order.id",
        ),
        "total": ("revenue",),
        "currency": ("currencyCode", "currency_code", "checkout.currencyCode", "checkout.totalPrice.currencyCode"),
        "items": ("item_count", "itemCount", "num_items", "numItems"),
    },
    "service": {
        "ticket_id": ("ticketId", "ticket.id"),
        "conversation_id": ("conversationId", "chat_id", "chatId", "conversation.id"),
    },
    "identity": {"previous_id": ("previousId",)},
}  # fmt: skip
"""By the kind of event and the property, in the order in which they are tried. Web events take ``session_id`` and
``url`` from the context too, see :data:`CONTEXT`."""
CONTEXT: Final[Mapping[str, Names]] = {"session_id": ("sessionId",), "url": ("page", "url")}
"""Where web events have these properties in ``context``, where they stand nowhere else."""
_TOTAL: Final = (
    "value", "order_total", "orderTotal", "grand_total", "grandTotal", "total_price", "totalPrice",
    "checkout.totalPrice.amount",
)  # fmt: skip
_PRODUCT: Final = (
    "id", "products.product_id", "products.productId", "products.sku", "products.id", "items.item_id",
    "items.product_id", "items.sku", "items.id", "productVariant.product.id", "cartLine.merchandise.product.id",
)  # fmt: skip
OF_EVENTS: Final[Mapping[str, Mapping[str, Names]]] = {
    "Product Viewed": {"product_id": _PRODUCT},
    "Product Added": {"product_id": _PRODUCT},
    ORDER_COMPLETED: {"order_id": ("id",), "total": _TOTAL},
    ORDER_REFUNDED: {"order_id": ("id",), "total": _TOTAL},
    ORDER_CANCELLED: {"order_id": ("id",), "total": _TOTAL},
    CSAT_SUBMITTED: {"score": ("rating", "csat_score", "csatScore")},
    NPS_SUBMITTED: {"rating": ("score", "nps", "nps_score", "npsScore", "value")},
    CES_SUBMITTED: {"rating": ("score", "ces", "ces_score", "cesScore", "value")},
    "Product Reviewed": {"rating": ("score", "stars")},
    **{name: {"ticket_id": ("id",)} for name in EVENT_TYPES if name.startswith("Ticket ")},
    **{name: {"conversation_id": ("id",)} for name in EVENT_TYPES if name.startswith("Live Chat ")},
}
"""More of them, after the others, for events of one name: ``id`` and ``value`` mean different things in others."""
LISTS: Final = frozenset({"products", "items"})


class _Column(NamedTuple):
    """A property and the paths of its other names. ``first`` are the keys at which the paths begin."""

    name: str
    first: frozenset[str]
    paths: tuple[Names, ...]


def _columns(kind: Kind, name: str = "") -> tuple[_Column, ...]:
    names = {**SPELLINGS[kind]}
    for column, more in OF_EVENTS.get(name, {}).items():
        names[column] = (*names.get(column, ()), *more)
    split = {column: tuple(tuple(one.split(".")) for one in spelled) for column, spelled in names.items()}
    return tuple(_Column(column, frozenset(path[0] for path in paths), paths) for column, paths in split.items())


class _Spellings(NamedTuple):
    """The columns of an event, and all keys at which their other names begin."""

    columns: tuple[_Column, ...]
    first: frozenset[str]


def _ready(columns: tuple[_Column, ...]) -> _Spellings:
    return _Spellings(columns, frozenset().union(*(column.first for column in columns)))


_OF_NAME: Final = {name: _ready(_columns(kind, name)) for name, (kind, _) in EVENT_TYPES.items()}
_OF_KIND: Final = {kind: _ready(_columns(kind)) for kind in SPELLINGS}
_IN_CONTEXT: Final = tuple((column, path[0], path) for column, path in CONTEXT.items())


def spell(kind: Kind, name: str, properties: dict[str, Any], notes: list[Note]) -> dict[str, str]:
    """Add the properties that the sender has under other names, in place.

    Returns the path from which each added property was taken, by its name.
    """
    spellings = _OF_NAME.get(name) or _OF_KIND[kind]
    taken = {} if spellings.first.isdisjoint(properties) else _spell(spellings.columns, properties, notes)
    if kind == "web" and (context := properties.get("context")).__class__ is dict:
        # nearly every event of an SDK has one, so it is looked into without the table
        for column, first, path in _IN_CONTEXT:
            if first in context and not properties.get(column) and not is_absent(value := _at(context, path)):
                properties[column], taken[column] = value, ".".join(("context", *path))
    return taken


def _spell(columns: tuple[_Column, ...], properties: dict[str, Any], notes: list[Note]) -> dict[str, str]:
    taken: dict[str, str] = {}
    for column in columns:
        if not column.first.isdisjoint(properties) and is_absent(properties.get(column.name)):
            for path in column.paths:
                if path[0] in properties and not is_absent(value := _at(properties, path)):
                    properties[column.name], taken[column.name] = value, ".".join(path)
                    _note_several(properties, column.name, path, notes)
                    break
    return taken


def _at(node: Any, path: Names) -> object:
    """Return what stands at a path; None if it is nothing or a structure."""
    for step in path:
        if isinstance(node, list):
            node = node[0] if node else None
        if not isinstance(node, dict):
            return None
        node = node.get(step)
    return None if isinstance(node, dict | list) else node


def _note_several(properties: dict[str, Any], column: str, path: Names, notes: list[Note]) -> None:
    if path[0] in LISTS and len(properties[path[0]]) > 1:
        notes.append(Note(column, "is that of the first of several products"))

"""Gives each order a number that is the same in all reports of it, by its shop and order id."""

from collections.abc import Mapping
from typing import Final

from xxhash import xxh32_intdigest

from streams.codes import ORDER
from streams.read.columns import Columns

_SIGN: Final = 1 << 31


def order_numbers(columns: Columns, shops: Mapping[str, str]) -> list[int]:
    """Return the number of each transaction: 32 bits of a hash, 0 for those that are no order or have no order id.

    ``shops`` has the leading source of those that report the same orders. Within the orders of one owner 32 bits are
    enough: two of a hundred get the same number once in a million owners.
    """
    return [
        order_number(shops.get(event.source, event.source), each.order_id) if code == ORDER and each.order_id else 0
        for code, event, each in zip(columns.code.tolist(), columns.envelopes, columns.properties, strict=True)
    ]


def order_number(shop: str, order_id: str) -> int:
    """Return the number of an order, a signed integer other than 0."""
    found = xxh32_intdigest(f"{shop}\0{order_id}".encode())
    return (found ^ _SIGN) - _SIGN or 1

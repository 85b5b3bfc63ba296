"""Gives each order a number that is the same in all reports of it by one customer or device."""

from collections.abc import Mapping
from typing import Final

from xxhash import xxh32_intdigest

from contracts.identity import ANONYMOUS
from streams.codes import ORDER
from streams.read.columns import Columns

_SIGN: Final = 1 << 31


def order_numbers(columns: Columns, shops: Mapping[str, str]) -> list[int]:
    """Return the number of each transaction: 32 bits of a hash, 0 for those that are no order or have no order id.

    ``shops`` has the shop of each source that shares its orders with others. The number depends on the customer, else
    the device, that the event names: reports of one order come in one partition then, so which of them is the first
    does not depend on pace. Within the orders of one owner 32 bits are enough: two of a hundred get the same number
    once in a million owners.
    """
    return [
        order_number(shops.get(event.source, event.source), customer or ANONYMOUS + device, each.order_id)
        if code == ORDER and each.order_id else 0
        for code, event, customer, device, each in zip(
            columns.code.tolist(), columns.envelopes, columns.customer, columns.anonymous, columns.properties,
            strict=True)
    ]  # fmt: skip


def order_number(shop: str, person: str, order_id: str) -> int:
    """Return the number of an order, a signed integer other than 0."""
    found = xxh32_intdigest(f"{shop}\0{person}\0{order_id}".encode())
    return (found ^ _SIGN) - _SIGN or 1

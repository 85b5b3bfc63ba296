"""The effect of an event on a profile, as one small integer per event.

Codes are part of the stored state: never renumber them.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from contracts.events import Kind

ORDER: Final = 1
REFUND: Final = 2
CANCELLATION: Final = 3
OTHER_TRANSACTION: Final = 9
PAGE_VIEW: Final = 10
PRODUCT_VIEW: Final = 11
PRODUCT_ADDED: Final = 12
CART_VIEW: Final = 13
CHECKOUT: Final = 14
OTHER_WEB: Final = 19
TICKET_OPENED: Final = 20
TICKET_SOLVED: Final = 21
SATISFACTION: Final = 22
OTHER_SERVICE: Final = 29
IDENTITY: Final = 39

CODE_OF_NAME: Final[Mapping[str, int]] = MappingProxyType({
    "Order Completed": ORDER,
    "Order Refunded": REFUND,
    "Order Cancelled": CANCELLATION,
    "Page Viewed": PAGE_VIEW,
    "Product Viewed": PRODUCT_VIEW,
    "Product Added": PRODUCT_ADDED,
    "Cart Viewed": CART_VIEW,
    "Checkout Started": CHECKOUT,
    "Ticket Opened": TICKET_OPENED,
    "Ticket Solved": TICKET_SOLVED,
    "CSAT Submitted": SATISFACTION,
})  # fmt: skip

OTHER_OF_KIND: Final[Mapping[Kind, int]] = MappingProxyType({
    "web": OTHER_WEB,
    "transaction": OTHER_TRANSACTION,
    "service": OTHER_SERVICE,
    "identity": IDENTITY,
})  # fmt: skip

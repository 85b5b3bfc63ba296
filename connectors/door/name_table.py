"""The names that other systems give to events that crmstream knows. Data only; docs/event-names.md shows it."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from contracts.events import DELETE_USER, EVENT_TYPES


class Origin(NamedTuple):
    """Where names come from, and which known event each one means.

    ``spelled_freely`` says that upper case, blanks, dots, hyphens and underscores make no difference. Other names are
    taken literally but for upper case: ``order.created`` means an order, but "Order Created" is often an event that a
    shop sends beside "Order Completed", and would count the order twice.
    """

    title: str
    spelled_freely: bool
    names: Mapping[str, str]


ORIGINS: Final = (
    Origin("crmstream's own names, in any spelling", True, {
        name: name for name, (kind, _) in EVENT_TYPES.items() if kind != "identity" or name == DELETE_USER
    }),
    Origin("Segment's older specification", True, {
        "Completed Order": "Order Completed",
        "Refunded Order": "Order Refunded",
        "Cancelled Order": "Order Cancelled",
        "Canceled Order": "Order Cancelled",
        "Order Canceled": "Order Cancelled",
        "Started Order": "Checkout Started",
        "Started Checkout": "Checkout Started",
        "Viewed Product": "Product Viewed",
        "Added Product": "Product Added",
        "Viewed Cart": "Cart Viewed",
        "Viewed Page": "Page Viewed",
        "Loaded a Page": "Page Viewed",
    }),
    Origin("Google Analytics 4", True, {
        "purchase": "Order Completed",
        "refund": "Order Refunded",
        "begin_checkout": "Checkout Started",
        "add_to_cart": "Product Added",
        "view_item": "Product Viewed",
        "view_cart": "Cart Viewed",
        "page_view": "Page Viewed",
    }),
    Origin("Shopify: web pixels and webhook topics", False, {
        "checkout_completed": "Order Completed",
        "product_added_to_cart": "Product Added",
        "orders/create": "Order Completed",
        "orders/cancelled": "Order Cancelled",
        "refunds/create": "Order Refunded",
        "checkouts/create": "Checkout Started",
    }),
    Origin("WooCommerce: hooks and webhook topics", False, {
        "order.created": "Order Completed",
        "woocommerce_thankyou": "Order Completed",
        "woocommerce_order_refunded": "Order Refunded",
        "woocommerce_order_status_cancelled": "Order Cancelled",
        "woocommerce_add_to_cart": "Product Added",
    }),
    Origin("Klaviyo", True, {
        "Placed Order": "Order Completed",
        "Added to Cart": "Product Added",
    }),
)  # fmt: skip

RESEMBLING: Final[Mapping[str, str]] = {
    "Order Placed": "Order Completed",
    "Order Created": "Order Completed",
    "Order Confirmed": "Order Completed",
    "Order Received": "Order Completed",
    "Order Submitted": "Order Completed",
    "Order Paid": "Order Completed",
    "Order Success": "Order Completed",
    "New Order": "Order Completed",
    "Purchase Completed": "Order Completed",
    "Checkout Completed": "Order Completed",
    "Item Viewed": "Product Viewed",
    "Product Detail Viewed": "Product Viewed",
    "Item Added": "Product Added",
    "Basket Viewed": "Cart Viewed",
    "Added to Basket": "Product Added",
    "Order Returned": "Order Refunded",
    "Ticket Created": "Ticket Opened",
    "Ticket Closed": "Ticket Solved",
    "Ticket Resolved": "Ticket Solved",
}
"""Names that may mean a known event. They are not mapped, but noted."""

OTHERS: Final = (
    "Products Searched", "Product List Viewed", "Product List Filtered", "Product Clicked", "Product Removed",
    "Product Shared", "Product Added to Wishlist", "Product Removed from Wishlist", "Cart Shared",
    "Checkout Step Viewed", "Checkout Step Completed", "Payment Info Entered", "Order Updated", "Order Fulfilled",
    "Promotion Viewed", "Promotion Clicked", "Coupon Entered", "Coupon Applied", "Coupon Denied", "Coupon Removed",
    "Screen Viewed", "Group", "Page Left",
)  # fmt: skip
"""Names that look like known ones and mean something else: no near misses."""

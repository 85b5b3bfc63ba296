"""Visits to the site: pages, products, carts, check-outs, and the orders and refunds that come of them.

A visit draws all its chance from one row of uniform numbers, so it costs no call of the random generator.
Moves no data.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from connectors.simulator.catalogue import Catalogue, Product
from connectors.simulator.config import DAY_US
from connectors.simulator.drafts import Draft
from contracts.events import ORDER_COMPLETED, ORDER_REFUNDED

DRAWS: Final = 24
"""Uniform numbers that one visit uses."""
_MINUTE_US: Final = 60_000_000
_SHOP: Final = "https://shop.example"
_CHANNELS: Final = {
    "search": ("", "https://www.google.com/"),
    "email": ("?utm_source=newsletter&utm_medium=email&utm_campaign=weekly", ""),
    "direct": ("", ""),
    "social": ("", "https://www.instagram.com/"),
    "ads": ("?utm_source=google&utm_medium=cpc&utm_campaign=sale", "https://www.google.com/"),
}
"""Where visits come from: the parameters of the first address, and the page before it."""
_CHANNEL_NAMES: Final = tuple(_CHANNELS)
_PAYMENTS: Final = ("card", "card", "wallet", "invoice")
_COUNTRIES: Final = ("US", "GB", "DE", "FR", "CA", "AU")
_LOGS_IN_SHARE: Final = 0.1


class Visitor(NamedTuple):
    """Who visits, and why. Who ``signs_in`` is anonymous at first and identified on the way."""

    customer_id: str | None
    anonymous_id: str
    orders: bool = False
    signs_in: bool = False
    fade: float = 0.0
    spend: float = 1.0


class SessionWriter:
    """Writes the drafts of one visit after the other. Numbers its visits and orders."""

    def __init__(self, catalogue: Catalogue, currency: str):
        self._catalogue = catalogue
        self._currency = currency
        self._sessions = 0
        self._orders = 0

    def write(self, visitor: Visitor, begins: int, draws: list[float]) -> Iterator[Draft]:
        """Yield the drafts of a visit beginning at ``begins`` (microseconds); ``draws`` has DRAWS numbers."""
        self._sessions += 1
        session_id = f"s-{self._sessions}"
        views = 1 + int(draws[0] * draws[1] * 6)
        viewed = [self._catalogue.pick(draws[2 + n]) for n in range(views)]
        steps = _steps(visitor, viewed, draws)
        known = visitor.customer_id is not None and not (visitor.signs_in or draws[8] < _LOGS_IN_SHARE)
        at = begins
        for number, (name, product) in enumerate(steps):
            at += int((0.05 + 7 * draws[10 + number] ** 3) * _MINUTE_US) if number else 0
            if number == 1 and not known and visitor.customer_id is not None:
                yield _identify(visitor, at, draws[9])
                known, at = True, at + _MINUTE_US // 6
            customer, visit = (visitor.customer_id, None) if known else (None, visitor.anonymous_id)
            properties = _web_properties(session_id, name, product)
            yield Draft(at, "web", name, customer, visit, properties if number else properties | _landing(draws[9]))
        if visitor.orders:
            yield from self._order(visitor, viewed, at + _MINUTE_US // 2, draws)

    def _order(self, visitor: Visitor, viewed: list[Product], at: int, draws: list[float]) -> Iterator[Draft]:
        self._orders += 1
        bought = viewed[-1 - int(draws[20] ** 2 * len(viewed)) :]
        lines = [_line(product, visitor.spend) for product in bought]
        order = {
            "order_id": f"o-{self._orders}",
            "total": round(sum(map(_cost, lines)), 2),
            "currency": self._currency,
            "items": len(lines),
        }
        placed = {**order, "payment_method": _PAYMENTS[int(draws[9] * 90) % len(_PAYMENTS)], "products": lines}
        yield Draft(at, "transaction", ORDER_COMPLETED, visitor.customer_id, None, placed)
        if draws[21] < 0.04 + 0.1 * visitor.fade:
            part = order if draws[22] < 0.7 else {**order, "total": _cost(lines[0]), "items": 1}
            back = at + int((2 + 18 * draws[23]) * DAY_US)
            yield Draft(back, "transaction", ORDER_REFUNDED, visitor.customer_id, None, part)


def _steps(visitor: Visitor, viewed: list[Product], draws: list[float]) -> list[tuple[str, Product | None]]:
    """Lay out the way through the site: (event name, product) per step; at most ten of them."""
    steps: list[tuple[str, Product | None]] = [("Page Viewed", None)]
    steps += [("Product Viewed", product) for product in viewed]
    if visitor.orders or draws[20] < 0.18:
        steps.append(("Product Added", viewed[-1]))
        if visitor.orders or draws[21] < 0.7:
            steps.append(("Cart Viewed", None))
        if visitor.orders or draws[22] < 0.35:
            steps.append(("Checkout Started", None))
    return steps


def _web_properties(session_id: str, name: str, product: Product | None) -> dict[str, Any]:
    if product is None:
        path = {"Cart Viewed": "/cart", "Checkout Started": "/checkout"}.get(name, "/")
        return {"session_id": session_id, "url": f"{_SHOP}{path}"}
    url = f"{_SHOP}/{product.category}/{product.product_id}"
    return {"session_id": session_id, "url": url, "product_id": product.product_id, "price": product.price}


def _channel(draw: float) -> str:
    return _CHANNEL_NAMES[int(draw * 30) % len(_CHANNEL_NAMES)]


def _landing(draw: float) -> dict[str, Any]:
    """Return what the first page view of a visit says about where the visitor came from."""
    parameters, referrer = _CHANNELS[_channel(draw)]
    return {"url": f"{_SHOP}/{parameters}", **({"referrer": referrer} if referrer else {})}


def _line(product: Product, spend: float) -> dict[str, Any]:
    cents = round(max(50, 100 * product.price * spend))
    quantity = 2 if spend > 1.5 and cents % 2 == 0 else 1
    return {
        "product_id": product.product_id, "sku": product.sku, "name": product.name, "category": product.category,
        "brand": product.brand, "quantity": quantity, "price": cents / quantity / 100,
    }  # fmt: skip


def _cost(line: dict[str, Any]) -> float:
    cost: float = round(line["quantity"] * line["price"], 2)
    return cost


def _identify(visitor: Visitor, at: int, draw: float) -> Draft:
    traits = {"country": _COUNTRIES[int(draw * 6)], "channel": _channel(draw)}
    return Draft(at, "identity", "Identify", visitor.customer_id, visitor.anonymous_id, {"traits": traits})

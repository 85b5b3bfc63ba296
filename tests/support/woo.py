"""An export of orders as a WooCommerce shop in the euro area writes it: of a year, with guests, refunds and baskets."""

import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

HEADER = (
    "Order Number;Order Date;Order Status;Customer ID;Full Name (Billing);Email (Billing);SKU;Item Name;Quantity;"
    "Item Cost;Order Total Amount;Refund Amount;Refund Date"
)
PRICES = [Decimal(price) for price in ("4.90", "12.50", "34.90", "89.00", "1249.00")]
STATES = ["Completed"] * 16 + ["Processing"] * 2 + ["Refunded", "Cancelled", "Pending payment"]


@dataclass
class Truth:
    """What one customer bought and got back, in euros."""

    orders: int = 0
    revenue: Decimal = Decimal(0)
    refunds: int = 0
    refunded: Decimal = Decimal(0)


@dataclass
class Export:
    """The file's bytes, what is true of each customer, and how many orders count."""

    content: bytes = b""
    truth: dict[str, Truth] = field(default_factory=lambda: defaultdict(Truth))
    rows: int = 0


def woo_export(end: datetime, orders: int = 400, seed: int = 7) -> Export:
    """Make the export of the year before ``end``. Same arguments, same bytes."""
    chance = random.Random(seed)
    export, lines = Export(), [HEADER]
    for number in range(orders):
        at = end - timedelta(days=365) * (orders - number) / orders + timedelta(minutes=chance.randrange(600))
        basket = [(chance.randrange(len(PRICES)), chance.randint(1, 3)) for _ in range(chance.randint(1, 4))]
        total = sum((PRICES[item] * count for item, count in basket), Decimal(0))
        state = chance.choice(STATES)
        refunded = total if state == "Refunded" else Decimal(0)
        if state == "Completed" and chance.random() < 0.08:
            refunded = PRICES[basket[0][0]]
        customer, email = _person(chance)
        back = (at + timedelta(days=3)).strftime("%d.%m.%Y %H:%M") if refunded else ""
        for item, count in basket:
            lines.append(";".join([
                str(10_000 + number), at.strftime("%d.%m.%Y %H:%M"), state, customer, '"Kim; ""K."" Doe"', email,
                f"SKU-{item}", f'"Thing, {item}"', str(count), _euros(PRICES[item]), f"{_euros(total)} €",
                f"{_euros(refunded)} €", back,
            ]))  # fmt: skip
        if state not in ("Cancelled", "Pending payment"):
            _count(export.truth[customer if customer != "0" else email.lower()], total, refunded)
    export.rows = len(lines) - 1
    export.content = "\ufeff".encode() + "\r\n".join([*lines, ""]).encode()
    return export


def _person(chance: random.Random) -> tuple[str, str]:
    """The customer's number (0 for a guest) and address; guests write theirs now so, now so."""
    number = min(int(chance.expovariate(0.03)), 150)
    if number % 4:
        return str(100 + number), f"customer{number}@example.com"
    address = f"guest{number}@example.com"
    return "0", address.title() if chance.random() < 0.3 else address


def _count(truth: Truth, total: Decimal, refunded: Decimal) -> None:
    truth.orders += 1
    truth.revenue += total
    truth.refunds += bool(refunded)
    truth.refunded += refunded


def _euros(amount: Decimal) -> str:
    return f"{amount:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")

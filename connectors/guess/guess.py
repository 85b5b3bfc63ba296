"""Guess the mapping of a file of orders: which columns are what, how times and money are written, what the states mean.

Everything that is not certain is among the doubts, in words that somebody who knows the file can answer.
"""

from typing import Final

from connectors.guess.case import Case, Keys
from connectors.guess.events import events
from connectors.guess.money import Money
from connectors.guess.people import people
from connectors.guess.roles import find_roles
from connectors.guess.sample import Sample
from connectors.guess.times import times
from connectors.guess.wishes import Wishes
from connectors.guess.words import plain, state_of

_ITEM: Final = {"product_id": "product id", "sku": "sku", "name": "product"}
_SHARED: Final = {"order_id": "order", "channel": "channel"}


def guess_keys(sample: Sample, wishes: Wishes, doubts: list[str]) -> Keys:
    """Guess the keys of a mapping; what is uncertain is added to ``doubts``.

    Raises :class:`contracts.errors.InputFileError` if no column identifies customers, or there is no date or no amount.
    """
    case = Case(sample, find_roles(sample, wishes.roles), wishes, doubts)
    roles = case.roles
    is_grouped = _repeats_orders(case) or _needs_sum(case)
    money = Money(case, is_grouped=is_grouped)
    keys: Keys = {
        **sample.reading,
        "source": wishes.source or source_of(sample.path.name),
        **people(case, is_grouped=is_grouped),
        **times(case),
    }
    if "order" in roles:
        keys["event_id"] = {"from": [roles["order"], "event"]}
    else:
        case.doubt("No column holds the number of an order: each row is an order, and a corrected row a new one.")
    keys["properties"] = {name: roles[role] for name, role in _SHARED.items() if role in roles}
    found = events(case, money, keys["occurred_at"], is_grouped=is_grouped)
    if is_grouped:
        keys["group"] = {"by": [roles["order"]], "items": "products", "each": _item(case, money)}
    if len(found) == 1 and set(found[0]) <= {"name", "properties"}:
        keys["name"] = found[0]["name"]
        keys["properties"] |= found[0]["properties"]
    else:
        keys["events"] = found
    return keys | ({"decimal": ","} if money.has_decimal_comma else {})


def source_of(file: str) -> str:
    """The name of a source: that of the file without dates and numbers, so that tonight's export has the same."""
    return "-".join(word for word in plain(file.split(".", maxsplit=1)[0]).split() if not word.isdigit()) or "import"


def _repeats_orders(case: Case) -> bool:
    """Whether several rows are one order."""
    order = case.roles.get("order")
    if order is None:
        return False
    texts = case.sample.filled(order)
    return len(set(texts)) < len(texts) and not _is_row_per_type(case, order)


def _is_row_per_type(case: Case, order: str) -> bool:
    """Whether the rows of an order are one of its sale and one of its return."""
    column = case.roles.get("type")
    if column is None or {state_of(text) for text in set(case.sample.filled(column))} != {"paid", "refunded"}:
        return False
    pairs = list(zip(case.sample.texts(order), case.sample.texts(column), strict=True))
    return len(set(pairs)) == len(pairs)


def _needs_sum(case: Case) -> bool:
    """Whether the total must be made of price and quantity."""
    return not {"total", "line total"} & set(case.roles) and {"order", "price", "quantity"} <= set(case.roles)


def _item(case: Case, money: Money) -> Keys:
    """What an item of an order holds."""
    roles = case.roles
    each: Keys = {name: roles[role] for name, role in _ITEM.items() if role in roles}
    if "quantity" in roles:
        each["quantity"] = {"column": roles["quantity"], "type": "number"}
    if price := roles.get("price") or roles.get("line total"):
        each["price"] = {"column": price, "type": "number", **money.format(price)}
    return each

"""Guess the mapping of a file of orders: which columns are what, how times and money are written, what the states mean.

Everything that is not certain is among the doubts, in words that somebody who knows the file can answer.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from connectors.guess.amounts import NumberForm, code_in, currency_of, number_form
from connectors.guess.dates import TimeFormat, is_clock, time_format
from connectors.guess.roles import are_persons, find_roles
from connectors.guess.sample import Sample
from connectors.guess.wishes import Wishes
from connectors.guess.words import plain, state_of
from contracts.errors import InputFileError
from contracts.identity import is_placeholder

Keys = dict[str, Any]
_PEOPLE: Final = ("customer", "email", "phone")
_ITEM: Final = (("product_id", "product id"), ("sku", "sku"), ("name", "product"))
_ZEROS: Final = ("", "0", "0.00", "0,00")
_COUNTED: Final = ("paid", "refunded", "unknown")
_MOST_NAMED: Final = 8
_GROUPS_LOOKED_AT: Final = 5_000


def guess_keys(sample: Sample, wishes: Wishes, doubts: list[str]) -> Keys:
    """Guess the keys of a mapping; what is uncertain is added to ``doubts``.

    Raises :class:`InputFileError` if there is nothing that tells customers apart, no date, or no amount.
    """
    return _Guess(sample, wishes, doubts).keys()


class _Guess:
    def __init__(self, sample: Sample, wishes: Wishes, doubts: list[str]):
        self._sample = sample
        self._wishes = wishes
        self._doubts = doubts
        self._roles = find_roles(sample, wishes.roles)
        self._forms: dict[str, NumberForm] = {}
        self._is_grouped = self._repeats_orders() or self._needs_sum()

    def keys(self) -> Keys:
        keys: Keys = {**self._sample.reading, "source": self._wishes.source or _source(self._sample.path.name)}
        self._add_people(keys)
        self._add_time(keys)
        order = self._roles.get("order")
        if order is not None:
            keys["event_id"] = {"from": [order, "event"]}
        else:
            self._doubts.append("No column holds the number of an order: each row is an order, and a corrected row a new one.")
        if self._is_grouped and order is not None:
            keys["group"] = {"by": [order], "items": "products", "each": self._item()}
        total = self._total()
        keys["properties"] = self._shared()
        self._add_events(keys, total)
        if any(form.decimal == "," for form in self._forms.values()):
            keys["decimal"] = ","
        return keys

    def _repeats_orders(self) -> bool:
        order = self._roles.get("order")
        if order is None:
            return False
        texts = self._sample.filled(order)
        return len(set(texts)) < len(texts) and not self._one_row_per_state(order)

    def _one_row_per_state(self, order: str) -> bool:
        """Whether an order's rows are one of its sale and one of its return."""
        kind = self._roles.get("type")
        if kind is None or {state_of(text) for text in self._sample.filled(kind)} < {"paid", "refunded"}:
            return False
        pairs = list(zip(self._sample.texts(order), self._sample.texts(kind), strict=True))
        return len(set(pairs)) == len(pairs)

    def _needs_sum(self) -> bool:
        """Whether the total must be made of price and quantity."""
        return not {"total", "line total"} & set(self._roles) and {"order", "price", "quantity"} <= set(self._roles)

    def _add_people(self, keys: Keys) -> None:
        found = [self._roles[role] for role in _PEOPLE if role in self._roles]
        guest = self._roles.get("guest")
        if not found and guest is None:
            persons = [column for column in self._sample.columns if are_persons(self._sample.filled(column))]
            why = f" (the names in {persons[0]!r} do not: two people may share one)" if persons else ""
            raise InputFileError(
                f"{self._sample.path.name} has no column that tells customers apart{why}: it needs a number of the "
                f"customer, an e-mail address or a telephone number. If there is one, name it: --set customer=COLUMN."
            )
        if found:
            keys["customer_id"] = found[0] if len(found) == 1 else {"first_of": found}
        if guest is not None:
            keys["anonymous_id"] = {"column": guest, "prefix": "guest-"}
        self._doubt_people(found)

    def _doubt_people(self, found: Sequence[str]) -> None:
        columns = [self._sample.texts(column) for column in found]
        nobody = sum(all(not text or is_placeholder(text) for text in row) for row in zip(*columns, strict=True))
        if nobody and not self._is_grouped and "guest" not in self._roles:
            self._doubts.append(f"{nobody:,} rows hold no customer: they are rejected.")
        if "customer" in self._roles and "email" not in self._roles and self._placeholders():
            self._doubts.append("Some rows hold 0 or the like as customer, and no e-mail address: such guests are rejected.")

    def _placeholders(self) -> bool:
        return any(map(is_placeholder, set(self._sample.filled(self._roles["customer"]))))

    def _add_time(self, keys: Keys) -> None:
        if "date" not in self._roles:
            raise InputFileError(
                f"{self._sample.path.name} has no column with the date of the order, or its dates have several formats. "
                f"If there is one, name it: --set date=COLUMN."
            )
        column, clock = self._roles["date"], self._roles.get("clock")
        form = self._time(column)
        pattern, parts = form.format, [column]
        if clock and not form.has_clock and (of_clock := is_clock(self._sample.filled(clock))):
            pattern, parts = (f"%Y-%m-%d {of_clock}" if pattern == "iso" else f"{pattern} {of_clock}"), [column, clock]
        spec: Keys = {"column": column} if len(parts) == 1 else {"columns": parts}
        keys["occurred_at"] = spec if pattern == "iso" else {**spec, "format": pattern}
        has_clock = form.has_clock or len(parts) > 1
        if self._wishes.time_zone:
            keys["time_zone"] = self._wishes.time_zone
        elif has_clock and not form.has_zone:
            keys["time_zone"] = "UTC"
            self._doubts.append(f"The times in {column!r} have no zone: they are taken for UTC (--time-zone Europe/Berlin).")

    def _time(self, column: str) -> TimeFormat:
        if self._are_moments(column):
            return TimeFormat("iso", None, has_clock=True)
        texts = self._sample.filled(column)
        form = time_format(texts)
        if form is None:
            raise InputFileError(f"The dates in {column!r} have no format that is known, or several.{_hint(texts)}")
        if form.other is not None:
            self._doubts.append(
                f"The dates in {column!r} can be read as {form.format} or as {form.other}; {form.format} is taken, since "
                f"the rows are in order then or lie less in the future. Is the first of them the {_day(texts[0], form.format)}?"
            )
        return form

    def _are_moments(self, column: str) -> bool:
        """Whether a spreadsheet or Parquet holds times, and not texts."""
        return all(hasattr(value, "isoformat") for value in self._sample.values(column))

    def _form(self, column: str) -> NumberForm:
        """The form of a column's numbers. A spreadsheet's and JSON's own numbers have none."""
        if column not in self._forms:
            values = self._sample.values(column)
            form = None if all(isinstance(value, int | float) for value in values) else number_form(self._sample.filled(column))
            if form is not None and form.decimal == "," and not form.thousands:
                form = form._replace(thousands=".")  # it can be nothing else, and larger amounts may come
            self._forms[column] = form or NumberForm(".", "", "")
            if form is not None and not form.is_sure:
                self._doubts.append(
                    f"Numbers in {column!r} such as 1{form.thousands}249 are read with {form.thousands!r} between thousands."
                )
        return self._forms[column]

    def _total(self) -> Keys:
        """The property ``total`` of an order."""
        roles = self._roles
        amount = roles.get("total") or roles.get("line total")
        if amount is None and self._is_grouped:
            return {"sum_of": roles["price"], "times": roles["quantity"], **self._money(roles["price"])}
        amount = amount or roles.get("price")
        if amount is None:
            raise InputFileError(
                f"{self._sample.path.name} has no column with an amount. If there is one, name it: --set total=COLUMN. "
                f"Files of other things than orders need a mapping of their own (docs/mapping.md)."
            )
        if not self._is_grouped or self._is_of_order(amount):
            return {"column": amount, **self._money(amount)}
        if "total" in roles and amount == roles["total"]:
            self._doubts.append(f"{amount!r} differs within orders: the order's total is the sum of its rows.")
        return {"sum_of": amount, **self._money(amount)}

    def _is_of_order(self, column: str) -> bool:
        """Whether a column holds one value for all rows of an order, or only one of them does."""
        seen: dict[str, str] = {}
        for order, text in zip(self._sample.texts(self._roles["order"]), self._sample.texts(column), strict=True):
            if text and seen.setdefault(order, text) != text:
                return False
            if len(seen) > _GROUPS_LOOKED_AT:
                break
        return True

    def _money(self, column: str) -> Keys:
        form = self._form(column)
        spec: Keys = {"type": "money"}
        if (currency := self._currency(column, form)) is not None:
            spec["currency"] = currency
        if form.symbol or form.thousands:
            spec["format"] = form.sample
        return spec

    def _currency(self, column: str, form: NumberForm) -> str | Keys | None:
        if self._wishes.currency:
            return self._wishes.currency
        own = self._roles.get("currency")
        codes = set(self._sample.filled(own)) if own else set()
        if own and all(len(code) == 3 and code.isalpha() for code in codes):  # noqa: PLR2004
            return {"column": own}
        symbol = codes.pop() if len(codes) == 1 else form.symbol
        code, is_sure = currency_of(symbol, self._sample.filled(column))
        if code is None:
            code, is_sure = code_in(column), True
        if code is None:
            code = self._wishes.default_currency
            known = f"they are taken for {code}" if code else "they are taken for the base currency"
            self._doubt_once(f"No currency stands beside the amounts: {known} (--currency EUR).")
        elif not is_sure:
            self._doubt_once(f"{symbol!r} may be several currencies: {code} is taken (--currency {code}).")
        return code

    def _doubt_once(self, text: str) -> None:
        if text not in self._doubts:
            self._doubts.append(text)

    def _item(self) -> Keys:
        each: Keys = {name: self._roles[role] for name, role in _ITEM if role in self._roles}
        if "quantity" in self._roles:
            each["quantity"] = {"column": self._roles["quantity"], "type": "number"}
        if price := self._roles.get("price") or self._roles.get("line total"):
            form = self._form(price)
            each["price"] = {"column": price, "type": "number"}
            if form.symbol or form.thousands:
                each["price"]["format"] = form.sample
        return each

    def _shared(self) -> Keys:
        names = {"order_id": "order", "channel": "channel"}
        return {name: self._roles[role] for name, role in names.items() if role in self._roles}

    def _of_order(self, total: Keys) -> Keys:
        """The properties of an order that others do not have."""
        of_order: Keys = {"total": total}
        quantity = self._roles.get("quantity")
        if quantity is not None and all(_is_whole(text) for text in self._sample.filled(quantity)):
            self._form(quantity)
            of_order["items"] = {"sum_of" if self._is_grouped else "column": quantity, "type": "integer"}
        if "coupon" in self._roles:
            of_order["coupon"] = self._roles["coupon"]
        return of_order

    def _add_events(self, keys: Keys, total: Keys) -> None:
        of_order = self._of_order(total)
        events = [
            {"name": "Order Completed", **self._when_completed(), "properties": of_order},
            *self._refunds(keys, total),
            *self._cancellations(),
            *self._identities(),
        ]
        if len(events) > 1 or set(events[0]) > {"name", "properties"}:
            keys["events"] = events
            return
        keys["name"] = "Order Completed"
        keys["properties"] |= of_order
        if self._form(self._amount(total)).has_negative:
            self._doubts.append("Some amounts are negative: such rows are rejected, for nothing says that they are refunds.")

    @staticmethod
    def _amount(total: Keys) -> str:
        return str(total.get("column") or total.get("sum_of"))

    def _states(self) -> tuple[str | None, dict[str, list[str]]]:
        """The column of the state, and its texts by what they mean."""
        column = self._roles.get("status") or self._roles.get("type")
        texts = sorted(set(self._sample.filled(column))) if column else []
        found: dict[str, list[str]] = {}
        for text in texts:
            found.setdefault(state_of(text) or "unknown", []).append(text)
        return column, found

    def _when_completed(self) -> Keys:
        column, states = self._states()
        if column is None:
            return {}
        if unknown := states.get("unknown"):
            named = ", ".join(unknown[:_MOST_NAMED]) + (", ..." if len(unknown) > _MOST_NAMED else "")
            self._doubts.append(f"What these states in {column!r} mean is not known; such orders count: {named}.")
        others = [*states.get("open", []), *states.get("cancelled", [])]
        if states.get("refunded") and column == self._roles.get("type"):
            others += states["refunded"]
        return {"unless": {column: sorted(others)}} if others else {}

    def _refunds(self, keys: Keys, total: Keys) -> list[Keys]:
        column, states = self._states()
        amount = self._roles.get("refund")
        event: Keys = {"name": "Order Refunded"}
        if amount is not None and (not self._is_grouped or self._is_of_order(amount)):
            zeros = {text for text in self._sample.filled(amount) if not text.strip("0.,-€$£ ")}
            event["unless"] = {amount: [*_ZEROS, *sorted(zeros - set(_ZEROS))]}
            if column is not None and column == self._roles.get("status"):
                event["when"] = {column: sorted(one for state in _COUNTED for one in states.get(state, []))}
            event["properties"] = {"total": {"column": amount, **self._money(amount), "absolute": "true"}}
        elif column is not None and states.get("refunded"):
            event["when"] = {column: states["refunded"]}
            event["properties"] = {"total": {**total, "absolute": "true"}}
        else:
            return []
        return [event | self._refund_time(keys)]

    def _refund_time(self, keys: Keys) -> Keys:
        """The time of the refund, if the file holds it in the order's format."""
        column, of_order = self._roles.get("refund date"), keys["occurred_at"]
        if column is None or "column" not in of_order:
            self._doubt_once("The file holds no time of a refund: refunds count at the time of the order.")
            return {}
        form = time_format(self._sample.filled(column)) if not self._are_moments(column) else TimeFormat("iso")
        if form is None or form.format != of_order.get("format", "iso"):
            self._doubt_once(f"{column!r} is written differently from the order's date: refunds count at the order's time.")
            return {}
        times: Keys = {"first_of": [column, of_order["column"]]}
        return {"occurred_at": times | ({"format": form.format} if form.format != "iso" else {})}

    def _cancellations(self) -> list[Keys]:
        column, states = self._states()
        if column is None or not states.get("cancelled") or "order" not in self._roles:
            return []
        return [{"name": "Order Cancelled", "when": {column: states["cancelled"]}}]

    def _identities(self) -> list[Keys]:
        """One event for each customer with the e-mail address, where there is a number as well."""
        if not {"customer", "email"} <= set(self._roles):
            return []
        email = self._roles["email"]
        return [{
            "name": "Identify", "unless": {email: [""]}, "event_id": {"from": [email, "event"]}, "traits": {"email": email}
        }]  # fmt: skip


def _source(file: str) -> str:
    """The name of a source: that of the file without dates and numbers, so that tonight's export has the same."""
    return "-".join(word for word in plain(file.split(".")[0]).split() if not word.isdigit()) or "import"


def _is_whole(text: str) -> bool:
    whole, _, rest = text.replace(",", ".").partition(".")
    return whole.lstrip("-").isdigit() and not rest.strip("0")


def _day(text: str, pattern: str) -> str:
    """Show a date in words, for somebody to compare."""
    return f"{datetime.strptime(text, pattern):%d %B %Y}"  # noqa: DTZ007 - only its day is shown


def _hint(texts: Sequence[str]) -> str:
    """Say what a date seems to mean that no format fits."""
    import dateparser  # noqa: PLC0415 - takes a third of a second

    found = dateparser.parse(texts[0]) if texts else None
    return "" if found is None else " They seem to be dates in words: write the format into a mapping (docs/mapping.md)."

"""Which events a row, or an order, can be: completed, refunded, cancelled; and who the customer is."""

from typing import Final

from connectors.guess.case import Case, Keys
from connectors.guess.money import Money
from connectors.guess.times import refund_time
from connectors.guess.words import state_of

_ZEROS: Final = ("", "0", "0.00", "0,00")
_COUNTED: Final = ("paid", "refunded", "unknown")
_MOST_NAMED: Final = 8


def events(case: Case, money: Money, occurred_at: Keys, *, is_grouped: bool) -> list[Keys]:
    """Return the events of a mapping. Raises :class:`contracts.errors.InputFileError` if the file holds no amount."""
    return _Events(case, money, occurred_at, is_grouped=is_grouped).all()


class _Events:
    def __init__(self, case: Case, money: Money, occurred_at: Keys, *, is_grouped: bool):
        self._case = case
        self._money = money
        self._occurred_at = occurred_at
        self._is_grouped = is_grouped
        self._total = money.total()
        self._column = case.roles.get("status") or case.roles.get("type")
        """The column that says what became of an order, and its texts by what they mean."""
        self._states: dict[str, list[str]] = {}
        for text in sorted(set(case.sample.filled(self._column))) if self._column else ():
            self._states.setdefault(state_of(text) or "unknown", []).append(text)

    def all(self) -> list[Keys]:
        found = [{"name": "Order Completed", **self._when_completed(), "properties": self._of_order()}]
        return [*found, *self._refunded(), *self._cancelled(), *self._identified()]

    @property
    def _is_type(self) -> bool:
        """Whether a refund is a row of its own, and not a state of the order."""
        return self._column is not None and self._column == self._case.roles.get("type")

    def _of_order(self) -> Keys:
        """The properties of an order that its refund does not have."""
        of_order: Keys = {"total": self._total}
        quantity = self._case.roles.get("quantity")
        if quantity is not None and all(_is_whole(text) for text in self._case.sample.filled(quantity)):
            of_order["items"] = {"sum_of" if self._is_grouped else "column": quantity, "type": "integer"}
        if "coupon" in self._case.roles:
            of_order["coupon"] = self._case.roles["coupon"]
        return of_order

    def _when_completed(self) -> Keys:
        if self._column is None:
            return {}
        if unknown := self._states.get("unknown"):
            named = ", ".join(unknown[:_MOST_NAMED]) + (", ..." if len(unknown) > _MOST_NAMED else "")
            self._case.doubt(f"What these states in {self._column!r} mean is not known; such orders count: {named}.")
        left_out = ("open", "cancelled", "refunded") if self._is_type else ("open", "cancelled")
        texts = sorted(text for state in left_out for text in self._states.get(state, ()))
        return {"unless": {self._column: texts}} if texts else {}

    def _refunded(self) -> list[Keys]:
        amount = self._case.roles.get("refund")
        if amount is not None and (not self._is_grouped or self._money.is_of_order(amount)):
            return [self._refund_of(amount)]
        if self._column is None or not self._states.get("refunded"):
            return []
        event: Keys = {"name": "Order Refunded", "when": {self._column: self._states["refunded"]}}
        if not self._is_type:
            event |= refund_time(self._case, self._occurred_at)
        return [event | {"properties": {"total": {**self._total, "absolute": "true"}}}]

    def _refund_of(self, amount: str) -> Keys:
        """The refund whose amount stands in a column of the order, 0 for none."""
        zeros = {text for text in set(self._case.sample.filled(amount)) if not text.strip("0.,-€$£ \u00a0")}
        event: Keys = {"name": "Order Refunded", "unless": {amount: [*_ZEROS, *sorted(zeros - set(_ZEROS))]}}
        if self._column is not None and not self._is_type:
            counted = [text for state in _COUNTED for text in self._states.get(state, ())]
            event["when"] = {self._column: sorted(counted)}
        total = {"column": amount, **self._money.spec(amount), "absolute": "true"}
        return event | refund_time(self._case, self._occurred_at) | {"properties": {"total": total}}

    def _cancelled(self) -> list[Keys]:
        if self._column is None or not self._states.get("cancelled") or "order" not in self._case.roles:
            return []
        return [{"name": "Order Cancelled", "when": {self._column: self._states["cancelled"]}}]

    def _identified(self) -> list[Keys]:
        """One event for each customer with the e-mail address, where there is a number as well."""
        if not {"customer", "email"} <= set(self._case.roles):
            return []
        email = self._case.roles["email"]
        key = {"from": [email, "event"]}
        return [{"name": "Identify", "unless": {email: [""]}, "event_id": key, "traits": {"email": email}}]


def _is_whole(text: str) -> bool:
    whole, _, rest = text.replace(",", ".").partition(".")
    return whole.lstrip("-").isdigit() and not rest.strip("0")

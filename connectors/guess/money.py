"""Which amounts a file holds: the total of an order, its currency, its refund."""

from typing import Final

from connectors.guess.amounts import NumberForm, code_in, currency_of, number_form
from connectors.guess.case import Case, Keys
from connectors.guess.wishes import Wishes
from contracts.errors import InputFileError

_CODE_LETTERS: Final = 3
_MOST_ORDERS: Final = 5_000
"""Orders that are looked at to find out whether a column is the order's or the item's."""


class Money:
    """The amounts of one file."""

    def __init__(self, case: Case, *, is_grouped: bool):
        self._case = case
        self._is_grouped = is_grouped
        self._forms: dict[str, NumberForm] = {}

    @property
    def has_decimal_comma(self) -> bool:
        """Whether numbers that were looked at have a decimal comma."""
        return any(form.decimal == "," for form in self._forms.values())

    def total(self) -> Keys:
        """The property ``total`` of an order. Raises :class:`InputFileError` if the file holds no amount."""
        roles = self._case.roles
        amount = roles.get("total") or roles.get("line total")
        if amount is None and self._is_grouped and {"price", "quantity"} <= set(roles):
            return {"sum_of": roles["price"], "times": roles["quantity"], **self.spec(roles["price"])}
        amount = amount or roles.get("price")
        if amount is None:
            raise InputFileError(
                f"{self._case.file} has no column with an amount. If there is one, name it: --set total=COLUMN. "
                f"Files of other things than orders need a mapping of their own (docs/mapping.md)."
            )
        if self.form(amount).has_negative and not {"type", "status"} & set(roles):
            self._case.doubt("Some amounts are negative: such rows are rejected, since nothing marks refunds.")
        if not self._is_grouped or self.is_of_order(amount):
            return {"column": amount, **self.spec(amount)}
        if amount == roles.get("total"):
            self._case.doubt(f"{amount!r} differs within orders: the order's total is the sum of its rows.")
        return {"sum_of": amount, **self.spec(amount)}

    def is_of_order(self, column: str) -> bool:
        """Whether a column holds one value for all rows of an order, or only one of them holds any."""
        sample, seen = self._case.sample, dict[str, str]()
        for order, text in zip(sample.texts(self._case.roles["order"]), sample.texts(column), strict=True):
            if text and seen.setdefault(order, text) != text:
                return False
            if len(seen) > _MOST_ORDERS:
                break
        return True

    def spec(self, column: str) -> Keys:
        """The type, the currency and the format of a column with money."""
        return {"type": "money", "currency": self._currency(column, self.form(column)), **self.format(column)}

    def format(self, column: str) -> Keys:
        """The format of a column's numbers, if it is not plain."""
        form = self.form(column)
        return {"format": form.sample} if form.symbol or form.thousands else {}

    def form(self, column: str) -> NumberForm:
        """The form of a column's numbers. A spreadsheet's and JSON's own numbers are plain."""
        if column not in self._forms:
            self._forms[column] = self._find_form(column)
        return self._forms[column]

    def _find_form(self, column: str) -> NumberForm:
        sample = self._case.sample
        if all(isinstance(value, int | float) for value in sample.values(column)):
            return NumberForm(".", "", "", has_negative=any(float(text) < 0 for text in sample.filled(column)))
        form = number_form(sample.filled(column))
        if form is None:
            raise InputFileError(f"The numbers in {column!r} are written in several ways; a mapping needs one of them.")
        if not form.is_sure:
            sign = form.thousands
            self._case.doubt(f"Numbers in {column!r} such as 1{sign}249 are read with {sign!r} between thousands.")
        if form.decimal == "," and not form.thousands:
            return form._replace(thousands=".")  # it can be nothing else, and larger amounts may come
        return form

    def _currency(self, column: str, form: NumberForm) -> str | Keys:
        wishes, own = self._case.wishes, self._case.roles.get("currency")
        if wishes.currency:
            return wishes.currency
        codes = set(self._case.sample.filled(own)) if own else set()
        if own and all(len(code) == _CODE_LETTERS and code.isalpha() for code in codes):
            return {"column": own}
        symbol = codes.pop() if len(codes) == 1 else form.symbol
        code, is_sure = currency_of(symbol, self._case.sample.filled(column))
        if code is None:
            code, is_sure = code_in(column), True
        if code is None:
            code = default_currency(wishes, self._case.file)
            self._case.doubt(f"No currency stands beside the amounts: they are taken for {code} (--currency EUR).")
        elif not is_sure:
            self._case.doubt(f"{symbol!r} may be several currencies: {code} is taken (--currency {code}).")
        return code


def default_currency(wishes: Wishes, file: str) -> str:
    """Return the currency of a file that names none. Raises :class:`InputFileError` if nobody has said one."""
    if wishes.default_currency is None:
        raise InputFileError(f"No currency stands beside the amounts of {file}. Name it: --currency EUR.")
    return wishes.default_currency

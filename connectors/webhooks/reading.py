"""Read the values of a webhook, as a mapping describes them.

Each method turns a part of the mapping into a reader: a function from a webhook to a value, or to None where there is
nothing. A value that does not fit raises :class:`BadValueError`, which never holds the value itself. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cache
from typing import Final, NamedTuple

from connectors.rows.values import BadValueError, as_text, boolean, time_parser
from connectors.webhooks.amounts import major, number
from connectors.webhooks.mapping import Texts, WebhookMapping
from connectors.webhooks.paths import compile_path
from connectors.webhooks.spec import Scalar, Value
from contracts.currencies import is_code
from contracts.identity import EMAIL_ADDRESS, identifier_of

_EXACT_INTEGERS: Final = 2**53
_LONGEST_TIME: Final = 64


class View(NamedTuple):
    """What a reader looks at: the body (with the element of ``each`` in it), and headers by their small names."""

    document: object
    headers: Mapping[str, str]


Read = Callable[[View], object]
ReadText = Callable[[View], str | None]
Fits = Callable[[View], bool]
_Convert = Callable[[object, View], object]


class Readers:
    """Makes the readers of one mapping.

    ``currency`` is that of amounts that name none. ``base`` gives what the door takes for it where nothing names one.
    """

    def __init__(self, mapping: WebhookMapping, currency: str | None, base: Callable[[], str | None]):
        self._time_zone = mapping.time_zone
        self._own_units = mapping.minor_units
        self._currency = currency
        self._base = base

    def value(self, spec: Value) -> Read:
        """Read a value with its type."""
        raw, convert = self._raw(spec), self._converter(spec)

        def read(view: View) -> object:
            found = raw(view)
            return None if found is None else convert(found, view)

        return read

    def identifier(self, spec: Value | None) -> ReadText:
        """Read the key of an event or an element: a text or a whole number."""
        if spec is None:
            return _nothing
        read = self.value(spec)
        return lambda view: None if (found := read(view)) is None else _identifier(found)

    def person(self, spec: Value | None) -> ReadText:
        """Read a person's id, in the form that all connectors give it. A placeholder, such as 0, counts as absent."""
        if spec is None:
            return _nothing
        read = self.value(spec.model_copy(update={"prefix": ""}))
        readers = [self.person(one) for one in spec.first_of] or [lambda view: _person(read(view))]

        def found(view: View) -> str | None:
            one = next((one for reader in readers if (one := reader(view)) is not None), None)
            return None if one is None else spec.prefix + one

        return found

    def address(self, spec: Value | None) -> ReadText:
        """Read an e-mail address in its one form; anything else counts as absent."""
        if spec is None:
            return _nothing
        read = self.value(spec)

        def find(view: View) -> str | None:
            found = read(view)
            return identifier_of(found) if isinstance(found, str) and EMAIL_ADDRESS.fullmatch(found) else None

        return find

    def time(self, spec: Value | None) -> ReadText:
        """Read a time, as ISO 8601 with a zone."""
        if spec is None:
            return _nothing
        read = self.value(spec.model_copy(update={"type": "time"}))
        return lambda view: None if (found := read(view)) is None else str(found)

    def properties(self, name: str, spec: Value) -> Iterator[tuple[str, Read]]:
        """Read a property. Money gives two, its currency first, so that a missing one is told by its own name."""
        read = self.value(spec)
        if spec.type == "money":
            currency = self._currency_of(spec)
            raw = self._raw(spec)
            yield spec.currency_property, lambda view: None if raw(view) is None else currency(view)
        yield name, read

    def fits(self, wanted: Texts) -> Fits:
        """Tell whether the values at all paths are among those that are wanted."""
        pairs = [(compile_path(path), frozenset(map(_comparable, values))) for path, values in wanted.items()]
        return lambda view: all(_comparable(find(view.document)) in values for find, values in pairs)

    def _raw(self, spec: Value) -> Read:
        """Read what stands there, put through ``values``."""
        found = self._source(spec)
        if not spec.values:
            return lambda view: _something(found(view))

        def read(view: View) -> object:
            one = _something(found(view))
            return None if one is None else _mapped(spec.values, one)

        return read

    def _source(self, spec: Value) -> Read:
        if spec.first_of:
            readers = [self.value(one) for one in spec.first_of]
            return lambda view: next((one for read in readers if (one := read(view)) is not None), None)
        if spec.header is not None:
            name = spec.header.lower()
            return lambda view: view.headers.get(name)
        if spec.path is None:
            return lambda _: spec.value
        find = compile_path(spec.path)
        return lambda view: find(view.document)

    def _converter(self, spec: Value) -> _Convert:
        match spec.type:
            case "number" | "integer":
                amount, kind = _number(spec), float if spec.type == "number" else _whole
                return lambda one, view: kind(amount(one, view))
            case "money":
                return self._money(spec)
            case "boolean":
                return lambda one, _: boolean(as_text(one))
            case "time":
                return _time(spec.format, self._time_zone)
        if spec.type == "string" or spec.prefix or spec.lower:
            return lambda one, _: spec.prefix + (as_text(one).lower() if spec.lower else as_text(one))
        return lambda one, _: one

    def _money(self, spec: Value) -> _Convert:
        amount, currency, base = _number(spec), self._currency_of(spec), self._base
        return lambda one, view: major(amount(one, view), spec.units, currency(view) or base() or "", self._own_units)

    def _currency_of(self, spec: Value) -> ReadText:
        """Read a currency. Where nothing names one it is None: the door has a default, or the money waits."""
        fixed = self._currency
        if spec.currency is None or is_code(spec.currency):
            return lambda _: _code(spec.currency or fixed)
        find = compile_path(spec.currency)
        return lambda view: _code(_something(find(view.document)) or fixed)


@cache
def _time(pattern: str, zone: str) -> _Convert:
    """Make a reader of times. One for all that are alike, since it remembers what it has read."""
    parse = time_parser(pattern, zone)

    def read(found: object, _: View) -> str:
        text = as_text(found)
        if len(text) > _LONGEST_TIME:
            raise BadValueError("is too long for a time")
        return parse(text)[1]

    return read


def _nothing(_: View) -> None:
    return None


def _something(found: object) -> object:
    """Take an empty text for nothing."""
    return None if isinstance(found, str) and not found.strip() else found


def _mapped(values: Mapping[str, Scalar], found: object) -> Scalar:
    try:
        return values[as_text(found)]
    except KeyError:
        raise BadValueError("is none of the values that the mapping knows") from None


def _identifier(found: object) -> str:
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise BadValueError("is neither a text nor a whole number")
    return as_text(found)


def _person(found: object) -> str | None:
    try:
        return identifier_of(found)
    except ValueError as problem:
        raise BadValueError(str(problem)) from None


def _number(spec: Value) -> Callable[[object, View], Decimal]:
    minus = compile_path(spec.minus) if spec.minus else None

    def read(found: object, view: View) -> Decimal:
        amount = number(found)
        if minus is not None:
            amount -= _subtrahend(minus(view.document))
        return abs(amount) if spec.absolute else amount

    return read


def _subtrahend(found: object) -> Decimal:
    if found is None:
        raise BadValueError("is a difference, but what is to be subtracted is missing")
    return number(found)


def _whole(amount: Decimal) -> int:
    if amount != amount.to_integral_value() or abs(amount) > _EXACT_INTEGERS:
        raise BadValueError("is not a whole number")
    return int(amount)


def _code(found: object) -> str | None:
    """Give a code in capital letters, and what is none as it came: the door says what becomes of it."""
    if found is None:
        return None
    text = as_text(found).strip()
    return text.upper() if is_code(text.upper()) else text


def _comparable(value: object) -> str | None:
    """Make what a condition compares: plain values by their text, nothing as None, structures as something else."""
    if value is None:
        return None
    return as_text(value) if isinstance(value, str | int | float | bool) else "\x00"

"""Read the properties of events as a mapping asks: typed values, money, lists, sums over the rows of a group.

Every reader is made once per file and called once per row. A value that does not fit raises
:class:`connectors.rows.values.BadValueError`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, cast

import msgspec

from connectors.rows.columns import Columns, Row, dressed
from connectors.rows.mapping import Mapping
from connectors.rows.numbers import format_of, plain_parser, sample_parser
from connectors.rows.parts import Column, Properties, Property
from connectors.rows.values import BadValueError, boolean, integer, money
from contracts.notes import Note

Read = Callable[[Row], object]
Field = tuple[str, Read]
Number = Callable[[str], float]

MOST_ITEM_BYTES: Final = 24_000
"""JSON bytes of the list of a group's items beyond which it is cut: an event has a largest size."""
_encode: Final = msgspec.json.Encoder().encode


class PropertyReaders:
    """Makes the readers of one file's properties."""

    def __init__(self, mapping: Mapping, columns: Columns):
        self._columns = columns
        self._number = plain_parser(mapping.decimal, mapping.thousands)

    def fields(self, properties: Properties) -> list[Field]:
        """Read properties by their names, and the currency beside those that are money."""
        return [field for name, spec in properties.items() for field in self._fields(name, spec)]

    def _fields(self, name: str, spec: Property) -> Iterator[Field]:
        value = self.value(spec)
        yield name, value
        if isinstance(spec.currency, Column):
            yield "currency", _upper(self._columns.words(spec.currency))
        elif spec.currency is not None:
            code, present = spec.currency, self._present(spec)
            yield "currency", lambda row: code if present(row) else None

    def _present(self, spec: Property) -> Callable[[Row], bool]:
        """Ask whether a property has a value."""
        if spec.constant is not None or spec.sum_of is not None:
            return lambda _row: True
        text = self._columns.first_text(spec.columns)
        return lambda row: text(row) is not None

    def value(self, spec: Property) -> Read:
        """Read one property."""
        parse = self._parser(spec)
        if spec.constant is not None:
            constant = _prefixed(spec.constant if parse is None else parse(spec.constant), spec)
            return lambda _row: constant
        if spec.list_of:
            return self._list(spec, parse)
        if spec.sum_of is not None:
            return self._sum(spec)
        return self._single(spec, spec.columns, parse)

    def _single(self, spec: Property, columns: Sequence[str], parse: Callable[[str], object] | None) -> Read:
        text, allowed = self._columns.first_text(columns), frozenset(spec.values)
        if parse is None and not allowed:
            return dressed(text, spec.prefix, lower=spec.lower)
        last = parse or (lambda found: _prefixed(found, spec))

        def read(row: Row) -> object:
            found = text(row)
            if found is None:
                return None
            if allowed and found not in allowed:
                raise BadValueError("is none of the values that the mapping allows")
            return last(found)

        return read

    def _list(self, spec: Property, parse: Callable[[str], object] | None) -> Read:
        readers = [self._single(spec, (column,), parse) for column in spec.list_of]
        return lambda row: [value for read in readers if (value := read(row)) is not None] or None

    def _sum(self, spec: Property) -> Read:
        """Add up a column over the rows of a group; None where no row has a value."""
        number, total = self._number_of(spec), _kind(spec)
        summand = self._columns.text(spec.sum_of or "")
        times = self._columns.text(spec.times) if spec.times else None

        def read(row: Row) -> object:
            found = []
            for one in rows_of(row):
                text = summand(one)
                if text is None:
                    continue
                count = times(one) if times else "1"
                if count is None:
                    raise BadValueError(f"cannot be added up: {spec.times} is empty in one of the rows")
                found.append(number(text) * (self._number(count) if times else 1.0))
            return total(math.fsum(found)) if found else None

        return read

    def _parser(self, spec: Property) -> Callable[[str], object] | None:
        if spec.type == "string":
            return None
        if spec.type == "boolean":
            return boolean
        number, kind = self._number_of(spec), _kind(spec)
        return lambda text: kind(number(text))

    def _number_of(self, spec: Property) -> Number:
        number = self._number if spec.format is None else sample_parser(format_of(spec.format))
        return (lambda text: abs(number(text))) if spec.absolute else number


def rows_of(row: Row) -> Sequence[Row]:
    """The rows of a group."""
    return cast("Sequence[Row]", row[-1])


def fitting_items(name: str, items: list[dict[str, object]], notes: list[Note]) -> list[dict[str, object]]:
    """Return as many items as an event has room for; if some are left out, it is noted at the property ``name``."""
    kept = _cut(items)
    if len(kept) < len(items):
        notes.append(Note(name, f"holds only the first {len(kept):,} of {len(items):,}"))
    return kept


def _cut(items: list[dict[str, object]]) -> list[dict[str, object]]:
    size = 0
    for count, item in enumerate(items):
        size += len(_encode(item)) + 1
        if size > MOST_ITEM_BYTES:
            return items[:count]
    return items


def _upper(words: Callable[[Row], str | None]) -> Callable[[Row], str | None]:
    """Write the code of a currency in upper case: Stripe's files hold ``eur``."""
    return lambda row: None if (code := words(row)) is None else code.upper()


def _prefixed(value: object, spec: Property) -> object:
    if not isinstance(value, str):
        return value
    return spec.prefix + (value.lower() if spec.lower else value)


def _kind(spec: Property) -> Callable[[float], object]:
    kinds: dict[str, Callable[[float], object]] = {"integer": integer, "money": money}
    return kinds.get(spec.type, float)

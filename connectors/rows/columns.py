"""Read the columns of a file as a mapping asks: ids, times, properties and names.

Every reader is made once per file and called once per row. A value that does not fit raises
:class:`connectors.rows.values.BadValueError`.
"""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Lookup
from typing import Final

from xxhash import xxh3_64_intdigest

from connectors.rows.mapping import Column, Mapping, Name, Property, Rule, Time
from connectors.rows.values import (
    BadValueError,
    Instant,
    NoValue,
    as_text,
    boolean,
    integer,
    money,
    number_parser,
    time_parser,
)

Row = Sequence[object]
Reader = Callable[[Row], str | None]
Predicate = Callable[[Row], bool]
Field = tuple[str, Callable[[Row], object]]

_SEPARATOR: Final = "\x1f"


class Columns:
    """The columns of one file, by name; of two with one name the first is meant."""

    def __init__(self, mapping: Mapping, names: Sequence[str]):
        self._at = {name: index for index, name in reversed(list(enumerate(names)))}
        self._nulls = frozenset(mapping.null)
        self._zone = mapping.time_zone
        self._number = number_parser(mapping.decimal)

    def text(self, column: str) -> Reader:
        """Read a column as text; None where it is empty or a null marker."""
        index, nulls = self._at[column], self._nulls

        def read(row: Row) -> str | None:
            value = row[index]
            if value is None:
                return None
            text = value.strip() if type(value) is str else as_text(value)
            return None if text in nulls else text

        return read

    def identifier(self, spec: Column) -> Reader:
        """Read an id, with its prefix."""
        text, prefix = self.text(spec.column), spec.prefix
        if not prefix:
            return text
        return lambda row: None if (found := text(row)) is None else prefix + found

    def time(self, spec: Time) -> Callable[[Row], Instant]:
        """Read a time that must be there."""
        parse, readers = time_parser(spec.format, self._zone), [self.text(c) for c in spec.parts]
        floor = self.text(spec.not_before) if spec.not_before else None

        def read(row: Row) -> Instant:
            texts = [text for reader in readers if (text := reader(row)) is not None]
            if len(texts) < len(readers):
                raise BadValueError("is empty")
            moment = parse(" ".join(texts))
            earliest = floor(row) if floor else None
            if earliest is not None and moment[0] < parse(earliest)[0]:
                raise BadValueError(f"lies before {spec.not_before}")
            return moment

        return read

    def properties(self, name: str, spec: Property) -> list[Field]:
        """Read a property, and the currency beside it if it is money."""
        pairs: list[Field] = [(name, self._property(spec))]
        if isinstance(spec.currency, Column):
            pairs.append(("currency", self.text(spec.currency.column)))
        elif spec.currency is not None:
            text, code = self.text(spec.column), spec.currency
            pairs.append(("currency", lambda row: None if text(row) is None else code))
        return pairs

    def name(self, spec: Name) -> Callable[[Row], str]:
        """Read the event's name."""
        if spec.constant is not None:
            constant = spec.constant
            return lambda _row: constant
        if spec.column is not None:
            return self._named_by_column(spec.column, spec.values)
        return self._named_by_rules(spec.rules)

    def holds(self, wanted: Lookup[str, Sequence[str]] | None) -> Predicate:
        """Ask whether every column named holds one of the texts listed for it."""
        tests = [(self._raw(column), frozenset(texts)) for column, texts in (wanted or {}).items()]
        return lambda row: all(read(row) in texts for read, texts in tests)

    def _raw(self, column: str) -> Callable[[Row], str]:
        """Read a column as text, null markers included, as conditions compare it."""
        index = self._at[column]

        def read(row: Row) -> str:
            value = row[index]
            if type(value) is NoValue and value.text is not None:
                return value.text
            return "" if value is None else as_text(value)

        return read

    def _property(self, spec: Property) -> Callable[[Row], object]:
        text, parse, allowed = self.text(spec.column), self._parser(spec), frozenset(spec.values)
        if parse is None and not allowed:
            return text

        def read(row: Row) -> object:
            found = text(row)
            if found is None:
                return None
            if allowed and found not in allowed:
                raise BadValueError("is none of the values that the mapping allows")
            return found if parse is None else parse(found)

        return read

    def _parser(self, spec: Property) -> Callable[[str], object] | None:
        number = self._number
        if spec.absolute:
            return {
                "number": lambda text: abs(number(text)),
                "integer": lambda text: integer(abs(number(text))),
                "money": lambda text: money(abs(number(text))),
            }[spec.type]
        return {
            "string": None,
            "boolean": boolean,
            "number": number,
            "integer": lambda text: integer(number(text)),
            "money": lambda text: money(number(text)),
        }[spec.type]

    def _named_by_column(self, column: str, names: Lookup[str, str]) -> Callable[[Row], str]:
        text = self._raw(column)

        def read(row: Row) -> str:
            try:
                return names[text(row)]
            except KeyError:
                raise BadValueError(f"is not given by the mapping for the value of column {column}") from None

        return read

    def _named_by_rules(self, rules: Sequence[Rule]) -> Callable[[Row], str]:
        tests = [(self._fits(rule), rule.name) for rule in rules]

        def read(row: Row) -> str:
            for fits, name in tests:
                if fits(row):
                    return name
            raise BadValueError("is given by none of the mapping's rules")

        return read

    def _fits(self, rule: Rule) -> Predicate:
        when = self.holds(rule.when) if rule.when else None
        unless = self.holds(rule.unless) if rule.unless else None
        is_new = self._is_new(rule.first) if rule.first else None

        def fits(row: Row) -> bool:
            if (when and not when(row)) or (unless and unless(row)):
                return False
            return is_new is None or is_new(row)

        return fits

    def _is_new(self, columns: Sequence[str]) -> Predicate:
        """Ask whether a row is the first that was asked about with these values."""
        readers, seen = [self._raw(column) for column in columns], set[int]()

        def is_new(row: Row) -> bool:
            joined = _SEPARATOR.join([read(row) for read in readers])
            digest = xxh3_64_intdigest(joined.encode("utf-8", "surrogateescape"))
            if digest in seen:
                return False
            seen.add(digest)
            return True

        return is_new

"""Read the columns of a file as a mapping asks: ids, times and names. Properties: :mod:`connectors.rows.properties`.

Every reader is made once per file and called once per row. A value that does not fit raises
:class:`connectors.rows.values.BadValueError`.
"""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Lookup
from functools import lru_cache
from typing import Final

from xxhash import xxh3_64_intdigest

from connectors.rows.conditions import Condition, fitting
from connectors.rows.mapping import Mapping
from connectors.rows.parts import Column, Name, Rule, Time
from connectors.rows.values import BadValueError, Instant, NoValue, as_text, time_parser
from contracts.identity import identifier_of

Row = Sequence[object]
"""The values of one row, by column; of a group the rows themselves come last."""
Reader = Callable[[Row], str | None]
Predicate = Callable[[Row], bool]

_SEPARATOR: Final = "\x1f"
_CACHED_IDS: Final = 65_536


class Columns:
    """The columns of one file, by name; of two with one name the first is meant."""

    def __init__(self, mapping: Mapping, names: Sequence[str]):
        self._at = {name: index for index, name in reversed(list(enumerate(names)))}
        self._nulls = frozenset(mapping.null)
        self._zone = mapping.time_zone

    def at(self, column: str) -> int:
        """Where a column stands in a row."""
        return self._at[column]

    def is_null(self, value: object) -> bool:
        """Whether a value stands for none: it is empty, a null marker or NaN."""
        return value is None or value != value or (isinstance(value, str) and value.strip() in self._nulls)  # noqa: PLR0124

    def text(self, column: str) -> Reader:
        """Read a column as text; None where it is empty, a null marker or NaN."""
        index, nulls = self._at[column], self._nulls

        def read(row: Row) -> str | None:
            value = row[index]
            if type(value) is str:
                text = value.strip()
            elif value is None or value != value:  # noqa: PLR0124 - NaN, which columns of numbers have in their gaps
                return None
            else:
                text = as_text(value)
            return None if text in nulls else text

        return read

    def first_text(self, columns: Sequence[str]) -> Reader:
        """Read the first of several columns that has a value, as text."""
        readers = [self.text(column) for column in columns]
        return readers[0] if len(readers) == 1 else _first(readers)

    def words(self, spec: Column) -> Reader:
        """Read a text with its prefix, or in lower case."""
        return dressed(self.first_text(spec.columns), spec.prefix, lower=spec.lower)

    def identifier(self, spec: Column) -> Reader:
        """Read an id in its one form, with its prefix; a placeholder counts as absent."""
        readers = [self._identifier(column, spec.prefix, lower=spec.lower) for column in spec.columns]
        return readers[0] if len(readers) == 1 else _first(readers)

    def _identifier(self, column: str, prefix: str, *, lower: bool) -> Reader:
        index, text, nulls = self._at[column], self.text(column), self._nulls

        @lru_cache(_CACHED_IDS, typed=True)  # or True would be the id of 1.0
        def one_form(value: str | float) -> str | None:
            found = None if isinstance(value, str) and value.strip() in nulls else identifier_of(value)
            return None if found is None else prefix + (found.lower() if lower else found)

        def read(row: Row) -> str | None:
            value = row[index]
            if type(value) is str:
                return one_form(value)
            written = text(row)
            if written is None:
                return None
            try:
                return one_form(value if isinstance(value, bool | float) else written)
            except ValueError as problem:
                raise BadValueError(str(problem)) from None

        return read

    def time(self, spec: Time) -> Callable[[Row], Instant]:
        """Read a time that must be there."""
        parse = time_parser(spec.format, self._zone)
        whole = self.first_text(spec.parts) if spec.first_of else self._joined(spec.parts)
        floor = self.text(spec.not_before) if spec.not_before else None

        def read(row: Row) -> Instant:
            text = whole(row)
            if text is None:
                raise BadValueError("is empty")
            moment = parse(text)
            earliest = floor(row) if floor else None
            if earliest is not None and moment[0] < parse(earliest)[0]:
                raise BadValueError(f"lies before {spec.not_before}")
            return moment

        return read

    def _joined(self, columns: Sequence[str]) -> Reader:
        """Read several columns, all of which must be there, joined by blanks."""
        readers = [self.text(column) for column in columns]
        if len(readers) == 1:
            return readers[0]

        def read(row: Row) -> str | None:
            texts = [text for reader in readers if (text := reader(row)) is not None]
            return " ".join(texts) if len(texts) == len(readers) else None

        return read

    def name(self, spec: Name) -> Callable[[Row], str]:
        """Read the event's name."""
        if spec.constant is not None:
            constant = spec.constant
            return lambda _row: constant
        if spec.column is not None:
            return self._named_by_column(spec.column, spec.values)
        return self._named_by_rules(spec.rules)

    def holds(self, wanted: Lookup[str, Condition] | None) -> Predicate:
        """Ask whether every column named holds one of the texts, or words, listed for it."""
        tests = [(self._raw(column), fitting(condition)) for column, condition in (wanted or {}).items()]
        return lambda row: all(fits(read(row)) for read, fits in tests)

    def _raw(self, column: str) -> Callable[[Row], str]:
        """Read a column as text, null markers included, as conditions compare it."""
        index = self._at[column]

        def read(row: Row) -> str:
            value = row[index]
            if type(value) is NoValue and value.text is not None:
                return value.text
            return "" if value is None else as_text(value)

        return read

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


def dressed(read: Reader, prefix: str, *, lower: bool) -> Reader:
    """Put a prefix before what is read, and make it lower case."""
    if not prefix and not lower:
        return read

    def words(row: Row) -> str | None:
        found = read(row)
        return None if found is None else prefix + (found.lower() if lower else found)

    return words


def _first(readers: Sequence[Reader]) -> Reader:
    def read(row: Row) -> str | None:
        for reader in readers:
            if (found := reader(row)) is not None:
                return found
        return None

    return read

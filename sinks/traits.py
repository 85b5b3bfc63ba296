"""Declared traits in SQL: the view ``customers_360`` with a column for each, and the query of traits for Redis."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from clickhouse_connect.driver.binding import format_str, quote_identifier
from clickhouse_connect.driver.client import Client

from contracts.errors import CrmError
from contracts.traits import Trait, TraitType
from sinks.queries import query
from sinks.views import make_view

VIEW: Final = "customers_360"
TYPES: Final[dict[TraitType, str]] = {
    "text": "Nullable(String)",
    "number": "Nullable(Float64)",
    "boolean": "Nullable(Bool)",
    "date": "Nullable(Date32)",
    "time": "Nullable(DateTime64(3, 'UTC'))",
}
LONGEST_QUERY: Final = 8_000_000
"""Characters of the statement that makes the view: ClickHouse's own limit is reached by some hundred paths."""
_DAY: Final = "[1-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CASTS: Final[dict[TraitType, str]] = {
    "text": "t",
    "number": "if(isFinite(toFloat64OrNull(t)), toFloat64OrNull(t), NULL)",
    "boolean": "multiIf(lower(t) IN ('true', 'yes', '1'), true, lower(t) IN ('false', 'no', '0'), false, NULL)",
    "date": f"if(match(t, '^{_DAY}'), toDate32(parseDateTime64BestEffortOrNull(substring(t, 1, 10), 0, 'UTC')), NULL)",
    "time": (
        "multiIf(match(t, '^[0-9]{10}$'), fromUnixTimestamp64Milli(toInt64OrZero(t) * 1000, 'UTC'), "
        "match(t, '^[0-9]{13}$'), fromUnixTimestamp64Milli(toInt64OrZero(t), 'UTC'), "
        f"match(t, '^{_DAY}([T ]([01][0-9]|2[0-3]):[0-5][0-9]|$)'), parseDateTime64BestEffortOrNull(t, 3, 'UTC'), NULL)"
    ),
}
"""A text ``t`` as a value of the type, NULL if it is none. A time may be in Unix seconds or milliseconds."""
_TEXT: Final = "if(startsWith(j, '\"'), JSONExtractString(j), j)"
_SCALAR: Final = "j NOT IN ('', 'null', '\"\"') AND NOT match(j, '^[[{]')"


def check_names(traits: Iterable[str]) -> None:
    """Raise :class:`CrmError` if a trait has the name of another column of the view."""
    columns = re.findall(r"^ {4}(\w+) .* COMMENT '", query(VIEW), re.MULTILINE)
    taken = sorted({*traits} & {*columns})
    if taken:
        raise CrmError(
            f"The view {VIEW} has a column {taken[0]} already: give the trait another name, and list the name in "
            "events under sent_as."
        )


def declare_traits(client: Client, traits: Mapping[str, Trait]) -> None:
    """Make the view with a column for each of ``traits``.

    Raises :class:`CrmError` if a trait has the name of another column, or if ClickHouse does not take the view.
    """
    check_names(traits)
    head, middle, tail = re.split(r"/\* \w+ \*/", query(VIEW))
    columns = "".join(f",\n    {quote_identifier(name)} {_column(name, trait)}" for name, trait in traits.items())
    values = "".join(f",\n    {_value(name, trait)}" for name, trait in traits.items())
    make_view(client, VIEW, f"{head}{columns}{middle}{values}{tail}", {"max_query_size": LONGEST_QUERY})


def traits_query(name: str, traits: Mapping[str, Trait]) -> str:
    """Return one of the queries of people's traits, ``traits_of_owners`` or ``traits_of_part``.

    A row has ``owner``, ``others`` and ``declared``. ``others`` are JSON by name, without the names in the parameter
    ``covered``. ``declared`` are pairs of the name of one of ``traits`` and its value as text; those without a value
    are not in it.
    """
    values = ", ".join(f"({format_str(each)}, {_as_text(each, trait)})" for each, trait in traits.items())
    head, tail = re.split(r"/\* values \*/", query(name))
    return "".join([head, values or "('', NULL)", tail])


def covered_names(traits: Mapping[str, Trait]) -> list[str]:
    """Return the names of traits, as they are sent, from which declared ones are read, and the names of these."""
    sent = {path.split(".")[0] for name, trait in traits.items() for path in trait.paths(name)}
    return sorted(sent | {*traits})


def _as_text(name: str, trait: Trait) -> str:
    value = _expression(name, trait)
    return f"formatDateTime({value}, '%Y-%m-%dT%H:%i:%SZ')" if trait.type == "time" else f"toString({value})"


def _column(name: str, trait: Trait) -> str:
    meaning = trait.description or f"trait {' or '.join(trait.paths(name))}"
    return f"{TYPES[trait.type]} COMMENT {format_str(meaning + (', personal' if trait.personal else ''))}"


def _value(name: str, trait: Trait) -> str:
    return f"{_expression(name, trait)} AS {quote_identifier(name)}"


def _expression(name: str, trait: Trait) -> str:
    """Return the SQL of a declared trait: the value of the first path that has one of its type.

    ``_set`` is a map from the names of a customer's traits to their values as JSON.
    """
    found = ", ".join(_json(path) for path in trait.paths(name))
    texts = f"arrayMap(j -> {_TEXT}, arrayFilter(j -> {_SCALAR}, [{found}]))"
    cast = f"CAST({_CASTS[trait.type]}, {format_str(TYPES[trait.type])})"
    return f"arrayFirst(v -> isNotNull(v), arrayMap(t -> {cast}, {texts}))"


def _json(path: str) -> str:
    """Return the value of a path as JSON: that of a trait, or of a field of an object."""
    name, *fields = path.split(".")
    value = f"_set[{format_str(name)}]"
    return f"JSONExtractRaw({', '.join([value, *map(format_str, fields)])})" if fields else value

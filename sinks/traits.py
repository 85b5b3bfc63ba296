"""Makes the view ``customers_360``: a row per customer with profile, newest sweep and a column per declared trait."""

from collections.abc import Mapping
from typing import Final

from clickhouse_connect.driver.binding import format_str, quote_identifier
from clickhouse_connect.driver.client import Client

from contracts.errors import CrmError
from contracts.traits import Trait, TraitType
from sinks.queries import query

VIEW: Final = "customers_360"
TYPES: Final[dict[TraitType, str]] = {
    "text": "Nullable(String)",
    "number": "Nullable(Float64)",
    "boolean": "Nullable(Bool)",
    "date": "Nullable(Date32)",
    "time": "Nullable(DateTime64(3, 'UTC'))",
}
_DAY: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}"


def declare_traits(client: Client, traits: Mapping[str, Trait]) -> None:
    """Make the view with a column for each of ``traits``.

    Raises :class:`CrmError` if a trait has the name of another column.
    """
    script = query(VIEW)
    taken = sorted(name for name in traits if f"    {name} " in script)
    if taken:
        raise CrmError(
            f"The view {VIEW} has a column {taken[0]} already: give the trait another name, and list the name in "
            "events under sent_as."
        )
    columns = "".join(f",\n    {quote_identifier(name)} {_column(name, trait)}" for name, trait in traits.items())
    values = "".join(f",\n    {_value(name, trait)}" for name, trait in traits.items())
    client.command(script.replace("/* columns */", columns).replace("/* values */", values))


def _column(name: str, trait: Trait) -> str:
    meaning = trait.description or f"trait {' or '.join(trait.paths(name))}"
    return f"{TYPES[trait.type]} COMMENT {format_str(meaning + (', personal' if trait.personal else ''))}"


def _value(name: str, trait: Trait) -> str:
    """Return the value in ``told``, a map from the names of a customer's traits to their values as JSON."""
    found = [f"nullIf({_json(path)}, '')" for path in trait.paths(name)]
    json = f"coalesce({', '.join(found)}, '')"
    text = f"nullIf(if(startsWith({json}, '\"'), JSONExtractString({json}), {json}), '')"
    return f"{_cast(text, trait.type)} AS {quote_identifier(name)}"


def _cast(text: str, kind: TraitType) -> str:
    """Return a text as a type; NULL if it is no value of the type. A time may be in Unix seconds or milliseconds."""
    match kind:
        case "number":
            return f"toFloat64OrNull({text})"
        case "boolean":
            low = f"lower({text})"
            return f"multiIf({low} IN ('true', 'yes', '1'), true, {low} IN ('false', 'no', '0'), false, NULL)"
        case "date":
            day = f"parseDateTime64BestEffortOrNull(substring({text}, 1, 10), 0, 'UTC')"
            return f"if(match({text}, '{_DAY}'), toDate32({day}), NULL)"
        case "time":
            number = f"toInt64OrZero(assumeNotNull({text}))"
            return (
                f"multiIf(match({text}, '^[0-9]{{10}}$'), fromUnixTimestamp64Milli({number} * 1000, 'UTC'), "
                f"match({text}, '^[0-9]{{13}}$'), fromUnixTimestamp64Milli({number}, 'UTC'), "
                f"match({text}, '{_DAY}'), parseDateTime64BestEffortOrNull({text}, 3, 'UTC'), NULL)"
            )
        case _:
            return text


def _json(path: str) -> str:
    """Return the value of a path, empty if there is none: a trait of that name, or a field of an object."""
    name, *fields = path.split(".")
    told = f"told[{format_str(name)}]"
    value = f"JSONExtractRaw({', '.join([told, *map(format_str, fields)])})" if fields else told
    return f"if({value} = 'null' OR match({value}, '^[[{{]'), '', {value})"

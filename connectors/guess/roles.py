"""Which column holds what: by its name first, then by what stands in it."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from connectors.guess.amounts import code_in, number_form
from connectors.guess.dates import is_clock, time_format
from connectors.guess.sample import Sample
from connectors.guess.words import ROLES, plain
from contracts.errors import InputFileError
from contracts.identity import EMAIL_ADDRESS

Roles = Mapping[str, str]
"""The column of each role that has one."""
_MOSTLY: Final = 0.5
_SHORTEST_END: Final = 5
_CURRENCY: Final = "currency"
_PERSON: Final = re.compile(r"[^\W\d_]{2,}\.?[ ,]+[^\d@]*[^\W\d_]{2,}")
_CURRENCY_WORDS: Final = re.compile(r"\b(in|eur|euro|usd|gbp|chf|pln|sek|nok|dkk|czk)\b")
_SAMPLED: Final = 2_000


def find_roles(sample: Sample, given: Roles) -> dict[str, str]:
    """Find the column of each role; ``given`` are those that somebody has named.

    Raises :class:`InputFileError` if a given role or column does not exist.
    """
    _check(sample, given)
    roles = dict(given)
    for by_name in (_is_name, _ends_like):
        for role, names in ROLES.items():
            if role not in roles:
                _assign(sample, role, names, by_name, roles)
    for role, looks_right in (("email", _are_addresses), ("date", _are_times)):
        if role not in roles:
            free = (column for column in sample.columns if column not in roles.values())
            if found := next((column for column in free if looks_right(sample.filled(column))), None):
                roles[role] = found
    if "order" not in roles and (number := _own_number(sample, roles)):
        roles["order"] = number
    return roles


def _own_number(sample: Sample, roles: Roles) -> str | None:
    """Find the column ``id`` of rows that are orders: it differs in each of them."""
    free = (column for column in sample.columns if column not in roles.values() and plain(column) == "id")
    for column in free:
        texts = sample.texts(column)
        if all(texts) and len(set(texts)) == len(texts) > 1:
            return column
    return None


def _check(sample: Sample, given: Roles) -> None:
    for role, column in given.items():
        if role not in ROLES:
            raise InputFileError(f"There is no role {role!r}. There are: {', '.join(ROLES)}.")
        if column not in sample.columns:
            names = ", ".join(sample.columns)[:1_000]
            raise InputFileError(f"{sample.path.name} has no column {column!r}. It has: {names}.")


def _assign(
    sample: Sample, role: str, names: tuple[str, ...], by_name: Callable[[str, str], bool], roles: dict[str, str]
) -> None:
    """Give a role the column with the most frequent of its names, if what stands in it fits."""
    fits = _FITS.get(role, bool)
    for name in names:
        for column in sample.columns:
            if column not in roles.values() and by_name(_bare(column), name) and fits(sample.filled(column)):
                roles[role] = column
                return


def _bare(column: str) -> str:
    """The name of a column without a currency: ``Betrag (EUR)`` is ``betrag``."""
    name = plain(column)
    return (_CURRENCY_WORDS.sub("", name).strip() or name) if code_in(column) else name


def _is_name(column: str, name: str) -> bool:
    return column == name


def _ends_like(column: str, name: str) -> bool:
    """``shop order number`` is an order number; short names are too frequent for that, but for ``total currency``."""
    is_long = len(name) >= _SHORTEST_END and (" " in name or name == _CURRENCY)
    return is_long and column.endswith(f" {name}")


def _are_times(texts: list[str]) -> bool:
    return not all(text.isdigit() for text in texts) and time_format(texts) is not None


def _are_dates(texts: list[str]) -> bool:
    return is_clock(texts) is None and time_format(texts) is not None


def _are_numbers(texts: list[str]) -> bool:
    return number_form(texts) is not None


def _are_addresses(texts: list[str]) -> bool:
    some = texts[:_SAMPLED]
    return sum(EMAIL_ADDRESS.fullmatch(text) is not None for text in some) > _MOSTLY * len(some)


def are_persons(texts: list[str]) -> bool:
    """Whether texts look like names of people, which several may share."""
    some = texts[:_SAMPLED]
    return sum(_PERSON.fullmatch(text) is not None for text in some) > _MOSTLY * len(some)


def _are_codes(texts: list[str]) -> bool:
    return bool(texts) and all(len(text) <= 3 for text in texts[:_SAMPLED])


def _are_ids(texts: list[str]) -> bool:
    return bool(texts) and not are_persons(texts)


_FITS: Final[dict[str, Callable[[list[str]], bool]]] = {
    "customer": _are_ids,
    "email": _are_addresses,
    "date": _are_dates,
    "clock": lambda texts: is_clock(texts) is not None,
    "refund date": _are_dates,
    "total": _are_numbers,
    "refund": _are_numbers,
    "price": _are_numbers,
    "line total": _are_numbers,
    "quantity": _are_numbers,
    "currency": _are_codes,
}

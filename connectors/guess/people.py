"""Who the customers of a file are."""

from collections.abc import Sequence
from typing import Final

from connectors.guess.case import Case, Keys
from connectors.guess.roles import are_persons
from contracts.errors import InputFileError
from contracts.identity import is_placeholder

_ROLES: Final = ("customer", "email", "phone")


def people(case: Case, *, is_grouped: bool) -> Keys:
    """Return the keys that say who it is. Raises :class:`InputFileError` if no column identifies customers."""
    found = [case.roles[role] for role in _ROLES if role in case.roles]
    guest = case.roles.get("guest")
    if not found and guest is None:
        raise InputFileError(
            f"{case.file} has no column that identifies customers{_names_of_people(case)}: it needs a number of the "
            f"customer, an e-mail address or a telephone number. If there is one, name it: --set customer=COLUMN."
        )
    if not is_grouped and guest is None:
        _doubt_nobody(case, found)
    keys: Keys = {}
    if found:
        keys["customer_id"] = found[0] if len(found) == 1 else {"first_of": found}
    if guest is not None:
        keys["anonymous_id"] = {"column": guest, "prefix": "guest-"}
    return keys


def _names_of_people(case: Case) -> str:
    names = next((column for column in case.sample.columns if are_persons(case.sample.filled(column))), None)
    return f" (the names in {names!r} do not: two people may share one)" if names else ""


def _doubt_nobody(case: Case, found: Sequence[str]) -> None:
    rows = zip(*(case.sample.texts(column) for column in found), strict=True)
    nobody = sum(all(not text or is_placeholder(text) for text in row) for row in rows)
    if nobody:
        case.doubt(f"{nobody:,} rows hold no customer (nothing, or 0 and the like): they are rejected.")

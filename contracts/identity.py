"""Ids: normal forms, placeholders, the names of profiles, and the keys of records.

The profile of a customer has the customer id as its id. The profile of a device (an anonymous id) and that of an e-mail
address have prefixes, so that the three never collide. Addresses are kept as a hash only.
"""

import math
import re
from decimal import Decimal
from hashlib import blake2b
from typing import Final

from contracts.caches import cached

ANONYMOUS: Final = "anonymous:"
"""The prefix of a device's profile id; the anonymous id follows."""
EMAIL: Final = "email:"
"""The prefix of an address's profile id; a hash of the address follows."""

PLACEHOLDERS: Final = frozenset({
    "-1", "null", "nil", "none", "nan", "anonymous", "guest", "undefined", "unknown", "true", "false",
    "[object object]", "[object]", "n/a", "na", "id", "not_authenticated", "distinct_id", "anonymous_id", "user_id",
})  # fmt: skip
"""Placeholders (in lower case) that programs send if they have no id: all their users would become one customer."""
EMAIL_ADDRESS: Final = re.compile(r"\s*[^@\s]+@[^@\s]+\s*")
_HASHED: Final = re.compile(r"[0-9a-f]{32}")
"""The form of an e-mail address that a source's privacy rules have hashed."""
_LONGEST_EMAIL: Final = 320
_EMPTY: Final = re.compile(r"[0\-\s]*")
_WHOLE_NUMBER: Final = re.compile(r"([0-9]+)\.0+")
"""A whole number as pandas writes it in a column with missing values."""
_REMEMBERED: Final = 65_536
"""Number of ids whose normal form is cached."""
_RESERVED: Final = (ANONYMOUS, EMAIL)


def identifier_of(value: object) -> str | None:
    """Return the normal form of an id, the same for every connector, or None if the value is a placeholder.

    Whole numbers are written without a fraction (``17850``, ``17850.0`` and ``"17850.0"`` are one id). E-mail addresses
    are trimmed and in lower case. Raises ``ValueError`` for values that cannot be ids: booleans, NaN, structures.
    """
    if type(value) is str:
        return _one_form(value)
    match value:
        case None:
            return None
        case bool():
            raise ValueError("is true or false, not an id")
        case float() | Decimal() if not math.isfinite(value):
            raise ValueError("is not a finite number")
        case int():
            text = str(value)
        case float() | Decimal():
            text = f"{Decimal(value):f}" if value == int(value) else str(value)
        case str():
            text = value
        case _:
            raise ValueError("is a structure, not an id")
    return _one_form(text)


@cached(_REMEMBERED)
def _one_form(text: str) -> str | None:
    text = text.strip()
    if whole := _WHOLE_NUMBER.fullmatch(text):
        text = whole[1]
    elif EMAIL_ADDRESS.fullmatch(text):
        text = text.lower()
    return None if is_placeholder(text) else text


def is_placeholder(identifier: str) -> bool:
    """Return whether a text means "no id", such as ``null``, ``undefined`` or ``00000000-0000-...``."""
    return identifier.strip().lower() in PLACEHOLDERS or _EMPTY.fullmatch(identifier) is not None


@cached(_REMEMBERED)
def is_no_customer(customer_id: str) -> bool:
    """Return whether a text cannot be a customer id: a placeholder, or the profile id of a visitor."""
    return is_placeholder(customer_id) or customer_id.startswith(_RESERVED)


def visitor_id(anonymous_id: str) -> str:
    """Return the profile id of a device."""
    return ANONYMOUS + anonymous_id


def home_of(profile_id: str) -> str:
    """Return the id that places a profile in a partition: a device's anonymous id, else the profile id itself."""
    return profile_id.removeprefix(ANONYMOUS)


def is_second_key(email: str) -> bool:
    """Return whether a text may link ids: an e-mail address, or the hash of one.

    Other texts do not link ids: strangers who type the same nonsense would become one customer, and an encrypted text
    is different each time.
    """
    return len(email) <= _LONGEST_EMAIL and any(kind.fullmatch(email) for kind in (EMAIL_ADDRESS, _HASHED))


def email_key(email: str) -> str:
    """Return the profile id of an e-mail address: a hash of the address, trimmed and in lower case."""
    return EMAIL + blake2b(email.strip().lower().encode(errors="replace"), digest_size=16).hexdigest()


def placing_id(kind: str, customer_id: str | None, anonymous_id: str | None, previous_id: str | None = None) -> str:
    """Return the id by which a record is keyed; murmur2 of it gives the partition.

    Web and identity events are keyed by their device, so all records of a device are in one partition, in order. An
    alias (the only event for which ``previous_id`` is passed) is keyed by the id that it links to the customer.
    Transactions and service events are keyed by their customer.
    """
    if kind not in ("web", "identity"):
        return customer_id or anonymous_id or ""
    if customer_id and previous_id and not is_no_customer(previous_id):
        return previous_id
    return anonymous_id or customer_id or ""

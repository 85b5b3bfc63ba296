"""Ids of people: which texts are none, and how the profiles of the not yet known are named.

A profile belongs to a *person*. A customer's profile is named by the customer id as it is. A visitor's, of whom only
an anonymous id is known, has a prefix, so that the two never collide. E-mail addresses are second keys: they are only
kept as a hash.
"""

import math
import re
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Final

ANONYMOUS: Final = "anonymous:"
"""What the id of a visitor's profile begins with; the anonymous id follows."""
EMAIL: Final = "email:"
"""What the name of an e-mail address begins with; a hash of the address follows."""

PLACEHOLDERS: Final = frozenset({
    "-1", "null", "nil", "none", "nan", "anonymous", "guest", "undefined", "unknown", "true", "false",
    "[object object]", "[object]", "n/a", "na", "id", "not_authenticated", "distinct_id", "anonymous_id", "user_id",
})  # fmt: skip
"""Texts (in lower case) that programs send where they know no id: all their users would be one person."""
EMAIL_ADDRESS: Final = re.compile(r"\s*[^@\s]+@[^@\s]+\s*")
_HASHED: Final = re.compile(r"[0-9a-f]{32}")
"""What the door makes of an address that a source's privacy rules hash."""
_LONGEST_EMAIL: Final = 320
_EMPTY: Final = re.compile(r"[0\-\s]*")
_WHOLE_NUMBER: Final = re.compile(r"([0-9]+)\.0+")
"""A whole number as pandas writes it when a column of numbers has gaps."""
_REMEMBERED: Final = 65_536
"""Ids whose form is remembered: the same people come again and again."""
_RESERVED: Final = (ANONYMOUS, EMAIL)


def identifier_of(value: object) -> str | None:
    """Return a person's id as text, the same for every way in, or None where the value stands for "no id".

    Whole numbers are written without a fraction (``17850``, ``17850.0`` and ``"17850.0"`` are one id). E-mail addresses
    are trimmed and in lower case. Raises ``ValueError`` for what cannot be an id: a truth value, NaN, a structure.
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


@lru_cache(_REMEMBERED)
def _one_form(text: str) -> str | None:
    text = text.strip()
    if whole := _WHOLE_NUMBER.fullmatch(text):
        text = whole[1]
    elif EMAIL_ADDRESS.fullmatch(text):
        text = text.lower()
    return None if is_placeholder(text) else text


def is_placeholder(identifier: str) -> bool:
    """Whether a text stands for "no id", such as ``null``, ``undefined`` or ``00000000-0000-...``."""
    return identifier.strip().lower() in PLACEHOLDERS or _EMPTY.fullmatch(identifier) is not None


@lru_cache(_REMEMBERED)
def is_no_customer(customer_id: str) -> bool:
    """Whether a text can't be a customer's id: a placeholder, or a name that visitors' profiles have."""
    return is_placeholder(customer_id) or customer_id.startswith(_RESERVED)


def visitor_id(anonymous_id: str) -> str:
    """The id of the profile of a visitor."""
    return ANONYMOUS + anonymous_id


def home_of(profile_id: str) -> str:
    """The id that places a profile in the log: the anonymous id of a visitor, the id itself of a customer."""
    return profile_id.removeprefix(ANONYMOUS)


def is_second_key(email: str) -> bool:
    """Whether a text can be an e-mail address, or is the hash of one.

    Of nothing else: strangers who type the same nonsense would be one person, and what is encrypted is another text
    each time.
    """
    return len(email) <= _LONGEST_EMAIL and any(kind.fullmatch(email) for kind in (EMAIL_ADDRESS, _HASHED))


def email_key(email: str) -> str:
    """The name under which an e-mail address is a second key: a hash of it, in lower case and trimmed."""
    return EMAIL + blake2b(email.strip().lower().encode(errors="replace"), digest_size=16).hexdigest()


def placing_id(kind: str, customer_id: str | None, anonymous_id: str | None, previous_id: str | None = None) -> str:
    """Return the id by which a record is keyed; murmur2 of it gives the partition.

    Web and identity events stand with their device, so that all records of a device are in one partition, in order. An
    alias (the only event for which ``previous_id`` is passed) stands with the id that it gives to the customer.
    Transactions and service events stand with their customer.
    """
    if kind not in ("web", "identity"):
        return customer_id or anonymous_id or ""
    if customer_id and previous_id and not is_no_customer(previous_id):
        return previous_id
    return anonymous_id or customer_id or ""

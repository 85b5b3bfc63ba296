"""Texts and numbers as senders write them. Pure."""

import math
import re
from decimal import Decimal
from typing import Final

from contracts.events import MAX_AMOUNT

_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_GROUPED: Final = (
    (re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d+|[+-]?\d{1,3}(,\d{3}){2,}"), ",", "."),
    (re.compile(r"[+-]?\d{1,3}(\.\d{3})+,\d+|[+-]?\d{1,3}(\.\d{3}){2,}"), ".", ","),
    (re.compile(r"[+-]?\d+,\d{1,2}"), ".", ","),
)
"""Numbers with separators that can be read in one way only, with the separators of thousands and of decimals. ``1,249``
is none of them."""


def is_absent(value: object) -> bool:
    """Whether a property says nothing: null, or a text of blanks."""
    return value is None or (isinstance(value, str) and not value.strip())


def as_text(value: object) -> str | None:
    """Return a text or a number as text; None for anything else."""
    match value:
        case str():
            return value
        case bool():
            return None
        case int():
            return str(value)
        case float() if math.isfinite(value):
            return str(int(value)) if value.is_integer() else repr(value)
        case Decimal() if value.is_finite():
            return f"{value:f}"
    return None


def as_number(value: object) -> float | None:
    """Return a number, or a text that is one, as a number; None for anything else.

    Separators of thousands and a decimal comma are read where only one reading is possible.
    """
    match value:
        case bool():
            return None
        case int():
            return value if abs(value) <= MAX_AMOUNT else None
        case float():
            return value if math.isfinite(value) else None
        case Decimal() if value.is_finite():
            return float(value)
        case str():
            return _number_in(value.strip())
    return None


def _number_in(text: str) -> float | None:
    if not _NUMBER.fullmatch(text):
        for pattern, thousands, decimals in _GROUPED:
            if pattern.fullmatch(text):
                text = text.replace(thousands, "").replace(decimals, ".")
                break
        else:
            return None
    number = float(text)
    return number if math.isfinite(number) else None

"""Reading JSON without losing digits of numbers. Pure.

A float holds about 16 digits. A number that needs more becomes a :class:`decimal.Decimal`, which is written as it came.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

_SURELY_EXACT: Final = 15
"""So many characters are at most 15 digits, which every float holds."""
_LARGEST: Final = Decimal("1.7976931348623157e308")


def exact(number: str) -> float | Decimal:
    """Read a number with a fraction or an exponent: as a float where that keeps every digit.

    Raises ``ValueError`` for a number beyond the range of floats.
    """
    if len(number) <= _SURELY_EXACT and "e" not in number and "E" not in number:
        return float(number)
    try:
        precise = Decimal(number)
    except InvalidOperation:  # an exponent of more digits than Decimal reads
        raise ValueError("out of range") from None
    if abs(precise) > _LARGEST:
        raise ValueError("out of range")
    near = float(number)
    return near if Decimal(repr(near)) == precise else precise

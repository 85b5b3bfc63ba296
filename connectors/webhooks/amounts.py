"""Amounts of money as other systems write them: in minor units, as decimal texts, as differences. Pure."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from connectors.rows.values import BadValueError, money
from contracts.events import MAX_AMOUNT

_NONE: Final = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE: Final = "BHD IQD JOD KWD LYD OMR TND"
_FOUR: Final = "CLF UYW"
MINOR_UNITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_NONE.split(), 0),
    **dict.fromkeys(_THREE.split(), 3),
    **dict.fromkeys(_FOUR.split(), 4),
}
"""Decimals of the currencies of ISO 4217 that have not two."""
_USUAL: Final = 2
_MOST: Final = Decimal(MAX_AMOUNT) * 10_000
_MOST_CHARACTERS: Final = 40


def number(value: object) -> Decimal:
    """Read a number or the text of one, with a decimal point and no thousands separators."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise BadValueError("is not a number")
    text = str(value).strip()
    try:
        found = Decimal(text) if len(text) <= _MOST_CHARACTERS and "_" not in text else Decimal("NaN")
    except InvalidOperation:
        raise BadValueError("is not a number") from None
    if not found.is_finite():
        raise BadValueError("is not a finite number, or too long")
    if abs(found) > _MOST:
        raise BadValueError("is too large")
    return found


def major(amount: Decimal, units: str, currency: str, own_units: Mapping[str, int]) -> float:
    """Give an amount in whole units of ``currency`` ('': one of two decimals).

    ``units`` says whether it is in ``major`` or ``minor`` ones.
    ``own_units`` are the decimals of currencies that a provider counts in another way than ISO 4217 does.
    """
    if units == "minor":
        decimals = own_units.get(currency, MINOR_UNITS.get(currency, _USUAL))
        amount = amount.scaleb(-decimals)
    return money(float(amount))

"""Currencies: the codes of ISO 4217, and the small numbers that columns hold in their place.

An event may carry any three capital letters: amounts in a code that is not listed here wait for a rate, like others.
People write settings, mappings and sources, so codes there must be in ISO 4217.
"""

import re
from functools import cache
from typing import Annotated, Final

from pydantic import AfterValidator

NO_CURRENCY: Final = "XXX"
"""The code of ISO 4217 for "no currency": for events without a currency, if no default is known either."""
_PATTERN: Final = re.compile(r"[A-Z]{3}")
MOST_RATE: Final = 1_000_000
"""The largest exchange rate: units of the base currency for one unit of another."""

_ACTIVE: Final = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
    HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL
    MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON
    RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD USN UYI UYU UYW UZS VED VES VND VUV WST XAD XAF XAG XAU XBA XBB XBC XBD XCD XCG XDR XOF XPD XPF XPT XSU XTS XUA
    XXX YER ZAR ZMW ZWG
"""
_WITHDRAWN: Final = """
    ANG ATS AZM BEF BYR CUC CYP DEM EEK ESP FIM FRF GHC GRD HRK IEP ITL LTL LUF LVL MRO MTL MZM NLG PTE ROL SDD SIT SKK
    SLL STD TMM TRL VEB VEF ZMK ZWD ZWL
"""
CODES: Final = frozenset(f"{_ACTIVE} {_WITHDRAWN}".split())
"""The current codes of ISO 4217, and those withdrawn since 1999, which histories may contain."""


SIGNS: Final = {"€": "EUR", "£": "GBP", "zł": "PLN", "₹": "INR", "₺": "TRY", "Kč": "CZK"}
"""Signs of exactly one currency. "$" and "kr" are signs of several."""


def is_code(value: object) -> bool:
    """Return whether a value is valid as the currency of an event."""
    return isinstance(value, str) and _PATTERN.fullmatch(value) is not None


def check_code(code: str) -> str:
    """Return a code of ISO 4217 unchanged. Raises ``ValueError``, with a correction if there is an obvious one."""
    if code in CODES:
        return code
    if code.strip().upper() in CODES:
        raise ValueError(f"currency codes are three capital letters: write {code.strip().upper()}")
    raise ValueError("is not an ISO 4217 currency code such as EUR")


CurrencyCode = Annotated[str, AfterValidator(check_code)]
"""A code in a file or a setting that a person wrote."""

_A: Final = ord("A")
_LETTERS: Final = 26


@cache
def number_of(code: str) -> int:
    """Return the number of a code in columns, from 1 to 17,576; 0 means no currency."""
    first, second, third = (ord(letter) - _A for letter in code)
    return (first * _LETTERS + second) * _LETTERS + third + 1


def code_of(number: int) -> str:
    """Return the code of a number; '' for 0."""
    if not number:
        return ""
    rest, third = divmod(number - 1, _LETTERS)
    first, second = divmod(rest, _LETTERS)
    return "".join(chr(_A + letter) for letter in (first, second, third))

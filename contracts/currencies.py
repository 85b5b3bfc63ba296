"""Currencies: the codes of ISO 4217, and the small numbers that columns hold in their place.

An event may carry any three capital letters: a code that is not listed here waits for a rate like all others. Settings,
mappings and sources are written by people, so there a code must be one of ISO 4217.
"""

import re
from functools import cache
from typing import Annotated, Final

from pydantic import AfterValidator

NO_CURRENCY: Final = "XXX"
"""The code of ISO 4217 for "no currency": money of events that name none, where no default is known either."""
_PATTERN: Final = re.compile(r"[A-Z]{3}")
MOST_RATE: Final = 1_000_000
"""The largest worth of one unit of a currency in the base currency."""

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
"""The codes of ISO 4217 in force, and those withdrawn since 1999, which histories may hold."""


SIGNS: Final = {"€": "EUR", "£": "GBP", "zł": "PLN", "₹": "INR", "₺": "TRY", "Kč": "CZK"}
"""Signs that stand for one currency. "$" and "kr" stand for several."""


def is_code(value: object) -> bool:
    """Whether an event may carry a value as its currency."""
    return isinstance(value, str) and _PATTERN.fullmatch(value) is not None


def check_code(code: str) -> str:
    """Return a code of ISO 4217 as it is. Raises ``ValueError`` that says what to write instead, if that is known."""
    if code in CODES:
        return code
    if code.strip().upper() in CODES:
        raise ValueError(f"currency codes are three capital letters: write {code.strip().upper()}")
    raise ValueError("is no ISO 4217 currency code, like EUR")


CurrencyCode = Annotated[str, AfterValidator(check_code)]
"""A code that a person writes into a file or a setting."""

_A: Final = ord("A")
_LETTERS: Final = 26


@cache
def number_of(code: str) -> int:
    """Return the number, from 1 to 17,576, that stands for a code in columns; 0 stands for none."""
    first, second, third = (ord(letter) - _A for letter in code)
    return (first * _LETTERS + second) * _LETTERS + third + 1


def code_of(number: int) -> str:
    """Return the code that a number stands for; '' for 0."""
    if not number:
        return ""
    rest, third = divmod(number - 1, _LETTERS)
    first, second = divmod(rest, _LETTERS)
    return "".join(chr(_A + letter) for letter in (first, second, third))

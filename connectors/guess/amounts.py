"""How a column writes its numbers: decimal and thousands signs, and the currency beside them.

Only a format is guessed here; values are read by the mapping, strictly.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

from price_parser import Price

from contracts.currencies import SIGNS, is_code

_CORE: Final = re.compile(r"\d(?:[\d.,'’ \u00a0\u2009\u202f]*\d)?")
_SPACES: Final = "\u00a0\u2009\u202f"
_CODES: Final = {**SIGNS, "Fr.": "CHF", "CHF": "CHF"}
_SEVERAL: Final = {"$": "USD", "kr": "SEK", "¥": "JPY"}
"""Symbols of several currencies, and the one that is proposed."""
_ISO: Final = re.compile(r"\b([A-Z]{3})\b")
_OTHER_TEXT: Final = re.compile(r"[^\d.,'’\s\u00a0\u2009\u202f()+\u2212-]")
_BY_PROGRAM: Final = re.compile(r"-?\d+(\.\d+)?[eE][+-]?\d+|-?\d+\.\d{5,}")
"""Numbers as only programs write them: 1e-02, or with many digits behind a point."""
_GROUP: Final = 3
_DECIDED: Final = 0.98


class NumberForm(NamedTuple):
    """The signs of a column's numbers, and what stands beside them."""

    decimal: str
    thousands: str
    symbol: str
    is_sure: bool = True
    """Whether a sign was seen that can only be the decimal or the thousands sign."""
    has_negative: bool = False

    @property
    def sample(self) -> str:
        """A sample as mappings take it."""
        number = f"1{self.thousands}249{self.decimal}00"
        return f"{number} {self.symbol}" if self.symbol else number


def number_form(texts: Sequence[str]) -> NumberForm | None:
    """Find how texts (none empty) write numbers; None where they are none, or contradict each other."""
    written = [text for text in texts if not _BY_PROGRAM.fullmatch(text)]
    if len(written) < len(texts):
        form = number_form(written) if written else NumberForm(".", "", "")
        return NumberForm(".", "", form.symbol) if form and (form.decimal == "." or not form.is_sure) else None
    cores = []
    for text in texts:
        found = _CORE.search(text)
        if found is None or len(_OTHER_TEXT.sub("", text)) - len(found[0]) > 3:
            return None
        cores.append(found[0])
    beside = Counter(_beside(text) for text in texts)
    symbols = [symbol for symbol in beside if symbol]
    if not cores or len(symbols) > 1 or any(len(symbol) > 4 for symbol in symbols):
        return None
    decimal, thousands, is_sure = _signs(cores)
    if decimal == thousands:
        return None
    negative = any(text.startswith(("-", "(", "\u2212")) or text.endswith("-") for text in texts)
    return NumberForm(decimal, thousands, symbols[0] if symbols else "", is_sure, negative)


def _beside(text: str) -> str:
    return "".join(_OTHER_TEXT.findall(text))


def _signs(cores: Sequence[str]) -> tuple[str, str, bool]:
    """Weigh the signs: (decimal, thousands, whether one is certain). Equal ones mean a contradiction."""
    decimals, thousands, open_ones = Counter[str](), Counter[str](), Counter[str]()
    for core in cores:
        signs = [letter for letter in core if not letter.isdigit()]
        if not signs:
            continue
        last, after = signs[-1], len(core) - core.rfind(signs[-1]) - 1
        if len(set(signs)) > 1:
            decimals[last] += 1
            thousands[signs[0]] += 1
        elif len(signs) > 1 or last not in ".,":
            thousands[last] += 1
        elif after != _GROUP or core.startswith("0") or len(core) - after - 1 > _GROUP:
            decimals[last] += 1
        else:
            open_ones[last] += 1
    return _decided(decimals, thousands, open_ones)


def _decided(decimals: Counter[str], thousands: Counter[str], open_ones: Counter[str]) -> tuple[str, str, bool]:
    separator = _most(thousands)
    separator = " " if separator in _SPACES and separator else "'" if separator == "’" else separator
    if decimals:
        decimal = _most(decimals)
        if decimals[decimal] < _DECIDED * sum(decimals.values()) or decimal not in ".,":
            return ".", ".", False
        unclear = next((sign for sign in open_ones if sign != decimal), "")
        return decimal, separator or unclear, True
    if separator in (".", ","):
        return ("," if separator == "." else "."), separator, True
    if open_ones:  # 1.249 alone: three digits after the only sign
        sign = _most(open_ones)
        return ("," if sign == "." else "."), sign, False
    return ".", separator, True


def _most(counter: Counter[str]) -> str:
    return counter.most_common(1)[0][0] if counter else ""


def currency_of(symbol: str, texts: Sequence[str]) -> tuple[str | None, bool]:
    """Return the currency that stands beside numbers, and whether that is certain."""
    if not symbol:
        return None, True
    if code := _CODES.get(symbol) or (symbol if is_code(symbol) else None):
        return code, True
    found = Price.fromstring(texts[0]).currency or ""
    return _CODES.get(found) or _SEVERAL.get(found) or _SEVERAL.get(symbol), False


def code_in(name: str) -> str | None:
    """Return the currency that a column's name holds, like ``Total (EUR)``, ``total_eur`` or ``Betrag in €``."""
    for symbol, code in _CODES.items():
        if symbol in name:
            return code
    known = {"EUR", "USD", "GBP", "CHF", "PLN", "SEK", "NOK", "DKK", "CZK", "CAD", "AUD", "JPY"}
    return next((word for word in _ISO.findall(name.upper().replace("_", " ")) if word in known), None)

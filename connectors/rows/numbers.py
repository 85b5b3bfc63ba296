"""Read numbers as people write them: declared decimal and thousands signs, minus signs, currency symbols. Pure.

A number is either plain (``-1249.5``, with the declared signs) or written like a sample: ``1.249,00 €``. A sign that is
not declared, or that stands at a place where it cannot stand, is refused: it would be another number.
"""

import math
import re
import unicodedata
from collections.abc import Callable
from typing import Final, NamedTuple

from connectors.rows.values import BadValueError, UnreadableError

SPACES: Final = " \u00a0\u2009\u202f"
"""Blanks that separate thousands: plain, no-break, thin, narrow no-break."""
APOSTROPHES: Final = "'\u2019"
_MINUS: Final = "-\u2212"
_SIGNS: Final = ".,"
_CORE: Final = re.compile(rf"\d(?:[\d.,{APOSTROPHES}{SPACES}]*\d)?")
_ROOM: Final = re.compile(rf"[{SPACES}]+")


class NumberFormat(NamedTuple):
    """The decimal sign, the sign between thousands ("" for none), and what stands beside the number, "€" or "EUR"."""

    decimal: str = "."
    thousands: str = ""
    beside: str = ""


def plain_parser(decimal: str = ".", thousands: str = "") -> Callable[[str], float]:
    """Make a reader of numbers with these signs. It raises :class:`BadValueError`."""
    well_formed = _pattern(decimal, thousands).fullmatch if thousands else None

    def parse(text: str) -> float:
        if well_formed is not None:
            if well_formed(text) is None:
                raise BadValueError(f"is not a number with the thousands sign {thousands!r} at its places")
            text = _stripped(text, thousands)
        if decimal != ".":
            if "." in text:
                raise BadValueError("is not a number with a decimal comma")
            text = text.replace(decimal, ".")
        try:
            value = float(text)
        except ValueError:
            raise BadValueError("is not a number") from None
        if not math.isfinite(value) or "_" in text:
            raise UnreadableError("is not a finite number")
        return value

    return parse


def sample_parser(form: NumberFormat) -> Callable[[str], float]:
    """Make a reader of numbers written like a sample.

    What stands beside the number in the sample may be missing or stand on the other side; anything else is refused. A
    minus may stand before or behind, and a number in parentheses is negative.
    """
    plain = plain_parser(form.decimal, form.thousands)

    def parse(text: str) -> float:
        found, negative = _unsigned(_without(text, form.beside))
        if found[:1] in ("", "+", "-") or "e" in found.lower():
            raise BadValueError("is not a number like the mapping's sample")
        value = plain(found)
        return -value if negative else value

    return parse


def format_of(sample: str) -> NumberFormat:
    """Find the format that a sample shows. Raises ``ValueError`` if it can be read in two ways, or is no number."""
    cores = _CORE.findall(sample)
    if len(cores) != 1:
        raise ValueError("format: show one number, such as 1,249.00 or -1.249,00 €")
    before, _, behind = sample.partition(cores[0])
    beside = _ROOM.sub("", "".join(char for char in before + behind if char not in _MINUS + "()+"))
    if any(char in SPACES + _SIGNS + "%" or char.isdigit() for char in beside) or not _is_money_word(beside):
        raise ValueError("format: beside the number only a currency's symbol or code may stand")
    form = _signs(cores[0])._replace(beside=beside)
    try:
        sample_parser(form)(sample)
    except BadValueError:
        raise ValueError("format: is not a number as it is written anywhere") from None
    return form


def _signs(core: str) -> NumberFormat:
    """Tell the decimal sign from the thousands sign in the digits of a sample."""
    found = [char for char in core if not char.isdigit()]
    if not found:
        return NumberFormat()
    last, others = found[-1], {_kind(char) for char in found[:-1]}
    digits_behind = len(core) - core.rindex(last) - 1
    if (len(found) > 1 and others == {_kind(last)}) or _kind(last) not in _SIGNS:  # 1.249.000, 1 249
        return NumberFormat("." if _kind(last) == "," else "," if _kind(last) == "." else ".", _kind(last))
    if len(found) == 1:
        if digits_behind == 3:
            raise ValueError("format: can be read in two ways; show a number with both signs, such as 1,249.00")
        return NumberFormat(_kind(last))
    if len(others) > 1:
        raise ValueError("format: has three signs; show one for decimals and one for thousands")
    return NumberFormat(_kind(last), others.pop())


def _kind(char: str) -> str:
    """Give the one sign that stands for all of its kind."""
    return SPACES[0] if char in SPACES else APOSTROPHES[0] if char in APOSTROPHES else char


def _class(sign: str) -> str:
    members = SPACES if sign in SPACES else APOSTROPHES if sign in APOSTROPHES else sign
    return f"[{re.escape(members)}]"


def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    return re.compile(
        rf"[+-]?(?:[0-9]{{1,3}}(?P<t>{_class(thousands)})[0-9]{{3}}(?:(?P=t)[0-9]{{3}})*|[0-9]+)"
        rf"(?:{re.escape(decimal)}[0-9]*)?"
    )


def _stripped(text: str, thousands: str) -> str:
    members = SPACES if thousands in SPACES else APOSTROPHES if thousands in APOSTROPHES else thousands
    for char in members:
        text = text.replace(char, "")
    return text


def _without(text: str, beside: str) -> str:
    """Take away the currency's symbol or code, once."""
    if not beside:
        return text
    before, found, behind = text.partition(beside)
    if not found:
        return text
    if any(map(str.isdigit, before)) and any(map(str.isdigit, behind)):
        raise BadValueError("is not a number like the mapping's sample")
    return before + behind


def _unsigned(text: str) -> tuple[str, bool]:
    """Take away one minus, before or behind, or parentheses; tell whether there was one."""
    text = text.strip(SPACES)
    if text.startswith("(") and text.endswith(")"):
        return text[1:-1].strip(SPACES), True
    if text[:1] in ("-", "\u2212"):
        return text[1:].strip(SPACES), True
    if text[-1:] in ("-", "\u2212"):
        return text[:-1].strip(SPACES), True
    return text.removeprefix("+").strip(SPACES), False


def _is_money_word(text: str) -> bool:
    """Whether a text may be a currency: "€", "EUR", "kr.", "US$", "zł"."""
    return all(char.isalpha() or unicodedata.category(char) == "Sc" for char in text)

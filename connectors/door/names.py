"""Which known event a name means: another system's name for it, or one that is only close. Pure.

Senders that write ``Completed Order`` or ``purchase`` mean "Order Completed". An event of a name that only resembles a
known one (``Order Complete``) keeps its name, and a note says what it resembles: a guess could count orders twice.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from connectors.door.name_table import ORIGINS, OTHERS, RESEMBLING

MOST_REMEMBERED: Final = 10_000
"""Names that are remembered: senders may make up names without end."""
_SEPARATORS: Final = re.compile(r"[\W_]+")
_HUMPS: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ENDINGS: Final = re.compile(r"(?:ing|ed|es|s|e)$")
_LEAST_LETTERS: Final = 8
"""Shorter names are too often a letter apart by chance."""
LONGEST_NAME: Final = 100
"""Characters of the longest name that an event can have."""


class Meaning(NamedTuple):
    """The known event that a name means, and whether that is sure."""

    name: str
    sure: bool


def _plain(name: str) -> str:
    return _SEPARATORS.sub("", name).lower()


def _stems(name: str) -> frozenset[str]:
    """The words of a name without their endings, in no order."""
    words = _SEPARATORS.sub(" ", _HUMPS.sub(" ", name)).lower().split()
    return frozenset(_ENDINGS.sub("", word) for word in words)


def _one_less(text: str) -> Iterator[str]:
    """Yield a text, and it without each of its letters: two texts that share one differ by a typing error at most."""
    yield text
    yield from (text[:at] + text[at + 1 :] for at in range(len(text)))


_LITERAL: Final = {
    name.lower(): known for origin in ORIGINS if not origin.spelled_freely for name, known in origin.names.items()
}
_FREE: Final = {
    _plain(name): known for origin in ORIGINS if origin.spelled_freely for name, known in origin.names.items()
}
_NEAR: Final = {
    less: known for text, known in ({_plain(name): known for name, known in _LITERAL.items()} | _FREE).items()
    if len(text) >= _LEAST_LETTERS for less in _one_less(text)
}  # fmt: skip
_BY_STEMS: Final = {_stems(name): known for name, known in RESEMBLING.items()} | {
    _stems(name): known for origin in ORIGINS for name, known in origin.names.items() if len(_stems(name)) > 1
}
_OTHERS: Final = frozenset(map(_plain, OTHERS))


@lru_cache(MOST_REMEMBERED)
def meaning_of(name: str) -> Meaning | None:
    """Return the known event that a name means or resembles; None for a name of its own."""
    plain = _plain(name)
    sure = _LITERAL.get(name.strip().lower()) or _FREE.get(plain)
    if sure is not None:
        return Meaning(sure, True)
    if plain in _OTHERS or not _LEAST_LETTERS <= len(plain) <= LONGEST_NAME:
        return None
    near = next((_NEAR[less] for less in _one_less(plain) if less in _NEAR), None) or _BY_STEMS.get(_stems(name))
    return Meaning(near, False) if near else None

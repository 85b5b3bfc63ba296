"""Which texts are ids of nobody in particular: what programs write when they have no id. Pure."""

import re
from typing import Final

_PLACEHOLDERS: Final = frozenset({
    "", "-1", "anonymous", "false", "guest", "n/a", "na", "nan", "nil", "none", "null", "nobody", "true", "undefined",
    "unknown", "[object object]", "{}", "[]",
})  # fmt: skip
_ZEROS: Final = re.compile(r"[0-]*")
_IDENTIFIER: Final = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


def is_placeholder(identifier: str) -> bool:
    """Tell whether an id stands for "no id" (``null``, ``undefined``, ``0000-0000``): sharing it joins strangers."""
    text = identifier.strip().lower()
    return text in _PLACEHOLDERS or _ZEROS.fullmatch(text) is not None


def is_usable_id(identifier: object) -> bool:
    """Tell whether a value is an id by the contract, and not a placeholder."""
    return isinstance(identifier, str) and bool(_IDENTIFIER.fullmatch(identifier)) and not is_placeholder(identifier)

"""Joins ids into one text, which takes a tenth of the time of packing each."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from contracts.ids import Texts

JOINT: Final = "\n"
"""The separator: no id contains a control character."""


def one_text(ids: Texts | list[str]) -> str:
    """Return ids, joined."""
    return JOINT.join(ids)


def texts_of(joined: str, count: int) -> list[str]:
    """Return the ``count`` ids that :func:`one_text` joined."""
    return joined.split(JOINT) if count else []


def packed(ids: Sequence[str] | Texts) -> bytes:
    """Return ids as one column of state: UTF-8, with a line feed between each two."""
    return JOINT.join(ids).encode()


def unpacked(column: Any, count: int) -> Texts:
    """Return the ``count`` ids of a column that :func:`packed` made."""
    texts = np.empty(count, object)
    texts[:] = texts_of(bytes(column).decode(), count)
    return texts

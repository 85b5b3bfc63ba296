"""Ids of a block: an array of texts, or an Arrow column where they may be 100,000s, as in sweeps.

A text of Python takes 60 bytes and more, and Python hardly returns the memory of many of them to the system.
"""

from collections.abc import Sequence, Set
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Texts: TypeAlias = NDArray[np.object_]
"""Ids or other texts, one ``str`` per element."""
Ids: TypeAlias = Texts
"""Texts, or a ``pyarrow.StringArray``: the functions here take both. Stored state brings back texts."""


def as_texts(ids: Ids) -> Texts:
    """Return ids as texts."""
    if isinstance(ids, np.ndarray):
        return ids
    texts = np.empty(len(ids), object)
    texts[:] = ids.to_numpy(zero_copy_only=False)
    return texts


def column_of(ids: Ids) -> pa.StringArray:
    """Return ids as an Arrow column."""
    return pa.array(ids, pa.string()) if isinstance(ids, np.ndarray) else ids


def chosen_ids(ids: Ids, chosen: NDArray[np.bool_]) -> Ids:
    """Return the chosen ids, in the same form."""
    if isinstance(ids, np.ndarray):
        return ids[chosen]
    kept: Ids = ids.filter(pa.array(chosen))
    return kept


def among(ids: Ids, people: Set[str]) -> NDArray[np.bool_]:
    """Return which ids are in a set."""
    return np.fromiter((each in people for each in as_texts(ids).tolist()), np.bool_, len(ids))


def joined_ids(parts: Sequence[Ids]) -> Ids:
    """Return the ids of several blocks, in their order."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    joined: Ids = pa.concat_arrays([column_of(part) for part in parts])
    return joined

"""The interface by which a bucket of customers makes labelled examples; the wiring passes the models' functions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.model_blocks import Examples, SweptPeople


@dataclass(frozen=True)
class Labeller:
    """``label(state, swept)`` returns the examples, by outcome, whose windows end at a boundary.

    It updates the state, which ``new_state()`` makes and which is part of the bucket's state. The bucket calls it once
    for each delivered boundary, in order. ``forget(state, keys)`` removes what waits of the people with these keys.
    """

    new_state: Callable[[], Any]
    label: Callable[[Any, SweptPeople], Mapping[str, Examples]]
    forget: Callable[[Any, NDArray[np.uint64]], None] = lambda _state, _keys: None

"""How a bucket of customers makes labelled examples: by functions of the models, which it is given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.blocks import Examples, SweptPeople


@dataclass(frozen=True)
class Labeller:
    """``label(state, swept)`` returns the examples, by outcome, whose windows end at a boundary.

    It moves the state, which ``new_state()`` makes and which is part of the bucket's own. It is called once for each
    boundary that is delivered, in their order.
    """

    new_state: Callable[[], Any]
    label: Callable[[Any, SweptPeople], Mapping[str, Examples]]

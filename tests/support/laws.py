"""How many examples a law is tried with."""

import os
from typing import Final

from hypothesis import settings

EXAMPLES: Final = 200
MORE: Final = 10 if os.environ.get("HYPOTHESIS_PROFILE") == "wide" else 1
"""``make torture`` tries so many times as many, with other seeds in every run."""


def law(examples: int = EXAMPLES) -> settings:
    """The settings of a law, as a decorator: the profile's, with examples of its own number."""
    return settings(max_examples=examples * MORE)

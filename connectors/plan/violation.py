"""One thing about an event that is not as it should be. Pure."""

from typing import NamedTuple


class Violation(NamedTuple):
    """A field that is not as planned: its path in the properties (``name``: the event itself), and what is wrong.

    ``problem`` holds no value of the event.
    """

    field: str
    problem: str

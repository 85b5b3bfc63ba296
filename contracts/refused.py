"""Records that a connector refused at the door: how they travel through the log to the dead letters.

The dataflow is the only writer of dead letters, exactly once, so a connector puts what it refuses into the log too:
under a key of its own, with its reason in headers. Moves no data itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

REFUSED_KEY: Final = b"\x00crm-refused"
"""The record key of what a connector refused. No customer id can equal it: ids hold no control characters."""
_PREFIX: Final = "crm-refused-"
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Refusal:
    """Why a record was refused. No field of it holds a value of the record.

    ``stage`` names the connector's step (``collect``, ``plan``), ``field`` the path at fault, ``problem`` what is wrong
    with it, ``source`` the configured source that sent it.
    """

    stage: str
    field: str
    problem: str
    source: str

    def headers(self) -> Headers:
        """Write the refusal as record headers."""
        return tuple((f"{_PREFIX}{name}", str(value).encode(errors="replace")) for name, value in vars(self).items())


def read_refusal(headers: Sequence[tuple[str, bytes | None]] | None) -> Refusal | None:
    """Read the refusal in a record's headers; None if it is not all there."""
    found = {
        name.removeprefix(_PREFIX): (value or b"").decode(errors="replace")
        for name, value in headers or ()
        if name.startswith(_PREFIX)
    }
    try:
        return Refusal(*(found[name] for name in ("stage", "field", "problem", "source")))
    except KeyError:
        return None

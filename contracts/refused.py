"""Records that a connector refused: how they travel through the log to the dead letters.

Only the dataflow writes dead letters. So a connector writes refused items to the log as well, under a reserved key and
with the reason in headers. This module moves no data itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

REFUSED_KEY: Final = b"\x00crm-refused"
"""The record key of refused items. No id can equal it: ids contain no control characters."""
_PREFIX: Final = "crm-refused-"
Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Refusal:
    """The reason of a refusal. No field contains a value of the record.

    ``stage`` names the connector's step (``collect``, ``plan``), ``field`` is the path of the invalid field and
    ``problem`` says why it is invalid. ``source`` is the configured source that sent the record.
    """

    stage: str
    field: str
    problem: str
    source: str

    def headers(self) -> Headers:
        """Return the refusal as record headers."""
        return tuple((f"{_PREFIX}{name}", str(value).encode(errors="replace")) for name, value in vars(self).items())


def read_refusal(headers: Sequence[tuple[str, bytes | None]] | None) -> Refusal | None:
    """Read the refusal from a record's headers; None if a part is missing."""
    found = {
        name.removeprefix(_PREFIX): (value or b"").decode(errors="replace")
        for name, value in headers or ()
        if name.startswith(_PREFIX)
    }
    try:
        return Refusal(*(found[name] for name in ("stage", "field", "problem", "source")))
    except KeyError:
        return None

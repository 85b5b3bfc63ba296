"""What somebody says beforehand about a file."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wishes:
    """The source, columns by role, the currency, the time zone; ``default_currency`` is a last resort."""

    source: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    currency: str | None = None
    default_currency: str | None = None
    time_zone: str | None = None

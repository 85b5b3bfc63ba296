"""Which senders' clocks are trusted: servers keep theirs right, browsers and phones do not. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from connectors.sources.source import Clock

SERVER_LIBRARIES: Final = frozenset({
    "analytics-python", "analytics-node", "@segment/analytics-node", "analytics-ruby", "analytics-go", "analytics-java",
    "analytics-php", "analytics-rust", "analytics-clojure", "analytics.net", "rudder-analytics-python",
    "rudder-sdk-python", "@rudderstack/rudder-sdk-node", "rudder-sdk-node", "rudder-sdk-ruby", "rudder-sdk-go",
    "rudder-sdk-java", "rudder-sdk-php", "rudder-analytics-php", "rudder-analytics-ruby", "rudder-analytics-go",
    "rudder-analytics-java",
})  # fmt: skip
"""Values of ``context.library.name`` (in lower case) of SDKs that run on servers."""


def is_trusted(clock: Clock | None, context: Mapping[str, Any]) -> bool:
    """Whether the clock of a message's sender is trusted: by the source's setting, else by its library."""
    if clock is not None:
        return clock == "trusted"
    library = context.get("library")
    name = library.get("name") if isinstance(library, dict) else None
    return isinstance(name, str) and name.lower() in SERVER_LIBRARIES

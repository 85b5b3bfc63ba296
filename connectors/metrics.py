"""What connectors count, by source. Every name once; docs/sources/README.md has them.

Each process counts for itself in prometheus_client's default registry; `crmstream collect` serves the figures.
"""

from typing import Final

from prometheus_client import Counter

EVENTS: Final = Counter("crm_door_events", "Events that the door let in, by source.", ["source"])
REFUSED: Final = Counter(
    "crm_door_refused", "Items on their way to the dead letters, by source and stage.", ["source", "stage"]
)
VIOLATIONS: Final = Counter(
    "crm_plan_violations", "Events not as planned, by source and event (unplanned: no event of the plan).",
    ["source", "event"],
)  # fmt: skip
UNKNOWN_NAMES: Final = Counter(
    "crm_unknown_names", "Events whose name resembles a known one, and that kept it, by source.", ["source"]
)

CATALOGUE: Final = (EVENTS, REFUSED, VIOLATIONS, UNKNOWN_NAMES)

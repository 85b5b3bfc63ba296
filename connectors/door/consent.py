"""The consent that comes with an event: kept as it came, and never read as given where it is broken. Pure.

``properties.context.consent.categoryPreferences`` holds a truth value for each category. Readers take a missing object
for "no consent needed", so a broken one must not just vanish: it becomes an empty one, which grants nothing.
"""

from collections.abc import Iterator
from typing import Any

from connectors.plan.violation import Violation

_CONSENT = "context.consent"
_PREFERENCES = "categoryPreferences"


def mended(properties: dict[str, Any]) -> tuple[dict[str, Any], list[Violation]]:
    """Take out of an event's consent what is none. Gives the properties, and what was wrong."""
    context = properties.get("context")
    if not isinstance(context, dict) or (consent := context.get("consent")) is None:
        return properties, []
    if not (problems := list(_problems(consent))):
        return properties, []
    given = consent if isinstance(consent, dict) else {}
    whole = {**given, _PREFERENCES: _truths(given.get(_PREFERENCES))}
    return {**properties, "context": {**context, "consent": whole}}, problems


def _problems(consent: object) -> Iterator[Violation]:
    if not isinstance(consent, dict):
        yield Violation(_CONSENT, "is not an object")
    elif _PREFERENCES in consent:
        preferences, place = consent[_PREFERENCES], f"{_CONSENT}.{_PREFERENCES}"
        if not isinstance(preferences, dict):
            yield Violation(place, "is not an object")
        else:
            wrong = [category for category, given in preferences.items() if not isinstance(given, bool)]
            yield from (Violation(f"{place}.{category}", "is not true or false") for category in wrong)


def _truths(preferences: object) -> dict[object, bool]:
    given = preferences.items() if isinstance(preferences, dict) else ()
    return {category: truth for category, truth in given if isinstance(truth, bool)}

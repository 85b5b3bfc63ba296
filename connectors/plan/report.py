"""What a tracking plan finds in many events, counted by source and event. Pure."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

from connectors.plan.check import NOT_PLANNED, VIOLATIONS, PlanChecker
from connectors.plan.violation import Violation

OTHERS: Final = "(others)"
_MOST_NAMES: Final = 2_000
"""Unplanned names, over all sources, that are told one by one: names come from outside."""
_MOST_PROBLEMS: Final = 500
"""Different violations of one event that are told one by one."""


class Sample(NamedTuple):
    """One event to be held against a plan."""

    source: str
    name: str
    properties: dict[str, Any]
    at: datetime | None = None
    kind: str | None = None


@dataclass
class EventReport:
    """The events of one name from one source."""

    source: str
    event: str
    planned: bool
    count: int = 0
    newest: datetime | None = None
    violating: int = 0
    violations: Counter[Violation] = field(default_factory=Counter)


class PlanReport:
    """Collects what a plan finds."""

    def __init__(self, checker: PlanChecker):
        self._checker = checker
        self._events: dict[tuple[str, str], EventReport] = {}

    def add(self, sample: Sample) -> None:
        """Hold one event against the plan, and count it.

        Of what the door has flagged in it only what the plan has dropped counts too: the rest is found again.
        """
        report = self._report(sample.source, sample.name)
        report.count += 1
        if sample.at is not None and (report.newest is None or sample.at > report.newest):
            report.newest = sample.at
        properties = {name: value for name, value in sample.properties.items() if name != VIOLATIONS}
        violations = self._checker.check(sample.name, properties).violations
        if self._checker.plan.unplanned_properties == "drop":
            violations = list(dict.fromkeys([*violations, *_dropped(sample.properties.get(VIOLATIONS))]))
        report.violating += bool(violations)
        for violation in violations:
            known = violation in report.violations or len(report.violations) < _MOST_PROBLEMS
            report.violations[violation if known else Violation(OTHERS, "is not as planned")] += 1

    def events(self) -> list[EventReport]:
        """What was found, by source and event."""
        return [self._events[key] for key in sorted(self._events)]

    def never_came(self) -> list[str]:
        """The planned events that no source has sent."""
        came = {event for _, event in self._events}
        return [name for name in self._checker.plan.planned if name not in came]

    @property
    def violating(self) -> int:
        """How many events are not as planned."""
        return sum(report.violating for report in self._events.values())

    def _report(self, source: str, name: str) -> EventReport:
        planned = self._checker.plans(name)
        key = (source, name)
        if key not in self._events and not planned and len(self._events) >= _MOST_NAMES:
            key = (source, OTHERS)
        if key not in self._events:
            self._events[key] = EventReport(*key, planned=planned)
        return self._events[key]


def _dropped(flags: object) -> Iterator[Violation]:
    """Read what the door dropped from an event's flags."""
    for flag in flags if isinstance(flags, list) else ():
        field, _, problem = str(flag).rpartition(": ")
        if problem == NOT_PLANNED and field != "name":
            yield Violation(field, problem)


def as_dicts(report: PlanReport) -> Iterator[dict[str, Any]]:
    """Write a report's events for programs."""
    for one in report.events():
        told = [{**violation._asdict(), "count": count} for violation, count in one.violations.most_common()]
        yield {**vars(one), "violations": told}

"""Lets topics go on that the breaker for dead letters has paused: accepts their records up to the end of the log.

Delivery: accepting twice changes nothing. Workers read the acceptance from a file of the data folder, within a moment
or when they start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import CrmError
from contracts.resumed import add_resumed
from contracts.topics import INPUT_TOPICS
from crmstream.observe.kafka import Offsets

Place = tuple[str, int]


class NotPausedError(CrmError):
    """No such topic is paused, or it is not known which ones are."""


@dataclass(frozen=True)
class Resumed:
    """A topic that goes on: the partitions that are paused, and how many of their records are accepted."""

    topic: str
    partitions: tuple[int, ...]
    records: int


def chosen_topics(topics: Sequence[str], paused: Sequence[Place]) -> list[str]:
    """Return the topics to resume: those named, else all that are paused. Raises :class:`NotPausedError`."""
    known = [topic.name for topic in INPUT_TOPICS]
    wrong = [topic for topic in topics if topic not in known]
    if wrong:
        raise NotPausedError(f"{wrong[0]} is not a topic that the dataflow reads; those are {', '.join(known)}.")
    stopped = sorted({topic for topic, _ in paused})
    if not topics and not stopped:
        raise NotPausedError(
            "No topic is paused, as far as the workers say. If they are down, name the topic: --topic crm-web-events."
        )
    return list(topics) or stopped


def plan_resume(topics: Sequence[str], paused: Sequence[Place], offsets: Offsets) -> list[Resumed]:
    """Return what a resume of topics means. Records that wait in partitions that are not paused are not counted."""
    return [
        Resumed(
            topic, partitions := tuple(number for name, number in paused if name == topic),
            sum(offsets.end[topic, each] - offsets.read((topic, each)) for each in partitions),
        )
        for topic in topics
    ]  # fmt: skip


def resume(data_dir: Path, cluster: str, topics: Sequence[str], offsets: Offsets) -> None:
    """Accept the records of topics before the end of a cluster's log. Raises SettingsError if that cannot be stored."""
    add_resumed(data_dir, cluster, {place: end for place, end in offsets.end.items() if place[0] in topics})

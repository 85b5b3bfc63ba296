"""The offsets up to which a topic's records are accepted, though many are invalid, so that a paused topic goes on.

``crmstream dead-letters resume`` writes a small file of the data folder; the workers read it while the breaker for dead
letters has paused a topic. The file is replaced as a whole, and offsets in it only grow, so an acceptance survives
restarts and counts again when the state is rebuilt from the log. Offsets of another Kafka cluster accept nothing.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from contracts.errors import SettingsError
from contracts.whole_files import replace_file

FILE: Final = "resumed-topics.json"
Place = tuple[str, int]
"""A topic and a partition."""


def read_resumed(data_dir: Path, cluster: str) -> dict[Place, int]:
    """Return the offsets before which all records of a Kafka cluster are accepted.

    Raises :class:`SettingsError` for a broken file.
    """
    path = data_dir / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        topics = found["topics"] if found["cluster"] == cluster else {}
        return {(topic, int(number)): int(at) for topic, places in topics.items() for number, at in places.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise SettingsError(
            f"{path} cannot be read. Remove it, then run `crmstream dead-letters resume` again for the topics that "
            "are paused."
        ) from None


def add_resumed(data_dir: Path, cluster: str, accepted: Mapping[Place, int]) -> None:
    """Accept the records of partitions before these offsets too, and forget other clusters.

    Raises :class:`SettingsError`.
    """
    path = data_dir / FILE
    known = read_resumed(data_dir, cluster)
    places: dict[str, dict[str, int]] = {}
    for topic, partition in sorted({*known, *accepted}):
        at = max(known.get((topic, partition), 0), accepted.get((topic, partition), 0))
        places.setdefault(topic, {})[str(partition)] = at
    try:
        replace_file(path, json.dumps({"cluster": cluster, "topics": places}))
    except OSError as error:
        raise SettingsError(f"{path}, for the topics that go on, cannot be written: {error.strerror}.") from None

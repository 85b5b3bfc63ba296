"""The note that profiles are rebuilt from the warehouse, with the offsets of the log up to which they are.

``crmstream rebuild --from-warehouse`` writes it before it moves the recovery store away; workers read it as they start.
A lane that has passed these offsets never looks at the warehouse again. When all positions that the dataflow has
published are past them, every snapshot that a start may resume from is too: worker 0 then removes the note.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from contracts.errors import SettingsError
from contracts.topics import Ends
from contracts.whole_files import replace_file, sync

FILE: Final = "rebuild.json"


def save_ends(data_dir: Path, ends: Ends) -> None:
    """Note up to where the warehouse has everything, by topic and partition; as a whole or not at all."""
    replace_file(data_dir / FILE, json.dumps({"ends": {topic: list(each) for topic, each in ends.items()}}))
    sync(data_dir)


def saved_ends(data_dir: Path) -> dict[str, list[int]] | None:
    """Return the noted offsets; None without a rebuild from the warehouse."""
    try:
        ends = json.loads((data_dir / FILE).read_text(encoding="utf-8"))["ends"]
        return {str(topic): [int(end) for end in each] for topic, each in ends.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise SettingsError(
            f"{data_dir / FILE} cannot be read. Run `crmstream rebuild --from-warehouse` again, or delete that file if "
            "no rebuild is under way."
        ) from None


def is_over(ends: Ends, committed: Mapping[tuple[str, int], int]) -> bool:
    """Whether the published positions of all topic-partitions are past these offsets."""
    return all(
        committed.get((topic, number), -1) >= end
        for topic, of_topic in ends.items()
        for number, end in enumerate(of_topic)
    )


def forget_ends(data_dir: Path) -> None:
    """Remove the note."""
    (data_dir / FILE).unlink(missing_ok=True)

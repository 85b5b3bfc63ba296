"""The note that profiles are rebuilt from the warehouse, with the offsets of the log up to which they are.

``crmstream rebuild --from-warehouse`` writes it before it moves the recovery store away; workers read it as they start.
It may stay: a lane that has passed these offsets never looks at the warehouse again.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from contracts.errors import SettingsError
from contracts.whole_files import replace_file

FILE: Final = "rebuild.json"


def save_ends(data_dir: Path, ends: Mapping[str, Sequence[int]]) -> None:
    """Note where each topic-partition ended when the rebuild began, by topic; as a whole or not at all."""
    replace_file(data_dir / FILE, json.dumps({"ends": dict(ends)}))


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


def forget_ends(data_dir: Path) -> None:
    """Remove the note."""
    (data_dir / FILE).unlink(missing_ok=True)

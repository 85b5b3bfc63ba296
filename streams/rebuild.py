"""The note that profiles are being rebuilt from the warehouse: it names the copy of the facts in the order of the log.

``crmstream rebuild --from-warehouse`` writes it before it moves the recovery store away; workers read it as they start.
It stays after the rebuild: a lane that is past the start of its log no longer looks at the copy.
"""

import json
import os
from pathlib import Path
from typing import Final

from contracts.errors import SettingsError

FILE: Final = "rebuild.json"


def save_copy(data_dir: Path, table: str) -> None:
    """Note the name of the copy, as a whole or not at all."""
    fresh = data_dir / f"{FILE}.new"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump({"table": table}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(data_dir / FILE)


def saved_copy(data_dir: Path) -> str | None:
    """Return the name of the copy; None without a rebuild from the warehouse."""
    try:
        return str(json.loads((data_dir / FILE).read_text(encoding="utf-8"))["table"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"{data_dir / FILE} cannot be read. Run `crmstream rebuild --from-warehouse` again, or delete that file if "
            "no rebuild is under way."
        ) from None


def forget_copy(data_dir: Path) -> None:
    """Remove the note."""
    (data_dir / FILE).unlink(missing_ok=True)

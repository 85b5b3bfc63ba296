"""The recovery store of the dataflow: a folder of SQLite files, as many as there are partitions.

It belongs to one layout (partitions, buckets, sweeps, outcomes, currency): with another one its state would be read
wrongly, so that is refused. Kept apart from the dataflow, whose imports take seconds.
"""

import json
from pathlib import Path
from typing import Final

from bytewax.recovery import init_db_dir

from contracts.errors import SettingsError
from contracts.settings import Settings

LAYOUT_FILE: Final = "layout.json"


def recovery_folder(settings: Settings) -> Path:
    """Where the store is."""
    return settings.data_dir / "recovery"


def prepare_recovery(settings: Settings) -> Path:
    """Make the recovery store if there is none; raise :class:`SettingsError` if it has another layout.

    To be called once before workers start, not by each of them.
    """
    folder = recovery_folder(settings)
    layout = layout_of(settings)
    file = folder / LAYOUT_FILE
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        changed = [f"{name} (was {known.get(name)})" for name in layout if known.get(name) != layout[name]]
        if changed:
            raise SettingsError(
                f"the state in {folder} was made with other settings: {', '.join(changed)}. Set them back, use another "
                "CRM_DATA_DIR, or move that folder away to rebuild all state from the start of the log."
            )
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    init_db_dir(folder, settings.partitions)
    file.write_text(json.dumps(layout), encoding="utf-8")
    return folder


def layout_of(settings: Settings) -> dict[str, object]:
    """The settings that stored state depends on."""
    return {
        "CRM_PARTITIONS": settings.partitions,
        "CRM_BUCKETS": settings.buckets,
        "CRM_SWEEP_HOURS": settings.sweep_hours,
        "CRM_OUTCOMES": [outcome.model_dump() for outcome in settings.outcomes],
        "CRM_BASE_CURRENCY": settings.base_currency,
    }

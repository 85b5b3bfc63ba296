"""The recovery store of the dataflow: Bytewax's SQLite files, one per worker of the run that made it, and `state`.

The SQLite files hold positions in the log, and tokens that name the files of state (:mod:`streams.state.store`).

Every file is synced several times in each epoch, and the flow waits for it, so one worker has one file. Any other
number of workers can continue with the same files: a worker without a file sends its snapshots to one that has.

It belongs to one layout (partitions, buckets, sweeps, outcomes, currency) and is refused with another one, because its
state would be misread. This module is separate from the dataflow, whose imports take seconds.
"""

import json
import shutil
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from bytewax.recovery import init_db_dir

from contracts.errors import REBUILD, SettingsError
from contracts.settings import Settings
from contracts.whole_files import replace_file, sync
from streams.recovery_files import LOCK_SECONDS, check_files, recovery_files
from streams.state.migrations import VERSION as STATE_VERSION
from streams.state.migrations import oldest
from streams.state.owner import OWNER, take_over

LAYOUT_FILE: Final = "layout.json"
VERSION: Final = "the version of crmstream's state"
BASE_CURRENCY: Final = "CRM_BASE_CURRENCY"
STATE: Final = "state"
"""The folder of the steps' state within the store: it moves with the tokens that name its files."""
OUTBOX: Final = "outbox"
"""The folder of rows on their way to ClickHouse: a backup of the store has them with the positions behind them."""


def recovery_folder(settings: Settings) -> Path:
    """Where the store is."""
    return settings.data_dir / "recovery"


def state_folder(settings: Settings) -> Path:
    """Where the state of the steps is."""
    return recovery_folder(settings) / STATE


def outbox_folder(settings: Settings) -> Path:
    """Where rows are that ClickHouse has not acknowledged."""
    return recovery_folder(settings) / OUTBOX


def prepare_recovery(settings: Settings, base_currency: str | None = None) -> Path:
    """Make the recovery store if there is none; raise :class:`SettingsError` if it has another layout.

    ``base_currency`` is the one decided (None: that of the settings). State from before the decision holds no converted
    money, so it fits any base currency; from then on it fits only that one. Call this once before workers start, not in
    each of them. The store is created atomically: it is made beside its place and moved there last.
    """
    folder, layout = recovery_folder(settings), layout_of(settings, base_currency)
    if folder.exists():
        _check(folder, layout)
        return folder
    new = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    init_db_dir(new, settings.workers)
    (new / LAYOUT_FILE).write_text(json.dumps(layout), encoding="utf-8")
    for path in (*new.iterdir(), new):
        sync(path)
    new.rename(folder)
    sync(folder.parent)
    return folder


def begin_run(settings: Settings, run: str) -> None:
    """Let a run take the store over, and forget what the run of before did not commit.

    Call it before the engine starts: in each worker of one host, in one worker of several hosts.
    """
    join_run(settings, run)
    take_over(recovery_folder(settings), run)
    forget_uncommitted(settings)


def join_run(settings: Settings, run: str) -> None:
    """Belong to a run: this process commits nothing after a later run has begun."""
    OWNER.belong(recovery_folder(settings), run)


def forget_uncommitted(settings: Settings) -> None:
    """Delete snapshots of epochs that were not committed.

    Workers of several hosts must not open one SQLite file at once: there one of them does it before any starts.

    Bytewax leaves them when a run dies. The next run repeats these epochs, perhaps with other bounds; a key that has
    no part in one of them keeps the snapshot of the run that died, and a third run would resume from it.

    Raises :class:`contracts.errors.UnreadableStateError` if a file is damaged or missing.
    """
    check_files(recovery_folder(settings))
    with ExitStack() as stack:
        files = [
            stack.enter_context(closing(sqlite3.connect(path, timeout=LOCK_SECONDS)))
            for path in recovery_files(recovery_folder(settings))
        ]
        runs = [run for file in files for run in file.execute("SELECT ex_num, worker_count, resume_epoch FROM exs")]
        if not runs:
            return
        newest, workers, resumed = max(runs)
        reached = dict.fromkeys(range(workers), resumed)
        for file in files:
            fronts = file.execute("SELECT worker_index, worker_frontier FROM fronts WHERE ex_num = ?", (newest,))
            for worker, front in fronts:
                reached[worker] = max(reached[worker], front)
        for file in files:
            with file:
                file.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (min(reached.values()),))


def _check(folder: Path, layout: dict[str, object]) -> None:
    try:
        known = json.loads((folder / LAYOUT_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise SettingsError(
            f"{folder} is not a recovery store of crmstream: its {LAYOUT_FILE} cannot be read. Restore it, or "
            f"{REBUILD}."
        ) from None
    if not _is_readable(known.get(VERSION)):
        raise SettingsError(
            f"the state in {folder} is of version {known.get(VERSION)}; this crmstream reads {_readable()}. Run the "
            f"crmstream that made it, use another CRM_DATA_DIR, or {REBUILD}."
        )
    older = known[VERSION] < STATE_VERSION
    known[VERSION] = STATE_VERSION
    undecided = known.get(BASE_CURRENCY, "") is None and layout[BASE_CURRENCY] is not None
    if undecided:
        known[BASE_CURRENCY] = layout[BASE_CURRENCY]
    changed = [f"{name} (was {known.get(name)})" for name in layout if known.get(name) != layout[name]]
    if changed:
        raise SettingsError(
            f"the state in {folder} was made with other settings: {', '.join(changed)}. Set them back, use another "
            f"CRM_DATA_DIR, or {REBUILD}."
        )
    if undecided or older:
        _record(folder, known)


def _is_readable(version: object) -> bool:
    return isinstance(version, int) and oldest() <= version <= STATE_VERSION


def _readable() -> str:
    first = oldest()
    return f"version {STATE_VERSION} only" if first == STATE_VERSION else f"versions {first} to {STATE_VERSION}"


def _record(folder: Path, layout: dict[str, object]) -> None:
    """Record what the layout did not have: the base currency, before any amount is converted, or the newer version.

    From then on an older release refuses the state, which this one begins to write.
    """
    replace_file(folder / LAYOUT_FILE, json.dumps(layout))
    sync(folder)


def layout_of(settings: Settings, base_currency: str | None = None) -> dict[str, object]:
    """Return what stored state depends on: the version of its shape, and settings."""
    return {
        VERSION: STATE_VERSION,
        "CRM_PARTITIONS": settings.partitions,
        "CRM_BUCKETS": settings.buckets,
        "CRM_SWEEP_HOURS": settings.sweep_hours,
        "CRM_OUTCOMES": [outcome.model_dump() for outcome in settings.outcomes],
        BASE_CURRENCY: base_currency or settings.base_currency,
    }

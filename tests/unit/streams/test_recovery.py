"""The recovery store is there whole or not at all, and is used only with the layout that it was made for."""

import json
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
import pytest
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig
from bytewax.testing import TestingSink, TestingSource, run_main

from contracts.errors import SettingsError, StateError, UnreadableStateError
from contracts.settings import Settings
from streams import recovery, recovery_files
from streams.recovery import LAYOUT_FILE, VERSION, forget_uncommitted, prepare_recovery
from streams.recovery_files import check_files


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "crm", partitions=2, buckets=4)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_store_has_a_file_per_worker_and_is_made_once(settings: Settings, workers: int) -> None:
    settings = settings.model_copy(update={"workers": workers})
    folder = prepare_recovery(settings)
    made = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert len(made) == workers + 1
    assert prepare_recovery(settings) == folder
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == made


@pytest.mark.parametrize("moment", ["init_db_dir", "layout_of", "sync"])
def test_what_died_while_making_it_leaves_nothing_in_its_way(
    settings: Settings, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(recovery, moment, die)
        with pytest.raises(KeyboardInterrupt):
            prepare_recovery(settings)
    assert not recovery.recovery_folder(settings).exists()
    assert (prepare_recovery(settings) / LAYOUT_FILE).exists()
    assert [path.name for path in settings.data_dir.iterdir()] == ["recovery"]


@pytest.mark.parametrize("change", [{"sweep_hours": 1}, {"buckets": 8}, {"base_currency": "EUR"}])
def test_another_layout_is_refused_by_the_name_of_its_setting(settings: Settings, change: dict[str, object]) -> None:
    prepare_recovery(settings, "USD")
    with pytest.raises(SettingsError, match=f"CRM_{next(iter(change)).upper()} .was"):
        prepare_recovery(settings.model_copy(update=change), str(change.get("base_currency", "USD")))


def test_state_from_before_the_base_currency_was_decided_fits_any_and_then_that_one(settings: Settings) -> None:
    prepare_recovery(settings)
    with pytest.raises(SettingsError, match="CRM_BUCKETS"):
        prepare_recovery(settings.model_copy(update={"buckets": 8}), "EUR")
    prepare_recovery(settings, "JPY")
    prepare_recovery(settings, "JPY")
    for other in ("EUR", None):
        with pytest.raises(SettingsError, match=r"CRM_BASE_CURRENCY .was JPY"):
            prepare_recovery(settings, other)


@pytest.mark.parametrize("version", [None, 3, recovery.STATE_VERSION + 1])
def test_state_of_another_version_is_refused_with_the_ways_on(settings: Settings, version: int | None) -> None:
    """Whatever else differs: older stores know other settings."""
    file = prepare_recovery(settings) / LAYOUT_FILE
    layout = json.loads(file.read_text()) | {VERSION: version, "CRM_BUCKETS": 64}
    file.write_text(json.dumps(layout))
    with pytest.raises(SettingsError) as refused:
        prepare_recovery(settings)
    said = str(refused.value)
    assert f"is of version {version}; this crmstream reads version {recovery.STATE_VERSION} only" in said
    assert "CRM_BUCKETS" not in said
    assert "crmstream rebuild --from-warehouse" in said
    assert json.loads(file.read_text()) == layout


@pytest.mark.parametrize("content", [None, "", json.dumps({"CRM_PARTITIONS": 2})[:-1]])
def test_a_store_without_its_layout_is_refused(settings: Settings, content: str | None) -> None:
    file = prepare_recovery(settings) / LAYOUT_FILE
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with pytest.raises(SettingsError, match="cannot be read"):
        prepare_recovery(settings)


def test_an_older_version_with_a_migration_is_taken_over(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    file = prepare_recovery(settings) / LAYOUT_FILE
    version = recovery.STATE_VERSION
    monkeypatch.setattr(recovery, "STATE_VERSION", version + 1)
    monkeypatch.setattr(recovery, "oldest", lambda: version)
    prepare_recovery(settings)
    assert json.loads(file.read_text())[VERSION] == version + 1
    monkeypatch.undo()
    with pytest.raises(SettingsError, match=f"is of version {version + 1}"):
        prepare_recovery(settings)


def _forget_nothing(_settings: Settings) -> None:
    """What Bytewax does."""


@pytest.mark.parametrize(("forget", "total"), [(forget_uncommitted, 1), (_forget_nothing, 99)])
def test_a_snapshot_of_an_epoch_that_was_not_committed_is_never_resumed(
    settings: Settings, forget: Callable[[Settings], None], total: int
) -> None:
    """The second case shows that Bytewax does so by itself: if it no longer does, the function can go."""
    folder = prepare_recovery(settings)
    (file,) = folder.glob("*.sqlite3")
    items = [("a", 1), ("b", 1), TestingSource.EOF(), ("a", 1), ("a", 1), TestingSource.ABORT(), ("b", 0)]

    def run() -> list[tuple[str, int]]:
        forget(settings)
        out: list[tuple[str, int]] = []
        flow = Dataflow("test")
        numbers = op.input("numbers", flow, TestingSource(items))
        sums = op.stateful_map("sum", numbers, lambda sum_, number: ((sum_ or 0) + number, (sum_ or 0) + number))
        op.output("out", sums, TestingSink(out))
        run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(folder, timedelta(0)))
        return out

    assert sorted(run()) == [("a", 1), ("b", 1)]
    with closing(sqlite3.connect(file)) as store, store:
        (epoch,) = store.execute("SELECT MAX(worker_frontier) FROM fronts").fetchone()
        (step, kept) = store.execute("SELECT step_id, ser_change FROM snaps WHERE state_key = 'b'").fetchone()
        assert kept is not None
        store.execute(
            "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, 'b', ?, ?)",
            (step, epoch, pickle.dumps(99)),
        )
    assert ("a", 2) in run()
    assert dict(run())["b"] == total


def run_once(settings: Settings) -> Path:
    """Let Bytewax write to a new store; return its first file."""
    folder = prepare_recovery(settings)
    flow = Dataflow("test")
    numbers = op.input("numbers", flow, TestingSource([(str(key), 1) for key in range(300)]))
    sums = op.stateful_map("sum", numbers, lambda _, number: (number, number))
    op.output("out", sums, TestingSink([]))
    run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(folder, timedelta(0)))
    return min(folder.glob("*.sqlite3"))


def cut(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"garbage\n" * 2_000)


def spoil_a_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as store:
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[-4_096:] = b"\xff" * 4_096
    path.write_bytes(data)


def drop_a_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("DROP TABLE exs")


def delete(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [cut, overwrite, spoil_a_page, drop_a_table])
def test_a_damaged_file_of_positions_is_named_with_the_ways_on(
    settings: Settings, damage: Callable[[Path], None]
) -> None:
    file = run_once(settings)
    forget_uncommitted(settings)
    damage(file)
    with pytest.raises(UnreadableStateError) as refused:
        forget_uncommitted(settings)
    said = str(refused.value)
    assert str(file) in said
    assert "damaged" in said
    assert "from a backup" in said
    assert "crmstream rebuild --from-warehouse" in said


@pytest.mark.parametrize(("workers", "left"), [(1, 0), (3, 2)])
def test_a_missing_file_of_positions_is_noticed(settings: Settings, workers: int, left: int) -> None:
    settings = settings.model_copy(update={"workers": workers})
    delete(run_once(settings))
    with pytest.raises(UnreadableStateError, match=f"has {left} of its {workers} files.*Ways on"):
        check_files(recovery.recovery_folder(settings))


def test_a_file_that_cannot_be_opened_now_is_no_damage(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run_once(settings)
    monkeypatch.setattr(recovery_files, "LOCK_SECONDS", 0)
    with closing(sqlite3.connect(min(recovery.recovery_folder(settings).glob("*.sqlite3")))) as store:
        store.execute("PRAGMA locking_mode = EXCLUSIVE")
        store.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StateError, match="locked") as refused:
            check_files(recovery.recovery_folder(settings))
    assert not isinstance(refused.value, UnreadableStateError)

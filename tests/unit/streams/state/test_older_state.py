"""The stored state of an older release, in ``tests/fixtures``: each part is restored, and stored again as it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.state import changed, frozen, thawed
from support.stored_log import SETTINGS
from support.stored_state import Bucket, buckets, contents, empty_parts, makers, unpack_state

from contracts.settings import Settings
from contracts.state import Part
from streams.profiles.table import ProfileTable
from streams.profiles.texts import unpacked
from streams.recovery import STATE
from streams.state import files, migrations
from streams.state.files import read
from streams.state.restore import restore

VERSIONS = (5,)
MAY_BE_EMPTY = {
    "keep-addresses/links", "keep-addresses/moved", "keep-addresses/timelines", "keep-addresses/waiting",
    "keep-addresses/table.waiting_all", "keep-devices/table.waiting_all", "keep-customers/profiles.freed",
    "keep-devices/notices", "learn/opportunity.others", "learn/waiting", "score/waiting",
    "keep-addresses/full", "keep-addresses/undone", "keep-devices/full", "keep-devices/undone",
}  # fmt: skip
"""What was empty when the worker was killed, or is newer than the release, or always empty (free customers)."""
TABLES = {"keep-devices": "table", "keep-addresses": "table", "keep-customers": "profiles"}


@pytest.fixture(scope="module", params=VERSIONS)
def recovery(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack_state(request.param, tmp_path_factory.mktemp("older"))


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings(**SETTINGS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def restored(recovery: Path, settings: Settings) -> list[Bucket]:
    return list(buckets(recovery, settings))


def test_hardly_any_part_is_empty(recovery: Path, settings: Settings) -> None:
    """Else the state that is kept would prove little."""
    assert empty_parts(recovery, settings) <= MAY_BE_EMPTY


def test_both_generations_give_the_same(recovery: Path, settings: Settings, restored: list[Bucket]) -> None:
    make, compared = makers(settings), 0
    for step, place, machine in restored:
        if len(place.bases) == 2:
            other = make[step]()
            older = place._replace(bases=place.bases[1:])
            restore(recovery / STATE / step / place.bucket, step, older, other.parts())
            assert contents(other) == contents(machine), (step, place.bucket)
            compared += 1
    assert compared > 5


def test_what_is_restored_is_stored_again_as_it_is(settings: Settings, restored: list[Bucket]) -> None:
    make = makers(settings)
    for step, place, machine in restored:
        whole = frozen(machine)
        assert not changed(machine)
        assert contents(thawed(make[step](), whole)) == contents(machine), (step, place.bucket)


def test_tables_hold_the_rows_that_their_files_hold(recovery: Path, restored: list[Bucket]) -> None:
    """Read row by row, as the page about stored state says."""
    found = 0
    for step, place, machine in restored:
        if name := TABLES.get(step):
            table = machine.parts()[name]
            assert isinstance(table, ProfileTable)
            rows, ids = read_row_by_row(recovery / STATE / step / place.bucket, place.bases[0], place, step, name)
            at = np.array(sorted(ids), np.int64)
            assert table.names.take(at).tolist() == [ids[each] for each in at.tolist()]
            assert len(table) == len(ids)
            assert {each: row.tobytes() for each, row in zip(at.tolist(), table.take(at), strict=True)} == {
                each: rows[each] for each in ids
            }
            found += len(ids)
    assert found > 100


def test_a_later_release_can_migrate_it(
    recovery: Path, settings: Settings, restored: list[Bucket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a release would that counts one web event more where there are any."""
    make, found = makers(settings), 0

    def one_more(step: str, frame: migrations.Frame) -> migrations.Frame:
        name = TABLES.get(step, "")
        if "rows" not in frame.get(name, {}):
            return frame
        rows = frame[name]["rows"].copy()
        rows["web_events"] += rows["web_events"] > 0
        return frame | {name: frame[name] | {"rows": rows}}

    known, later = {migrations.VERSION: one_more}, migrations.VERSION + 1
    monkeypatch.setattr(files, "oldest", lambda: migrations.oldest(known, later))
    monkeypatch.setattr(files, "migrated", lambda *frame: migrations.migrated(*frame, known, later))
    for step, place, machine in restored:
        again = make[step]()
        restore(recovery / STATE / step / place.bucket, step, place, again.parts())
        if name := TABLES.get(step):
            before, after = (web_events(each.parts()[name]) for each in (machine, again))
            assert after.tolist() == (before + (before > 0)).tolist()
            found += int(np.count_nonzero(before))
        else:
            assert contents(again) == contents(machine)
    assert found > 50


def web_events(table: Part) -> NDArray[np.int64]:
    assert isinstance(table, ProfileTable)
    return table.take(np.arange(len(table.names)))["web_events"].astype(np.int64)


def read_row_by_row(
    folder: Path, base: tuple[str, int], place: Any, step: str, part: str
) -> tuple[dict[int, bytes], dict[int, str]]:
    """The rows and the ids of a table by position."""
    rows: dict[int, bytes] = {}
    ids: dict[int, str] = {}
    for name, length in (base, *place.logs_since(base)):
        for frame in read(folder / name, length, step) if name else ():
            columns = frame.get(part, {})
            if "at" not in columns:
                continue
            rows |= {at: row.tobytes() for at, row in zip(columns["at"].tolist(), columns["rows"], strict=True)}
            named = columns["named"].tolist()
            ids |= dict(zip(named, unpacked(columns["ids"], len(named)).tolist(), strict=True))
    return rows, {at: name for at, name in ids.items() if name}

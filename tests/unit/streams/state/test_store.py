"""A resumed bucket has the state of its token, whatever happened to the process and to files that it can do without."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pytest
from support.parts import Shop

from contracts.errors import StateError
from streams.state import background, files, frames, migrations, store
from streams.state.background import Background
from streams.state.files import BASE, HEAD, files_in, named
from streams.state.store import BucketStore, StepStore
from streams.state.token import Token

NAME = "3"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "recovery" / "state"


@pytest.fixture
def _small_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "SMALLEST_BASE", 400)


def begun(root: Path) -> tuple[Shop, BucketStore]:
    shop = Shop()
    return shop, StepStore(root, "keep").begin(NAME, shop.parts())


def resumed(root: Path, token: dict[str, object]) -> tuple[Shop, BucketStore]:
    shop = Shop()
    return shop, StepStore(root, "keep").resume(token, shop.parts())


def state_at(root: Path, token: dict[str, object]) -> object:
    """The state of a token, restored from a copy: who resumes in the folder itself takes the bucket over."""
    with TemporaryDirectory() as copy:
        shutil.copytree(root, Path(copy) / "state")
        return resumed(Path(copy) / "state", token)[0].state()


def committed(token: Token) -> dict[str, object]:
    """The token as Bytewax keeps it."""
    kept: dict[str, object] = pickle.loads(pickle.dumps(token))
    assert type(kept) is dict
    return kept


def settled() -> None:
    """Wait until bases and deletions given so far are through."""
    store.BACKGROUND.run(lambda: None).result()


def go_on(shop: Shop, bucket: BucketStore) -> None:
    """Change and save for long enough to make several bases."""
    for number in range(200):
        shop.put(number % 20, -number)
        bucket.save()
        settled()


def filled(root: Path, saves: int = 30) -> tuple[Shop, BucketStore, dict[str, object]]:
    """A bucket with two bases and a log after each."""
    shop, bucket = begun(root)
    for number in range(saves):
        shop.put(number % 20, number)
        token = bucket.save()
        settled()
    assert [bool(base[0]) for base in token["bases"]] == [True, True]
    return shop, bucket, committed(token)


def of_kind(root: Path, kind: str) -> list[Path]:
    return [root / "keep" / NAME / str(file) for file in sorted(files_in(root / "keep" / NAME)) if file.kind == kind]


def test_a_resumed_bucket_has_the_state_of_its_token(root: Path) -> None:
    shop, bucket = begun(root)
    kept = []
    for number in range(5):
        shop.put(number, 7 * number)
        kept.append((committed(bucket.save()), shop.state()))
    for token, state in kept:
        assert state_at(root, token) == state


def test_a_bucket_without_changes_writes_nothing_and_keeps_its_token(root: Path) -> None:
    shop, bucket = begun(root)
    shop.put(1, 2)
    token = bucket.save()
    before = {path.name: path.stat().st_size for path in (root / "keep" / NAME).iterdir()}
    assert bucket.save() is token
    assert {path.name: path.stat().st_size for path in (root / "keep" / NAME).iterdir()} == before


def test_a_token_is_not_changed_by_later_snapshots(root: Path) -> None:
    """The engine pickles it later."""
    shop, bucket = begun(root)
    shop.put(1, 2)
    token, before = bucket.save(), None
    before = dict(token)
    shop.put(1, 3)
    bucket.save()
    assert dict(token) == before


@pytest.mark.usefixtures("_small_bases")
def test_the_disk_holds_two_generations_and_no_more(root: Path) -> None:
    shop, bucket, _ = filled(root, 400)
    folder = root / "keep" / NAME
    sizes = [path.stat().st_size for path in folder.iterdir()]
    assert len(of_kind(root, BASE)) <= 3
    assert sum(sizes) < 6 * 400 + 5 * 400
    assert shop.state() == state_at(root, committed(bucket.save()))


@pytest.mark.usefixtures("_small_bases")
@pytest.mark.parametrize("spoil", [
    lambda path: path.unlink(),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-1]),
    lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"),
    lambda path: path.write_bytes(bytes(path.stat().st_size)),
])  # fmt: skip
def test_a_damaged_base_is_replaced_by_the_older_one_and_its_logs(root: Path, spoil: Callable[[Path], object]) -> None:
    shop, _, token = filled(root)
    spoil(root / "keep" / NAME / token["bases"][0][0])  # type: ignore[index]
    again, bucket = resumed(root, token)
    assert again.state() == shop.state()
    again.put(5, 55)
    bucket.save()  # begins a new base, since one generation is left
    settled()
    token = committed(bucket.save())
    assert len(token["bases"]) == 2  # type: ignore[arg-type]
    spoil(root / "keep" / NAME / token["bases"][0][0])  # type: ignore[index]
    assert state_at(root, token) == again.state()


@pytest.mark.usefixtures("_small_bases")
def test_a_damage_that_nothing_replaces_is_an_error_with_the_file_and_the_ways_on(root: Path) -> None:
    _, bucket, token = filled(root)
    newest = root / "keep" / NAME / token["logs"][-1][0]  # type: ignore[index]
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(StateError, match=rf"{newest} holds .* bytes of .*Ways on: \(1\)"):
        resumed(root, token)
    assert bucket is not None


def test_bytes_behind_the_length_of_the_token_do_not_count(root: Path) -> None:
    shop, bucket = begun(root)
    shop.put(1, 2)
    token, state = committed(bucket.save()), shop.state()
    shop.put(1, 3)
    bucket.save()
    (log,) = of_kind(root, "log")
    with log.open("ab") as file:
        file.write(b"torn")
    assert state_at(root, token) == state


@pytest.mark.usefixtures("_small_bases")
def test_a_run_that_died_before_its_first_commit_leaves_nothing_that_counts(root: Path) -> None:
    shop, bucket = begun(root)
    shop.put(1, 2)
    bucket.save()
    again, bucket = begun(root)
    for number in range(60):
        again.put(number % 3, number)
        token = committed(bucket.save())
        settled()
    assert state_at(root, token) == again.state()
    runs = {file.run for file in files_in(root / "keep" / NAME)}
    assert len(runs) == 1, "the leftovers of the run that died are gone"


@pytest.mark.usefixtures("_small_bases")
def test_a_run_resumes_from_the_same_token_as_often_as_it_dies(root: Path) -> None:
    shop, _, token = filled(root)
    for _ in range(5):
        again, bucket = resumed(root, token)
        assert again.state() == shop.state()
        for number in range(3):
            again.put(number, -number)
            bucket.save()


@pytest.mark.usefixtures("_small_bases")
def test_a_run_that_was_taken_over_ends_and_deletes_nothing(root: Path) -> None:
    old, zombie, token = filled(root)
    state = old.state()
    again, bucket = resumed(root, token)
    with pytest.raises(StateError, match="another process has continued the state"):
        go_on(old, zombie)
    assert state_at(root, token) == state == again.state()
    go_on(again, bucket)
    newest = committed(bucket.save())
    assert state_at(root, newest) == again.state()


@pytest.mark.usefixtures("_small_bases")
def test_tokens_name_the_older_files_until_the_new_base_is_on_the_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_write, write_whole = Event(), store.write_whole

    def slowly(path: Path, data: bytearray) -> None:
        may_write.wait()
        write_whole(path, data)

    monkeypatch.setattr(store, "write_whole", slowly)
    shop, bucket = begun(root)
    for number in range(40):
        shop.put(number % 5, number)
        token = committed(bucket.save())
    assert [base[0] for base in token["bases"]] == [""]  # type: ignore[attr-defined]
    assert not of_kind(root, BASE)
    assert state_at(root, token) == shop.state()
    may_write.set()
    settled()
    token = committed(bucket.save())
    assert [bool(base[0]) for base in token["bases"]] == [True, False]  # type: ignore[attr-defined]
    assert state_at(root, token) == shop.state()


@pytest.mark.usefixtures("_small_bases")
def test_one_base_is_copied_at_a_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed, written = Event(), []

    def slowly(path: Path, data: bytearray) -> None:
        allowed.wait(10)
        files.write_whole(path, data)
        written.append(path.parent.name)

    copies: list[object] = []
    monkeypatch.setattr(store, "write_whole", slowly)
    monkeypatch.setattr(store, "copied", lambda parts: copies.append(parts) or frames.copied(parts))
    shops, step = [Shop(), Shop()], StepStore(root, "keep", Background())
    buckets = [step.begin(str(number), shop.parts()) for number, shop in enumerate(shops)]

    def go_on_together(saves: int) -> Token:
        for number in range(saves):
            for shop, bucket in zip(shops, buckets, strict=True):
                shop.put(number % 20, number)
                token = bucket.save()
        return token

    go_on_together(100)
    assert len(copies) == 1
    allowed.set()
    for _ in range(100):
        step.background.run(lambda: None).result()
        token = go_on_together(1)
    assert set(written) == {"0", "1"}
    step.background.run(lambda: None).result()
    shutil.rmtree(root / "keep" / "0")
    assert state_at(root, committed(token)) == shops[1].state()


def test_a_part_that_the_state_does_not_have_stays_new(root: Path) -> None:
    shop, bucket = begun(root)
    shop.put(2, 9)
    del shop._parts["count"]
    token = committed(bucket.save())
    again, bucket = resumed(root, token)
    assert again.state() == (0, [0, 0, 9])
    again.put(0, 1)
    assert state_at(root, committed(bucket.save())) == (1, [1, 0, 9])


def test_a_part_that_the_machine_does_not_have_is_an_error_with_its_name(root: Path) -> None:
    shop, bucket = begun(root)
    shop.put(2, 9)
    token = committed(bucket.save())
    again = Shop()
    del again._parts["cells"]
    with pytest.raises(StateError, match="the part 'cells', which this crmstream does not know"):
        StepStore(root, "keep").resume(token, again.parts())


@pytest.mark.parametrize(("form", "version"), [(2, 5), (1, 6), (1, 4)])
def test_files_of_another_format_or_version_are_refused(root: Path, form: int, version: int) -> None:
    shop, bucket = begun(root)
    shop.put(2, 9)
    token = committed(bucket.save())
    (log,) = of_kind(root, "log")
    log.write_bytes(files.head(form, version) + log.read_bytes()[HEAD.size :])
    with pytest.raises(StateError, match=f"{log} holds state of format {form}, version {version}; this"):
        resumed(root, token)


@pytest.mark.parametrize("token", [b"\x80\x05", {"format": 2}, {}, None, 7])
def test_tokens_of_another_format_are_refused(root: Path, token: object) -> None:
    with pytest.raises(StateError, match=r"recovery|rebuild"):
        resumed(root, token)  # type: ignore[arg-type]


def test_state_of_an_older_version_is_migrated(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, bucket = begun(root)
    shop.put(2, 9)
    token = committed(bucket.save())

    def doubled(step: str, frame: migrations.Frame) -> migrations.Frame:
        assert step == "keep"
        return {name: {**part, "numbers": part["numbers"] * 2} if name == "cells" else part
                for name, part in frame.items()}  # fmt: skip

    monkeypatch.setattr(files, "VERSION", 7)
    table = {5: doubled, 6: doubled}
    monkeypatch.setattr(files, "oldest", lambda: migrations.oldest(table, 7))
    monkeypatch.setattr(files, "migrated", lambda *frame: migrations.migrated(*frame, table, 7))
    again, bucket = resumed(root, token)
    assert again.state() == (1, [0, 0, 36])
    again.put(0, 1)
    assert state_at(root, committed(bucket.save())) == (2, [1, 0, 36])


def test_versions_can_be_read_as_far_back_as_migrations_reach() -> None:
    def same(_: str, frame: migrations.Frame) -> migrations.Frame:
        return frame

    assert migrations.oldest({}, 9) == 9
    assert migrations.oldest({8: same, 7: same, 5: same}, 9) == 7


def test_a_full_disk_stops_the_worker_with_the_cause(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop, bucket = begun(root)
    shop.put(1, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", full)
        with pytest.raises(StateError, match=r"cannot be written to .*keep/3: No space left on device"):
            bucket.save()
    shop.put(1, 3)
    with pytest.raises(StateError, match="No space left"):
        bucket.save()  # the changes that were not written are gone: no later token may leave them out


def test_an_error_of_the_sync_is_raised_before_the_token_is_kept_and_ever_after(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, threads = Shop(), Background()
    bucket = StepStore(root, "keep", threads).begin(NAME, shop.parts())
    shop.put(1, 2)
    token = bucket.save()

    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(background.os, "fdatasync", broken)
        with pytest.raises(StateError, match="Input/output error"):
            pickle.dumps(token)
    with pytest.raises(StateError, match="Input/output error"):
        pickle.dumps(bucket.save())


@pytest.mark.usefixtures("_small_bases")
def test_an_error_of_a_base_is_raised_by_a_later_snapshot(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_whole", full)
    shop, bucket = begun(root)
    with pytest.raises(StateError, match=r"\.base: No space left on device"):
        go_on(shop, bucket)


def test_files_that_were_written_are_closed_also_if_no_one_waits(root: Path) -> None:
    shop, bucket = begun(root)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1_000):
        shop.put(1, number)
        bucket.save()
    assert len(os.listdir("/proc/self/fd")) <= before + background.MOST_UNSYNCED + 2
    shutil.rmtree(root)
    shop.put(1, 1)
    with pytest.raises(StateError, match="No such file"):
        bucket.save()


def test_a_run_makes_a_new_base_when_many_runs_left_logs(root: Path) -> None:
    shop, bucket = begun(root)
    for number in range(3 * store.MOST_LOGS):
        shop.put(number, number)
        bucket.save()
        settled()
        token = committed(bucket.save())
        shop, bucket = resumed(root, token)
    assert shop.cells.numbers.tolist() == list(range(3 * store.MOST_LOGS))
    assert len(token["logs"]) <= 2 * store.MOST_LOGS + 4  # type: ignore[arg-type]
    assert named(token["bases"][0][0]).kind == BASE  # type: ignore[index]


def test_a_bucket_that_is_renewed_gets_two_bases_and_loses_all_older_files(root: Path) -> None:
    shop, kept = begun(root)
    shop.put(0, 4)
    token = committed(kept.save())
    shop, kept = resumed(root, token)
    older = {str(file) for file in files_in(root / "keep" / NAME)}
    kept.renew()
    saves = 0
    while kept.is_renewing:
        token = committed(kept.save())
        settled()
        saves += 1
        assert saves < 20
    left = {str(file) for file in files_in(root / "keep" / NAME)}
    assert not {each for each in left & older if named(each).run != kept._step.run}
    assert len([each for each in left if named(each).kind == BASE]) == 2
    assert state_at(root, token) == shop.state()

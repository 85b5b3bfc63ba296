"""The file of sources: what it may hold, and what happens while it changes."""

import asyncio
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.sources.file import SourcesFile
from connectors.sources.source import Sources, load_sources
from connectors.yaml_file import YamlFile
from contracts.errors import InputFileError

HASH = "sha256:" + "0123456789abcdef" * 4
KEY = f"{{hash: '{HASH}', created: 2026-11-22T09:00:00Z}}"
GOOD = f"sources:\n  web-shop:\n    keys: [{KEY}]\n    currency: EUR\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sources.yaml"


def test_a_file_names_its_sources(path: Path) -> None:
    path.write_text(GOOD)
    source = load_sources(path).sources["web-shop"]
    assert (source.name, source.keys[0].hash, source.currency) == ("web-shop", HASH, "EUR")


def test_without_a_file_there_are_no_sources(path: Path) -> None:
    assert load_sources(path).sources == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must hold `sources:`"),
        ("- web-shop", "must hold `sources:`"),
        ("sources: [web-shop]", "must hold `sources:`"),
        ("sources: {web-shop: [1]}", "sources.web-shop"),
        ("sources: {Web Shop: {}}", "sources.Web Shop"),
        ("sources: {1: {}}", "sources.1"),
        ("sources: {a: {keys: [{hash: wk_open, created: 2026-11-22T09:00:00Z}]}}", "sources.a.keys.0.hash"),
        (f"sources: {{a: {{keys: [{{hash: '{HASH}'}}]}}}}", "sources.a.keys.0.created"),
        (f"sources: {{a: {{keys: [{KEY}]}}, b: {{keys: [{KEY}]}}}}", "belongs to one source"),
        ("sources: {a: {}, a: {}}", 'in line 1, column 18 (found duplicate key "a")'),
        ("sources: {a: {colour: red}}", "sources.a.colour"),
        ("sources: {a: {name: b}}", "a: has another name inside"),
        ("sources:\n  a: {currency: [}\n", "not valid YAML in line 2"),
        ("sources: !!python/object/apply:os.system [ls]", "must hold `sources:`"),
        ("sources: " + "[" * 500, "not valid YAML"),
        ("sources:\n  a:\n    colour: red\n", "line 3, column 5: sources.a.colour: unknown key"),
        ("\x00", "not valid YAML"),
        ('sources:\n  a:\n    plan: "a\\0b"\n', "line 3, column 5: sources.a.plan: is no name"),
        ('sources:\n  a:\n    plan: "\\ud800"\n', "sources.a.plan: is no name"),
    ],
)
def test_what_is_wrong_is_named(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(InputFileError) as error:
        load_sources(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert "wk_open" not in str(error.value)


def test_a_directory_and_bytes_that_are_no_text_are_refused(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"\xff\xfe\xfd")
    for wrong in (tmp_path, path):
        with pytest.raises(InputFileError, match="cannot be read"):
            load_sources(wrong)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_changed_file_is_read_again_at_most_once_a_second(path: Path) -> None:
    clock = Clock()
    path.write_text(GOOD)
    file = SourcesFile(path, clock=clock)
    first = file.current()
    path.write_text(GOOD.replace("web-shop", "app"))
    assert file.current() is first
    clock.now = 1.0
    assert set(file.current().sources) == {"app"}


def test_an_unchanged_file_gives_the_same_object(path: Path) -> None:
    clock = Clock()
    path.write_text(GOOD)
    file = SourcesFile(path, clock=clock)
    first = file.current()
    clock.now = 5.0
    assert file.current() is first


def test_while_the_file_is_broken_the_last_good_one_holds(path: Path) -> None:
    clock = Clock()
    path.write_text(GOOD)
    file = SourcesFile(path, clock=clock)
    first = file.current()
    path.write_text("sources: [")
    clock.now = 1.0
    assert file.current() is first
    assert "not valid YAML" in str(file.problem)
    path.write_text(GOOD.replace("EUR", "USD"))
    clock.now = 2.0
    assert file.current().sources["web-shop"].currency == "USD"
    assert file.problem is None


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every reading of a file, as it happens."""
    seen: list[Path] = []
    text = YamlFile._text
    monkeypatch.setattr(YamlFile, "_text", lambda self, path: (seen.append(path), text(self, path))[1])
    return seen


def test_a_broken_file_is_read_once_until_it_changes(path: Path, reads: list[Path]) -> None:
    clock = Clock()
    file = SourcesFile(path, clock=clock)
    path.write_text("sources: [")
    for _ in range(3):  # also if it was never good
        with pytest.raises(InputFileError, match="not valid YAML"):
            file.current()
    assert len(reads) == 1
    path.write_text(GOOD)
    first = file.current()
    path.write_text("sources: [[")
    for clock.now in (1.0, 2.0, 3.0):
        assert file.current() is first
        assert "not valid YAML" in str(file.problem)
    assert len(reads) == 3


def test_a_broken_plan_is_read_once_until_it_changes(path: Path, reads: list[Path]) -> None:
    clock = Clock()
    path.write_text(GOOD)
    file = SourcesFile(path, clock=clock)
    first = file.current()
    path.write_text(GOOD + "    plan: new.yaml\n")
    for clock.now in (1.0, 2.0):
        assert file.current() is first
        assert "new.yaml" in str(file.problem)
    assert reads == [path, path, path.parent / "new.yaml"]
    (path.parent / "new.yaml").write_text("events: {Search: {}}")
    clock.now = 3.0
    assert file.current().sources["web-shop"].plan is not None
    assert file.problem is None


def test_a_reason_that_passes_is_not_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    path.write_text(GOOD)
    file = SourcesFile(path, clock=clock)
    first = file.current()
    path.write_text(GOOD.replace("EUR", "USD"))

    def too_many(self: Path, **_options: object) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", too_many)
        clock.now = 1.0
        assert file.current() is first
    clock.now = 2.0
    assert file.current().sources["web-shop"].currency == "USD"


def test_a_file_that_vanishes_takes_no_source_with_it(path: Path) -> None:
    clock = Clock()
    path.write_text(GOOD)
    file = SourcesFile(path, clock=clock)
    first = file.current()
    os.unlink(path)
    clock.now = 1.0
    assert file.current() is first
    assert "is gone" in str(file.problem)


def test_a_file_that_comes_later_is_found(path: Path) -> None:
    clock = Clock()
    file = SourcesFile(path, clock=clock)
    assert file.current().sources == {}
    path.write_text(GOOD)
    clock.now = 1.0
    assert set(file.current().sources) == {"web-shop"}


def test_a_file_that_was_never_good_is_an_error(path: Path) -> None:
    path.write_text("sources: [")
    with pytest.raises(InputFileError, match="not valid YAML"):
        SourcesFile(path).current()


def test_a_server_s_file_is_read_in_a_thread_and_told_once_if_it_is_broken(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(GOOD)
    readers: list[str] = []
    file = SourcesFile(path, check_seconds=0.001, check=lambda _: readers.append(threading.current_thread().name))

    async def serve() -> None:
        following = asyncio.create_task(file.follow())
        await until(lambda: file.current().sources)
        replace(path, "sources: [")
        await until(lambda: file.problem)
        assert set(file.current().sources) == {"web-shop"}
        await asyncio.sleep(0.02)  # it is looked at again and again
        replace(path, GOOD.replace("web-shop", "app"))
        await until(lambda: "app" in file.current().sources)
        following.cancel()
        await asyncio.wait([following])

    asyncio.run(serve())
    assert [name == threading.main_thread().name for name in readers] == [True, False]
    (told,) = caplog.messages
    assert told.startswith(f"Sources {path}: is not valid YAML")
    path.write_text(GOOD)
    file._looked_at = 0  # nobody follows any more: whoever asks looks
    assert set(file.current().sources) == {"web-shop"}


def test_nothing_ends_the_following_unseen(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text(GOOD)

    def check(sources: Sources) -> None:
        if "surprise" in sources.sources:
            raise ZeroDivisionError

    file = SourcesFile(path, check_seconds=0.001, check=check)

    async def serve() -> None:
        following = asyncio.create_task(file.follow())
        await until(lambda: file.current().sources)
        replace(path, "sources: {surprise: {}}")
        await until(lambda: file.problem)
        assert set(file.current().sources) == {"web-shop"}
        await asyncio.sleep(0.02)  # it is tried again and again
        assert "could not be read (ZeroDivisionError)" in str(file.problem)
        replace(path, GOOD.replace("web-shop", "app"))
        await until(lambda: "app" in file.current().sources)
        assert file.problem is None
        following.cancel()
        await asyncio.wait([following])

    asyncio.run(serve())
    (told,) = caplog.records
    assert told.exc_info is not None


def replace(path: Path, text: str) -> None:
    """Change a file in one step."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


async def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


def test_no_source_has_the_name_of_crmstream_s_own_events(path: Path) -> None:
    """Such a source could write Unlink events."""
    path.write_text("sources:\n  crmstream: {}\n", encoding="utf-8")
    with pytest.raises(InputFileError, match="is reserved"):
        load_sources(path)
    with pytest.raises(InputFileError, match="is reserved"):
        Sources().others("crmstream")

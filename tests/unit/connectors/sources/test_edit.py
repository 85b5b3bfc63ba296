"""Changes to the file of sources: what a person wrote stays, and no two changes meet."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.sources.edit import add_key, add_source, revoke
from connectors.sources.keys import KeyRing, key_hash
from connectors.sources.source import load_sources
from contracts.errors import InputFileError

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WRITTEN = """\
# who sends
sources:
  # the shop
  shop:   # since spring
    currency: "EUR"   # as in the till
    privacy:
      drop: [phone]
  app:
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "conf" / "sources.yaml"


def owner(path: Path, write_key: str) -> str | None:
    source = KeyRing(load_sources(path), lambda: NOW).source_of(write_key)
    return source.name if source else None


def test_a_new_source_has_a_key_of_which_only_the_hash_is_kept(path: Path) -> None:
    key = add_source(path, "web-shop", NOW, 100.0)
    source = load_sources(path).sources["web-shop"]
    assert owner(path, key) == "web-shop"
    assert (source.events_per_second, source.keys[0].created, source.keys[0].hash) == (100.0, NOW, key_hash(key))
    assert key not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_further_key_holds_beside_the_first_until_that_is_revoked(path: Path) -> None:
    first = add_source(path, "shop", NOW)
    second = add_key(path, "shop", NOW)
    assert owner(path, first) == owner(path, second) == "shop"
    assert revoke(path, "shop", NOW, key_hash(first)[7:15]) == [key_hash(first)]
    assert (owner(path, first), owner(path, second)) == (None, "shop")
    assert revoke(path, "shop", NOW) == [key_hash(second)]
    assert owner(path, second) is None
    assert len(load_sources(path).sources["shop"].keys) == 2


def test_what_a_person_wrote_stays(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(WRITTEN)
    path.chmod(0o640)
    keys = {name: add_key(path, name, NOW) for name in ("shop", "app")}
    text = path.read_text()
    for line in WRITTEN.splitlines():
        assert line in text.splitlines()
    assert [owner(path, key) for key in keys.values()] == ["shop", "app"]
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    add_source(path, "shop", NOW)
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    add_source(link, "app", NOW)
    assert link.is_symlink()
    assert set(load_sources(path).sources) == {"shop", "app"}


def test_many_at_once_lose_nothing(path: Path) -> None:
    names = [f"source-{number}" for number in range(12)]
    with ThreadPoolExecutor(6) as pool:
        keys = list(pool.map(lambda name: add_source(path, name, NOW), names))
    assert [owner(path, key) for key in keys] == names


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: add_source(path, "shop", NOW), "Source shop exists already"),
        (lambda path: add_source(path, "Web Shop", NOW), "can't name a source"),
        (lambda path: add_source(path, "", NOW), "can't name a source"),
        (lambda path: add_key(path, "app", NOW), "no source app"),
        (lambda path: revoke(path, "app", NOW), "no source app"),
        (lambda path: revoke(path, "shop", NOW, "zzzz"), "no such key"),
        (lambda path: add_source(path.parent, "app", NOW), "cannot be read"),
        (lambda path: add_source(path / "below", "app", NOW), "can't be changed"),
    ],
)
def test_a_wrong_change_is_refused_and_changes_nothing(path: Path, change: object, said: str) -> None:
    add_source(path, "shop", NOW)
    before = path.read_bytes()
    with pytest.raises(InputFileError, match=said):
        change(path)  # type: ignore[operator]
    assert path.read_bytes() == before


@pytest.mark.parametrize("text", ["sources: [", "[]", "sources: {a: {colour: red}}", "sources: {a: {}, a: {}}"])
def test_a_broken_file_is_left_as_it_is(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputFileError):
        add_source(path, "shop", NOW)
    assert path.read_text() == text
    assert sorted(os.listdir(path.parent)) == [".sources.yaml.lock", "sources.yaml"]

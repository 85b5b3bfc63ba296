"""The lock of Kafka's jars."""

import hashlib
from pathlib import Path

import pytest

from contracts.errors import StackError
from crmstream.stack import jars


@pytest.fixture
def lock() -> dict[str, str]:
    return {"a.jar": hashlib.sha256(b"a").hexdigest(), "b.jar": hashlib.sha256(b"b").hexdigest()}


def fake_download(monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes]) -> None:
    def download(staging: Path) -> Path:
        flat = staging / "jars"
        flat.mkdir()
        for name, data in content.items():
            (flat / name).write_bytes(data)
        return flat

    monkeypatch.setattr(jars, "_download", download)


def test_the_committed_lock_names_kafka_and_a_logger() -> None:
    lock = jars.read_lock()
    assert "kafka_2.13-4.1.0.jar" in lock
    assert "slf4j-simple-1.7.36.jar" in lock
    assert all(len(digest) == 64 for digest in lock.values())


def test_jars_are_kept_when_they_are_the_locked_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: dict[str, str]
) -> None:
    fake_download(monkeypatch, {"a.jar": b"a", "b.jar": b"b"})
    folder = tmp_path / "share" / "jars"
    assert jars.fetch_jars(folder, lock) is True
    assert jars.fetch_jars(folder, lock) is False
    assert {path.name for path in folder.iterdir()} == set(lock)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"a.jar": b"a", "b.jar": b"other"}, "b.jar: sha256 is"),
        ({"a.jar": b"a"}, "b.jar: missing"),
        ({"a.jar": b"a", "b.jar": b"b", "c.jar": b"c"}, "c.jar: not in the lock"),
    ],
)
def test_other_jars_are_refused_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock: dict[str, str], content: dict[str, bytes], problem: str
) -> None:
    fake_download(monkeypatch, content)
    with pytest.raises(StackError, match=problem):
        jars.fetch_jars(tmp_path / "jars", lock)
    assert list(tmp_path.iterdir()) == []


def test_missing_jars_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="run `make env`"):
        jars.kafka_class_path(tmp_path)

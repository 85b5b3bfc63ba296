"""Changes to the file of sources: comments, order and everything else in it stay as they are.

One change at a time, over all processes, by a lock file beside it; the file is replaced in one step, so a reader sees
all of a change or nothing, and a crash leaves the old file. A change that would break the file is not made.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from connectors.sources.keys import key_hash, new_key
from connectors.sources.source import SourceName, WriteKey, in_force, load_sources
from contracts.errors import InputFileError

_NAME: Final = TypeAdapter(SourceName)
_HEADER: Final = "Sources of events; docs/sources/README.md has every key."


def add_source(path: Path, name: str, now: datetime, events_per_second: float | None = None) -> str:
    """Add a source with a first write key, and return the key. Raises :class:`InputFileError`."""
    try:
        _NAME.validate_python(name)
    except ValidationError:
        raise InputFileError(
            f"{name!r} can't name a source: use up to 63 lower-case letters, digits, - and _, first a letter or digit."
        ) from None
    with _changing(path) as sources:
        if name in sources:
            raise InputFileError(f"Source {name} exists already. `crmstream source key {name}` makes it another key.")
        key = new_key()
        sources[name] = CommentedMap({"keys": CommentedSeq([_entry(key, now)])})
        if events_per_second is not None:
            sources[name]["events_per_second"] = events_per_second
        return key


def add_key(path: Path, name: str, now: datetime) -> str:
    """Give a source a further write key, and return the key. Raises :class:`InputFileError`."""
    with _changing(path) as sources:
        source = _source(sources, name)
        key = new_key()
        if not source.get("keys"):
            source["keys"] = CommentedSeq()
        source["keys"].append(_entry(key, now))
        return key


def revoke(path: Path, name: str, now: datetime, prefix: str | None = None) -> list[str]:
    """Revoke the keys of a source whose hash begins with ``prefix`` (None: all), and return their hashes.

    Raises :class:`InputFileError` if no key in force is meant.
    """
    with _changing(path) as sources:
        wanted = f"sha256:{(prefix or '').removeprefix('sha256:')}"
        meant = [
            entry
            for entry in _source(sources, name).get("keys") or ()
            if str(entry["hash"]).startswith(wanted) and in_force(WriteKey.model_validate(dict(entry)), now)
        ]
        if not meant:
            raise InputFileError(f"Source {name} has no such key in force. `crmstream source list` shows its keys.")
        for entry in meant:
            entry["revoked"] = _stamp(now)
        return [str(entry["hash"]) for entry in meant]


def _source(sources: Any, name: str) -> Any:
    if name not in sources:
        raise InputFileError(f"There is no source {name}. `crmstream source add {name}` makes it.")
    if sources[name] is None:
        sources[name] = CommentedMap()
    return sources[name]


def _entry(key: str, now: datetime) -> CommentedMap:
    entry = CommentedMap({"hash": key_hash(key), "created": _stamp(now)})
    entry.fa.set_flow_style()
    return entry


def _stamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@contextmanager
def _changing(path: Path) -> Iterator[Any]:
    """Give the sources of the file to be changed, and write it back if nothing is raised."""
    path = path.resolve()  # a link stays one
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4_096
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = _content(path, yaml)
            yield content["sources"]
            _replace(path, yaml, content)
    except OSError as error:
        raise InputFileError(f"Sources {path}: can't be changed ({error.strerror}).") from None


def _content(path: Path, yaml: YAML) -> CommentedMap:
    if not path.exists():
        new = CommentedMap({"sources": CommentedMap()})
        new.yaml_set_start_comment(_HEADER)
        return new
    load_sources(path)
    content: CommentedMap = yaml.load(path.read_text(encoding="utf-8"))
    return content


def _replace(path: Path, yaml: YAML, content: CommentedMap) -> None:
    """Write the file beside itself, make sure that it is well, and put it in the old one's place."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        yaml.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    load_sources(fresh)
    fresh.replace(path)

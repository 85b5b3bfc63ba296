"""The configured sources: who may send events, and how each one's events are treated at the door.

One YAML file (``CRM_SOURCES_FILE``) names them::

    sources:
      web-shop:
        keys:                              # write keys, hashed; made by `crmstream source add`
          - {hash: "sha256:9f86d0...", created: 2026-11-22T09:00:00Z}
          - {hash: "sha256:2c26b4...", created: 2026-01-05T09:00:00Z, revoked: 2026-11-22T09:00:00Z}
        events_per_second: 1000            # most that one key may send; unset: no limit
        currency: EUR                      # of amounts that name none

Moves no data.
"""

import os
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from connectors.webhooks.config import WebhookPart
from connectors.yaml_file import YamlFile
from contracts.errors import InputFileError
from contracts.events import Currency

SOURCES_FILE: Final = "sources.yaml"
"""The file's name in CRM_DATA_DIR where CRM_SOURCES_FILE names no other."""

SourceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WriteKey(_Part):
    """A write key as it is kept: only its hash."""

    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    created: AwareDatetime
    revoked: AwareDatetime | None = None


class Source(_Part):
    """One source of events. ``name`` goes into every event of it."""

    name: SourceName
    keys: tuple[WriteKey, ...] = ()
    events_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    currency: Currency | None = None
    webhook: WebhookPart | None = None


class Sources(_Part):
    """All sources of an installation, by name."""

    sources: dict[SourceName, Source] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        counts = Counter(key.hash for source in self.sources.values() for key in source.keys)
        twice = [one for one, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"the key {twice[0][:15]}... stands twice; a write key belongs to one source")
        wrong = [name for name, source in self.sources.items() if name != source.name]
        if wrong:
            raise ValueError(f"{wrong[0]}: has another name inside; leave `name` out")
        return self


def load_sources(path: Path) -> Sources:
    """Read the file of sources; without one there are none.

    Raises :class:`InputFileError` with every field at fault.
    """
    if not path.exists():
        return Sources()
    file = YamlFile(path, "Sources")
    content = file.content
    if not isinstance(content, dict) or not isinstance(content.get("sources"), dict):
        raise InputFileError(f"{file.name}: must hold `sources:` with a name for each; see docs/sources.")
    named = {name: _named(name, given) for name, given in content["sources"].items()}
    try:
        return Sources.model_validate({**content, "sources": named})
    except ValidationError as error:
        raise file.wrong(error) from None


def _named(name: object, given: object) -> object:
    """Put a source's name into it; one without anything is a source too."""
    if given is not None and not isinstance(given, dict):
        return given
    return {"name": name, **(given or {})}


def in_force(key: WriteKey, now: datetime | None = None) -> bool:
    """Whether a write key has not been revoked."""
    return key.revoked is None or key.revoked > (now or datetime.now(UTC))


def sources_path(data_dir: Path, sources_file: Path | None) -> Path:
    """Where the file of sources is, from the two settings that say so."""
    return sources_file or data_dir / SOURCES_FILE


class SourcesFile:
    """The file of sources while it may change: what it holds now, or held when it was last well.

    ``check_seconds`` is how often the file is looked at, at most; it is read again only if it looks changed.
    """

    def __init__(self, path: Path, check_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic):
        self.path = path
        self.problem: str | None = None
        self._check_seconds = check_seconds
        self._clock = clock
        self._looked_at = float("-inf")
        self._look: object = None
        self._sources: Sources | None = None

    def current(self) -> Sources:
        """Give the sources; the same object as long as nothing has changed.

        While a changed file is broken, the sources stay those from before and :attr:`problem` says why. Raises
        :class:`InputFileError` only if there has been no good file yet.
        """
        now = self._clock()
        if self._sources is None or now - self._looked_at >= self._check_seconds:
            self._looked_at = now
            self._refresh()
        if self._sources is None:
            raise InputFileError(self.problem or "")
        return self._sources

    def _refresh(self) -> None:
        look = _look(self.path)
        if look is None and self._look is not None:
            self.problem = f"Sources {self.path}: is gone; those that it held stay."
            return
        if self._sources is not None and look == self._look and self.problem is None:
            return
        try:
            self._sources = load_sources(self.path)
            self._look, self.problem = look, None
        except InputFileError as error:
            self.problem = str(error)


def _look(path: Path) -> tuple[int, int, int] | None:
    """How a file looks from outside; None if it is not there."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino

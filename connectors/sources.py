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

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

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


class Sources(_Part):
    """All sources of an installation, by name."""

    sources: dict[SourceName, Source] = Field(default_factory=dict)


def load_sources(path: Path) -> Sources:
    """Read the file of sources; without one there are none.

    Raises :class:`InputFileError` with every field at fault.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Sources()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileError(f"Sources {path}: cannot be read ({type(error).__name__}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise InputFileError(f"Sources {path}: is not valid YAML{where}.") from None
    return parse_sources(loaded, str(path))


def parse_sources(loaded: Any, where: str) -> Sources:
    """Check the content of a file of sources."""
    if not isinstance(loaded, dict) or not isinstance(loaded.get("sources"), dict):
        raise InputFileError(f"Sources {where}: must hold `sources:` with a name for each; see docs/sources.")
    named = {
        name: {"name": name, **(content or {})} if isinstance(content or {}, dict) else content
        for name, content in loaded["sources"].items()
    }
    try:
        return Sources.model_validate({**loaded, "sources": named})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()]
        raise InputFileError(f"Sources {where}: " + "; ".join(dict.fromkeys(lines))) from None


def in_force(key: WriteKey, now: datetime | None = None) -> bool:
    """Whether a write key has not been revoked."""
    return key.revoked is None or key.revoked > (now or datetime.now(UTC))


def sources_path(data_dir: Path, sources_file: Path | None) -> Path:
    """Where the file of sources is, from the two settings that say so."""
    return sources_file or data_dir / SOURCES_FILE

"""The configured sources: who may send events, and how each one's events are treated at the door.

One YAML file (``CRM_SOURCES_FILE``) names them::

    sources:
      web-shop:
        keys:                              # write keys, hashed; made by `crmstream source add`
          - {hash: "sha256:9f86d0...", created: 2026-11-22T09:00:00Z}
          - {hash: "sha256:2c26b4...", created: 2026-01-05T09:00:00Z, revoked: 2026-11-22T09:00:00Z}
        events_per_second: 1000            # most that one key, or its webhooks, may send; unset: no limit
        currency: EUR                      # of amounts that name none
        clock: trusted                     # or corrected; unset: by the SDK (connectors/collector/clocks.py)
        privacy: {drop: [traits.phone], hash: [email]}   # connectors/privacy/rules.py
        plan: web-shop.plan.yaml           # connectors/plan/plan.py; beside this file, or an absolute path
    default:                               # holds for every source that is not named; no keys, no webhooks
      privacy: {drop: [traits.phone]}

Moves no data.
"""

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, Field, ValidationError, model_validator

from connectors.look import Look, look_of
from connectors.plan.plan import Plan, load_plan
from connectors.privacy.rules import PrivacyRules
from connectors.sources.webhook import WebhookPart
from connectors.yaml_file import Part, YamlFile
from contracts.currencies import CurrencyCode
from contracts.errors import InputFileError
from contracts.events import Identifier
from contracts.unlinks import OWN_SOURCE

SOURCES_FILE: Final = "sources.yaml"
"""The file's name in CRM_DATA_DIR where CRM_SOURCES_FILE names no other."""

SourceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]

_RESERVED: Final = "is reserved for the events that crmstream itself writes"

Clock = Literal["trusted", "corrected"]
"""Whether the times of SDKs stand as they are, or are corrected by when the sender says to have sent them."""


class WriteKey(Part):
    """A write key as it is kept: only its hash."""

    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    created: AwareDatetime
    revoked: AwareDatetime | None = None


class PlanFile(Part):
    """A tracking plan, and the file that it was read from."""

    path: Path
    plan: Plan


class Rules(Part):
    """How the events of a source are treated at the door."""

    currency: CurrencyCode | None = None
    clock: Clock | None = None
    privacy: PrivacyRules = PrivacyRules()
    plan: PlanFile | None = None

    @property
    def protects(self) -> bool:
        """Whether there are privacy rules or a plan, which must not be off unnoticed."""
        return self.plan is not None or self.privacy != PrivacyRules()


class Source(Rules):
    """One source of events. ``name`` goes into every event of it."""

    name: Identifier
    keys: tuple[WriteKey, ...] = ()
    events_per_second: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    webhook: WebhookPart | None = None


class Sources(Part):
    """All sources of an installation, by name. ``default`` holds for every source that is not named."""

    sources: dict[SourceName, Source] = Field(default_factory=dict)
    default: Rules | None = None

    def others(self, name: str) -> Source:
        """Give a source that is not named: the rules of ``default``, or none. Raises InputFileError for crmstream's."""
        if name == OWN_SOURCE:
            raise InputFileError(f"Source {name}: {_RESERVED}.")
        rules = self.default or Rules()
        return Source(name=name, currency=rules.currency, privacy=rules.privacy, plan=rules.plan)

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        counts = Counter(key.hash for source in self.sources.values() for key in source.keys)
        twice = [one for one, count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"the key {twice[0][:15]}... stands twice; a write key belongs to one source")
        if OWN_SOURCE in self.sources:
            raise ValueError(f"{OWN_SOURCE}: {_RESERVED}")
        wrong = [name for name, source in self.sources.items() if name != source.name]
        if wrong:
            raise ValueError(f"{wrong[0]}: has another name inside; leave `name` out")
        return self


def load_sources(path: Path, looks: dict[Path, Look | None] | None = None) -> Sources:
    """Read the file of sources and their plans; without one there are none.

    ``looks`` is given every file that was opened, however it ends, and how it looked before (None: not there). Raises
    :class:`InputFileError` with every field at fault.
    """
    looks = {} if looks is None else looks
    looks[path] = look_of(path)
    if _is_missing(path):
        return Sources()
    file = YamlFile(path, "Sources")
    content = file.content
    if not isinstance(content, dict) or not isinstance(content.get("sources"), dict):
        raise InputFileError(f"{file.name}: must hold `sources:` with a name for each; see docs/sources.")
    named = {name: _whole(("sources", name), given, file, looks) for name, given in content["sources"].items()}
    default = {"default": _planned(("default",), content["default"] or {}, file, looks)} if "default" in content else {}
    try:
        return Sources.model_validate({**content, "sources": named, **default})
    except ValidationError as error:
        raise file.wrong(error, Sources) from None


def _whole(place: tuple[str, object], given: object, sources: YamlFile, looks: dict[Path, Look | None]) -> object:
    """Put a source's name into it, and its plan; one without anything is a source too."""
    if given is not None and not isinstance(given, dict):
        return given
    return _planned(place, {"name": place[1], **(given or {})}, sources, looks)


def _planned(place: tuple[object, ...], given: object, sources: YamlFile, looks: dict[Path, Look | None]) -> object:
    """Put the plan in the place of its file's name."""
    if not isinstance(given, dict) or not isinstance(file := given.get("plan"), str):
        return given
    path = sources.path.parent / file
    looks[path] = look_of(path)
    try:
        return {**given, "plan": PlanFile(path=path, plan=load_plan(path))}
    except ValueError:  # a null byte, half a character
        raise sources.at((*map(str, place), "plan"), "is no name that a file can have") from None


def in_force(key: WriteKey, now: datetime | None = None) -> bool:
    """Whether a write key has not been revoked."""
    return key.revoked is None or key.revoked > (now or datetime.now(UTC))


def sources_path(data_dir: Path, sources_file: Path | None) -> Path:
    """Where the file of sources is, from the two settings that say so."""
    return sources_file or data_dir / SOURCES_FILE


def _is_missing(path: Path) -> bool:
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    except OSError:  # whatever it is, reading tells it
        return False
    return False

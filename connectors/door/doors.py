"""The doors of configured sources, made anew when their source in the file changes. Moves no data."""

import logging
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from pydantic import SecretStr

from connectors.door.door import Door
from connectors.door.money import MoneyGate
from connectors.sources.file import SourcesFile
from connectors.sources.source import Source, Sources
from contracts.errors import CrmError, InputFileError

_log = logging.getLogger(__name__)


def open_doors(
    sources: Sources, stage: str, privacy_key: SecretStr | None, money: MoneyGate | None = None
) -> dict[str, Door]:
    """Make the door of every source. ``stage`` names the connector in dead letters.

    Raises :class:`contracts.errors.SettingsError` if one needs a key that is not set.
    """
    return {name: Door(source, stage, privacy_key, money=money) for name, source in sources.sources.items()}


class _Made(NamedTuple):
    """What a source was when it was looked at last, its door, and why that is the one from before, if it is."""

    source: Source
    door: Door
    problem: str | None = None


class Doors:
    """Gives each source its door when it is asked for: what is wrong with others does not concern it.

    A change of the file, or of the source, that cannot be followed is not: what was, stays. ``is_set``: somebody has
    said that the file is there, so that one that is missing is an error.
    """

    def __init__(  # noqa: PLR0913 - each is one thing of the installation
        self,
        path: Path,
        stage: str,
        privacy_key: SecretStr | None,
        check_seconds: float = 1.0,
        *,
        is_set: bool = False,
        money: MoneyGate | None = None,
    ):
        self.money = money or MoneyGate()
        self._made: dict[str, _Made] = {}
        self._named = set[str]()
        self._stage = stage
        self._key = privacy_key
        self._is_set = is_set
        self._file = SourcesFile(path, check_seconds)

    @property
    def problem(self) -> str | None:
        """Why a change of the file of sources, or of a source whose door was asked for, could not be followed."""
        return self._file.problem or next((made.problem for made in self._made.values() if made.problem), None)

    def door(self, name: str) -> Door:
        """Give the door of a source by its name: with its rules, or with those of ``default`` if it is not named.

        Raises :class:`InputFileError` if the file neither names the source nor has a ``default``, and there are sources
        with privacy rules or a plan, or it was named before: a misspelled name must not switch rules off;
        :class:`contracts.errors.CrmError` if the file, or this source, has never been well.
        """
        source, made = self._source(name), self._made.get(name)
        if made is None or made.source is not source:
            made = self._made[name] = self._make(source, made)
        return made.door

    def notice(self, name: str) -> str | None:
        """Say that a source is not in the file, if there is one, and so has no rules; None if that is not so."""
        sources = self._file.current()
        if name in sources.sources or sources.default is not None or not self._file.is_there:
            return None
        return f"Source {name} is not in {self._file.path}, so it has no rules. `crmstream source add {name}` adds it."

    def _source(self, name: str) -> Source:
        sources = self._file.current()
        if (source := sources.sources.get(name)) is not None:
            self._named.add(name)
            return source
        if sources.default is not None:
            return sources.others(name)
        missing = self._is_set and not self._file.is_there
        if missing or name in self._named or any(other.protects for other in sources.sources.values()):
            raise _unknown(self._file, name, sources.sources)
        return sources.others(name)

    def _make(self, source: Source, before: _Made | None) -> _Made:
        if before is not None and before.source == source:  # the file was read again
            return before._replace(source=source)
        try:
            return _Made(source, Door(source, self._stage, self._key, money=self.money))
        except CrmError as error:
            if before is None:
                raise
            _log.error("%s What was in force before for source %s stays so.", error, source.name)
            return _Made(source, before.door, str(error))


def _unknown(file: SourcesFile, name: str, known: Collection[str]) -> InputFileError:
    holds = f"names no source {name!r}, only {', '.join(known) or 'nothing'}" if file.is_there else "is not there"
    return InputFileError(
        f"Sources {file.path}: {holds}, so no privacy rules and no plan would hold for what comes from {name!r}. "
        f"`crmstream source add {name}` adds it; `default:` beside `sources:` has rules for all that are not named; or "
        "write another name as `source:` where the rows are mapped."
    )

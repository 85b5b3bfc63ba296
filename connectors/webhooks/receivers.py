"""The receivers of all sources of webhooks, while the file of sources and the mappings may change. Moves no data."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from connectors.door.door import Door
from connectors.sources.source import Source, Sources
from connectors.sources.webhook import MissingSecretError
from connectors.webhooks.mapping import mapping_path
from connectors.webhooks.receiver import STAGE, Receiver
from contracts.errors import InputFileError, SettingsError

_log = logging.getLogger(__name__)


class UnusableSourceError(Exception):
    """A source whose mapping or door cannot be made. The log says why."""


class _Made(NamedTuple):
    """A receiver (None if it cannot be made), what of, and how the mapping's file looked."""

    source: Source
    look: tuple[int, int] | None
    receiver: Receiver | None


class Receivers:
    """The receivers, made when they are first needed, and anew when their source or mapping changes.

    ``sources`` gives the sources as they are now; ``door`` makes the door of one; ``folder`` is where the paths of
    their mappings begin; ``environment`` holds the secrets.
    """

    def __init__(
        self,
        sources: Callable[[], Sources],
        folder: Path | None = None,
        *,
        door: Callable[[Source], Door] = lambda source: Door(source, STAGE),
        environment: Mapping[str, str] = os.environ,
    ):
        self._sources = sources
        self._folder = folder
        self._door = door
        self._environment = environment
        self._made: dict[str, _Made] = {}

    def find(self, name: str) -> Receiver | None:
        """Give the receiver of a source; None if there is no such source of webhooks.

        While a changed mapping is broken, the receiver stays the one from before. Raises :class:`InputFileError` if
        there has been no good file of sources yet, and :class:`UnusableSourceError`.
        """
        source = self._sources().sources.get(name)
        if source is None or source.webhook is None:
            return None
        look = _look(mapping_path(source.webhook.mapping, self._folder))
        made = self._made.get(name)
        if made is None or made.source != source or made.look != look:
            made = self._made[name] = _Made(source, look, self._make(source, made))
        if made.receiver is None:
            raise UnusableSourceError
        return made.receiver

    def doubts(self) -> list[str]:
        """Tell, at the start, which sources' webhooks will be kept out: wrong mappings, variables that are not set."""
        sources = [source for source in self._sources().sources.values() if source.webhook is not None]
        return [doubt for source in sources if (doubt := self._doubt(source))]

    def _doubt(self, source: Source) -> str | None:
        try:
            self._new(source).part.secrets(self._environment)
        except (InputFileError, SettingsError, MissingSecretError) as error:
            return f"Webhooks of source {source.name} get 503: {str(error).rstrip('.')}."
        return None

    def _make(self, source: Source, before: _Made | None) -> Receiver | None:
        doubt = self._doubt(source)
        try:
            receiver = self._new(source)
        except (InputFileError, SettingsError) as error:
            if before is not None and before.receiver is not None and before.source == source:
                _log.error("Source %s keeps the mapping from before: %s", source.name, error)
                return before.receiver
            receiver = None
        if doubt:
            _log.error(doubt)
        return receiver

    def _new(self, source: Source) -> Receiver:
        return Receiver(self._door(source), self._folder, self._environment)


def _look(path: Path | None) -> tuple[int, int] | None:
    """How a mapping's file looks from outside; None for a shipped one, and for one that is not there."""
    try:
        stat = os.stat(path) if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size) if stat else None

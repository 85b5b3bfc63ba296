"""The receivers of all sources of webhooks, while the file of sources and the mappings may change. Moves no data."""

import asyncio
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
        self._making = asyncio.Lock()

    async def ready(self, name: str) -> Receiver | None:
        """Give the same as :meth:`find`; a receiver that must be made is made in a thread, for that takes long."""
        if not self._is_made(name):
            async with self._making:
                if not self._is_made(name):
                    return await asyncio.to_thread(self.find, name)
        return self.find(name)

    def find(self, name: str) -> Receiver | None:
        """Give the receiver of a source; None if there is no such source of webhooks.

        While a changed mapping is broken, the receiver stays the one from before. Raises :class:`InputFileError` if
        there has been no good file of sources yet, and :class:`UnusableSourceError`.
        """
        source = self._sources().sources.get(name)
        if source is None or source.webhook is None:
            return None
        if not self._is_made(name):
            look = _look(mapping_path(source.webhook.mapping, self._folder))
            self._made[name] = _Made(source, look, self._make(source, self._made.get(name)))
        receiver = self._made[name].receiver
        if receiver is None:
            raise UnusableSourceError
        return receiver

    def doubts(self) -> list[str]:
        """Make all, at the start; tell which sources' webhooks will be kept out: wrong mappings, unset variables."""
        told = []
        for source in self._sources().sources.values():
            if source.webhook is not None:
                look = _look(mapping_path(source.webhook.mapping, self._folder))
                receiver, problem = self._new(source)
                self._made[source.name] = _Made(source, look, receiver)
                told += [_kept_out(source, problem)] if problem else []
        return told

    def _is_made(self, name: str) -> bool:
        """Whether there is nothing to be made, because nothing has changed, or there is no such source."""
        source, made = self._sources().sources.get(name), self._made.get(name)
        if source is None or source.webhook is None:
            return True
        if made is None or made.look != _look(mapping_path(source.webhook.mapping, self._folder)):
            return False
        if made.source is not source and made.source == source:  # the file was read again
            self._made[name] = made._replace(source=source)
        return made.source == source

    def _make(self, source: Source, before: _Made | None) -> Receiver | None:
        receiver, problem = self._new(source)
        if receiver is None and before is not None and before.receiver is not None and before.source == source:
            _log.error("Source %s keeps the mapping from before: %s", source.name, problem)
            return before.receiver
        if problem:
            _log.error(_kept_out(source, problem))
        return receiver

    def _new(self, source: Source) -> tuple[Receiver | None, str | None]:
        """Make a receiver, and tell what is wrong with it."""
        try:
            receiver = Receiver(self._door(source), self._folder, self._environment)
        except (InputFileError, SettingsError) as error:
            return None, str(error)
        try:
            receiver.part.secrets(self._environment)
        except MissingSecretError as error:
            return receiver, str(error)
        return receiver, None


def _kept_out(source: Source, problem: str) -> str:
    return f"Webhooks of source {source.name} get 503: {problem.rstrip('.')}."


def _look(path: Path | None) -> tuple[int, int] | None:
    """How a mapping's file looks from outside; None for a shipped one, and for one that is not there."""
    try:
        stat = os.stat(path) if path else None
    except OSError:
        return None
    return (stat.st_mtime_ns, stat.st_size) if stat else None

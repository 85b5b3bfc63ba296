"""The receivers of all sources of webhooks, while the file of sources and the mappings may change. Moves no data."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from connectors.door.door import Door
from connectors.look import Look, look_of
from connectors.sources.source import Source, Sources
from connectors.sources.webhook import MissingSecretError
from connectors.webhooks.mapping import mapping_path
from connectors.webhooks.receiver import STAGE, Receiver
from connectors.yaml_file import PassingFileError
from contracts.errors import InputFileError, SettingsError

_log = logging.getLogger(__name__)


class UnusableSourceError(Exception):
    """A source whose mapping or door cannot be made. The log says why."""


class _Made(NamedTuple):
    """A receiver (None if it cannot be made), what of, and how the mapping's file looked (None: shipped, or gone)."""

    source: Source
    look: Look | None
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
        self._passing: dict[str, str] = {}
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
        receiver = self._made[name].receiver if self._is_made(name) else self._made_anew(source, source.webhook.mapping)
        if receiver is None:
            raise UnusableSourceError
        return receiver

    def doubts(self) -> list[str]:
        """Make all, at the start; tell which sources' webhooks will be kept out: wrong mappings, unset variables."""
        told = []
        for source in self._sources().sources.values():
            if source.webhook is not None:
                problem = self._problem(source, source.webhook.mapping)
                told += [_kept_out(source, problem)] if problem else []
        return told

    def _problem(self, source: Source, mapping: str) -> str | None:
        """Make a source's receiver for the first time, and tell what is wrong with it."""
        look = self._look(mapping)
        try:
            receiver, problem = self._new(source)
        except PassingFileError as error:
            return str(error)
        self._made[source.name] = _Made(source, look, receiver)
        return problem

    def _is_made(self, name: str) -> bool:
        """Whether there is nothing to be made, because nothing has changed, or there is no such source."""
        source, made = self._sources().sources.get(name), self._made.get(name)
        if source is None or source.webhook is None:
            return True
        if made is None or made.look != self._look(source.webhook.mapping):
            return False
        if made.source is not source and made.source == source:  # the file was read again
            self._made[name] = made._replace(source=source)
        return made.source == source

    def _made_anew(self, source: Source, mapping: str) -> Receiver | None:
        """Make a receiver and keep it, or that there is none; but not if the reason may pass: then it is tried again.

        Whoever calls cannot fill the log: it is told of the same reason once.
        """
        before, look = self._made.get(source.name), self._look(mapping)
        try:
            receiver = self._make(source, before)
        except PassingFileError as error:
            if self._passing.get(source.name) != str(error):
                _log.error("%s", error)
            self._passing[source.name] = str(error)
            return before.receiver if before is not None and before.source == source else None
        self._made[source.name] = _Made(source, look, receiver)
        self._passing.pop(source.name, None)
        return receiver

    def _look(self, mapping: str) -> Look | None:
        path = mapping_path(mapping, self._folder)
        return look_of(path) if path else None

    def _make(self, source: Source, before: _Made | None) -> Receiver | None:
        receiver, problem = self._new(source)
        if receiver is None and before is not None and before.receiver is not None and before.source == source:
            _log.error("Source %s keeps the mapping from before: %s", source.name, problem)
            return before.receiver
        if problem:
            _log.error(_kept_out(source, problem))
        return receiver

    def _new(self, source: Source) -> tuple[Receiver | None, str | None]:
        """Make a receiver, and tell what is wrong with it. Raises :class:`PassingFileError`."""
        try:
            receiver = Receiver(self._door(source), self._folder, self._environment)
        except PassingFileError:
            raise
        except (InputFileError, SettingsError) as error:
            return None, str(error)
        try:
            receiver.part.secrets(self._environment)
        except MissingSecretError as error:
            return receiver, str(error)
        return receiver, None


def _kept_out(source: Source, problem: str) -> str:
    return f"Webhooks of source {source.name} get 503: {problem.rstrip('.')}."

"""The file of sources while it may change: read again when it looks changed, in force if it is well. Moves no data."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from connectors.look import Look, look_of
from connectors.sources.source import Sources, load_sources
from connectors.yaml_file import PassingFileError
from contracts.errors import CrmError, InputFileError

LEAST_SECONDS: Final = 0.2
"""Between two looks of :meth:`SourcesFile.catch_up`, at least: wrong keys must not keep it looking all the time."""
_log = logging.getLogger(__name__)


class SourcesFile:
    """The file of sources and their plans while they may change: what they hold now, or held when last well.

    ``check_seconds`` is how often the files are looked at, at most; they are read again only if one looks changed,
    be they well or broken: reading many takes long, and everybody waits. A server has :meth:`follow` do both beside
    its work. ``check`` may refuse what they hold, by raising :class:`CrmError`.
    """

    def __init__(
        self,
        path: Path,
        check_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        check: Callable[[Sources], object] = bool,
    ):
        self.path = path
        self.problem: str | None = None
        self._check = check
        self._check_seconds = check_seconds
        self._clock = clock
        self._looked_at = float("-inf")
        self._followed = False
        self._reading = threading.Lock()
        self._caught_up_at = float("-inf")
        self._catching_up = asyncio.Lock()
        self._looks: dict[Path, Look | None] = {}
        self._broken: CrmError | None = None
        self._was_there = False
        self._sources: Sources | None = None

    @property
    def is_there(self) -> bool:
        """Whether there has been a file, when it was last well."""
        return self._was_there

    def current(self) -> Sources:
        """Give the sources; the same object as long as nothing has changed.

        While a changed file is broken, the sources stay those from before, :attr:`problem` says why, and the log does
        once. Raises :class:`CrmError` only if there has been no good file yet.
        """
        if self._sources is not None and (self._followed or self._clock() - self._looked_at < self._check_seconds):
            return self._sources
        return self._refreshed()

    async def follow(self) -> None:
        """Look and read in a thread from now on, until cancelled: whoever asks is given what was read last, at once.

        Raises :class:`CrmError` if there has been no good file yet; whatever goes wrong later is told in the log.
        """
        if self._sources is None:
            self.current()
        self._followed = True
        try:
            while True:
                await asyncio.sleep(self._check_seconds)
                await asyncio.to_thread(self._refresh)
        finally:
            self._followed = False  # then whoever asks looks

    async def catch_up(self) -> None:
        """See to a look that began after this call, in a thread; for who misses what may have come this moment.

        Looks a few times a second at most, however many ask: they wait for it together.
        """
        asked = self._clock()
        async with self._catching_up:
            if self._caught_up_at > asked:
                return
            await asyncio.sleep(max(0.0, self._caught_up_at + LEAST_SECONDS - self._clock()))
            self._caught_up_at = self._clock()
            await asyncio.to_thread(self._refresh)

    def _refresh(self) -> None:
        """Look, and live through all that may happen: a server would follow no further, and nobody would see it."""
        try:
            self._refreshed()
        except Exception as error:  # noqa: BLE001 - no kind of error may end the following; none is left out of the log
            problem = f"Sources {self.path}: could not be read ({type(error).__name__}); the log says more."
            if self.problem != problem:
                _log.exception("%s What was in force before stays so.", problem)
            self.problem = problem

    def _refreshed(self) -> Sources:
        with self._reading:
            self._looked_at = self._clock()
            try:
                self._sources = self._read()
                self.problem = None
            except CrmError as error:
                if self._sources is None:
                    raise
                if self.problem != str(error):
                    _log.error("%s What was in force before stays so.", error)
                self.problem = str(error)
            return self._sources

    def _read(self) -> Sources:
        looks = {path: look_of(path) for path in self._looks}
        if self._was_there and look_of(self.path) is None:
            raise InputFileError(f"Sources {self.path}: is gone.")
        if looks and looks == self._looks:
            if self._broken is not None:
                raise self._broken.with_traceback(None)  # or it would grow each time
            if self._sources is not None:
                return self._sources
        return self._load()

    def _load(self) -> Sources:
        """Read the files, and remember how they looked before, and what is wrong in them if that stays."""
        looks: dict[Path, Look | None] = {}
        self._looks, self._broken = {}, None
        try:
            sources = load_sources(self.path, looks)
            self._check(sources)
        except PassingFileError:
            raise
        except CrmError as error:
            self._looks, self._broken = looks, error
            raise
        self._looks = looks
        self._was_there = looks[self.path] is not None
        return sources

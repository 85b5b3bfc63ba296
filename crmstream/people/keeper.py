"""Restarts the workers when somebody is to be forgotten or suppressed: they read the list as they start."""

import time
from collections.abc import Callable
from typing import Final, Protocol

from contracts.errors import CrmError
from contracts.forgotten import forgotten_path, read_forgotten
from contracts.settings import Settings
from contracts.whole_files import Fingerprint, fingerprint

LOOK_SECONDS: Final = 0.5
"""How often the file is looked at."""


class Stack(Protocol):
    """What is needed of a stack that runs."""

    def restart_workers(self, reason: str) -> None: ...  # noqa: D102


class ForgottenKeeper:
    """The keeper of one installation; ``say`` is called with what people should know."""

    def __init__(
        self, settings: Settings, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ):
        self._path, self._say, self._clock = forgotten_path(settings), say, clock
        self._request = ""
        self._look: Fingerprint | None = None
        self._next_look = 0.0

    def begin(self) -> None:
        """Read the list, before workers start. Raises :class:`contracts.errors.SettingsError` if it is damaged."""
        self._look = fingerprint(self._path)
        found = read_forgotten(self._path)
        self._request = found.request
        if found.pending:
            self._say("the erasure of people is not finished: `crmstream forget --pending` goes on with it")

    def look_after(self, stack: Stack) -> None:
        """Restart the workers if more is to be left out or removed. Call it often; it looks about twice a second."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        look = fingerprint(self._path)
        if look == self._look:
            return
        self._look = look
        try:
            found = read_forgotten(self._path)
        except CrmError as error:
            self._say(f"the workers go on with the list of forgotten people as it was: {error}")
            return
        if found.request != self._request:
            self._request = found.request
            stack.restart_workers("the list of forgotten people changed")

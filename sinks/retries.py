"""Calls a store until it answers.

An outage is logged twice: a warning at its start, a line at its end. The metric ``crm_store_retries`` counts retries.
Pauses grow from a tenth of a second to five seconds, with jitter, so that writers do not all return at once.
"""

import logging
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from contracts.errors import StoreUnavailableError
from contracts.metrics import STORE_RETRIES
from contracts.outages import calling, waiting_for

T = TypeVar("T")
_LOG = logging.getLogger(__name__)
_MESSAGE_LIMIT: Final = 300
_QUOTED: Final = re.compile(r"'[^']*'")


@dataclass(frozen=True)
class Retrying:
    """Calls ``store`` again while ``is_outage`` returns True for its error.

    ``wait(seconds)`` pauses and returns True if the caller should give up (such as ``threading.Event().wait``).
    ``aside``: the process goes on meanwhile (:func:`contracts.outages.waiting_for`).
    """

    store: str
    is_outage: Callable[[Exception], bool]
    wait: Callable[[float], bool]
    first_pause_seconds: float = 0.1
    longest_pause_seconds: float = 5.0
    aside: bool = False

    def call(self, action: Callable[[], T]) -> T:
        """Call ``action``, which must be repeatable, until it succeeds, and return its result.

        Raises the error of ``action`` if it is not an outage, and StoreUnavailableError if ``wait`` returns True.
        """
        try:
            with calling(self.store):
                return action()
        except Exception as error:
            if not self.is_outage(error):
                raise
            with waiting_for(self.store, aside=self.aside):
                return self._call_again(action, error)

    def _call_again(self, action: Callable[[], T], error: Exception) -> T:
        failures = 0
        while True:
            self._pause(failures, error)
            failures += 1
            try:
                result = action()
            except Exception as another:
                if not self.is_outage(another):
                    raise
                error = another
            else:
                _LOG.info("%s answers again, after %d tries", self.store, failures)
                return result

    def _pause(self, failures: int, error: Exception) -> None:
        """Log the first failure of an outage, and wait before the next try."""
        if not failures:
            message = first_line(error)
            _LOG.warning("%s does not answer; trying again: %s: %s", self.store, type(error).__name__, message)
        STORE_RETRIES.labels(self.store).inc()
        pause = min(self.longest_pause_seconds, self.first_pause_seconds * 2 ** min(failures, 16))
        if self.wait(pause * random.uniform(0.5, 1.0)):  # noqa: S311 (jitter, not a secret)
            raise StoreUnavailableError(f"{self.store} did not answer before its writer was closed") from error


def first_line(error: Exception) -> str:
    """Return the first line of an error, without quoted values, which may be a customer's."""
    line = (str(error).strip().splitlines() or [""])[0]
    return _QUOTED.sub("'...'", line)[:_MESSAGE_LIMIT]

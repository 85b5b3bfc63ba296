"""Log lines about refused webhooks: which source, why, how often. A flood of them cannot fill the disk.

A line never holds a value of a body. The first refusal of a source is logged at once; those that follow within
:data:`SECONDS` are counted and logged in one line. Moves no data.
"""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from connectors.collector.answers import AnswerError
from contracts.wire import RejectedError

SECONDS: Final = 60.0
MOST_REASONS: Final = 10
"""Reasons of one source that are counted apart."""
UNKNOWN: Final = "(not configured)"
"""The name in the log of all sources that are not configured: anybody can think of names."""
_OTHERS: Final = "other reasons"
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9_.]{1,80}")
_log = logging.getLogger(__name__)
Later = Callable[[float, Callable[[], None]], object]
"""Calls something after so many seconds."""


def _call_later(seconds: float, call: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, call)


class RefusalLog:
    """Logs refused webhooks, at most two lines a minute for each source."""

    def __init__(self, later: Later = _call_later):
        self._later = later
        self._counts: dict[str, Counter[str]] = {}

    def note(self, source: str, reason: str) -> None:
        """Log a refusal, or count it if the source has had one within the last minute."""
        counts = self._counts.get(source)
        if counts is None:
            _log.warning("Source %s: a webhook was refused: %s.", source, reason)
            self._open(source)
        else:
            counts[reason if reason in counts or len(counts) < MOST_REASONS else _OTHERS] += 1

    def _open(self, source: str) -> None:
        self._counts[source] = Counter()
        self._later(SECONDS, lambda: self._close(source))

    def _close(self, source: str) -> None:
        counts = self._counts.pop(source)
        if counts:
            told = "; ".join(f"{reason} ({count:,})" for reason, count in counts.most_common())
            _log.warning("Source %s: %s more webhooks were refused: %s.", source, f"{counts.total():,}", told)
            self._open(source)


def why_failed(error: AnswerError) -> str:
    """Word why a request was answered with a failure; the same text for the same reason."""
    reason = "it sends too much" if error.code == "rate_limited" else str(error).removeprefix("Not taken: ").rstrip(".")
    return f"{error.status} {reason}"


def why_refused(problems: list[RejectedError]) -> str:
    """Word the first problem of a webhook whose events were refused. Odd names in its field are left out."""
    first = problems[0]
    field = first.field if _PLAIN_PATH.fullmatch(first.field) else first.field.partition(".")[0][:20]
    return f"{field}: {first.problem} (the body is in the dead letters)"

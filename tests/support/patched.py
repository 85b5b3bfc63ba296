"""Runs a program with functions replaced, as a process of its own: python -m support.patched MODULE:FUNCTION ...

The environment says what is replaced: ``CRM_TEST_KILL`` is ``module:name:n`` (the process is killed with -9 at the n-th
call of a function, before it does anything), ``CRM_TEST_SMALL`` makes bases, slices and rests small, so that a small
history has many of them. Product code has no such switches.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial, reduce
from importlib import import_module
from typing import Any

KILL, SMALL = "CRM_TEST_KILL", "CRM_TEST_SMALL"
SLICE = 2
"""Customers in a slice of a sweep."""


def kill_at(place: str) -> None:
    """Replace the function at ``module:name:n`` by one that kills the process at its n-th call."""
    module, name, number = place.split(":")
    *path, last = name.split(".")
    owner: Any = reduce(getattr, path, import_module(module))
    setattr(owner, last, _deadly(getattr(owner, last), int(number)))


def _deadly(function: Callable[..., Any], number: int) -> Callable[..., Any]:
    calls = 0

    def called(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **named)

    return called


def make_small() -> None:
    """A base for a few kilobytes of logs, and sweeps in slices of a few customers."""
    from streams import dataflow, pace  # noqa: PLC0415 - a killed `crmstream rebuild` needs none of them
    from streams.state import store  # noqa: PLC0415

    store.SMALLEST_BASE, store.LOGS_PER_BASE = 4_000, 0  # type: ignore[misc]
    pace.LEAST_SECONDS = 0.005  # type: ignore[misc]
    dataflow.SweepPolicy = partial(dataflow.SweepPolicy, slice=SLICE)  # type: ignore[misc, assignment]


def main() -> None:
    module, _, function = sys.argv[1].partition(":")
    if os.environ.pop(SMALL, ""):
        make_small()
    if place := os.environ.pop(KILL, ""):
        kill_at(place)
    sys.argv = sys.argv[1:]
    getattr(import_module(module), function or "main")()


if __name__ == "__main__":
    main()

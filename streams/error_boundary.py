"""Where exceptions leave our code for Bytewax: they are logged and kept here first.

In a cluster of processes Bytewax ends every one of them with a panic that says nothing, so the cause must be told
before it gets there.
"""

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from contracts.errors import CrmError

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

failures: list[BaseException] = []
"""What ended this process's dataflow, the first cause first."""


def at_edge(function: Callable[P, R]) -> Callable[P, R]:
    """Log and keep what a function raises, then let it go on. ``StopIteration`` is no failure."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except StopIteration:
            raise
        except BaseException as error:
            failures.append(error)
            log.critical("%s", error, exc_info=not isinstance(error, CrmError))
            raise

    return guarded

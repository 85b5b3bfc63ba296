"""Logs and keeps exceptions before they leave our code for Bytewax.

In a cluster Bytewax ends every process with a panic that does not name the cause, so the cause is logged before.
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
"""The errors that ended this process's dataflow, the first one first."""


def error_boundary(function: Callable[P, R]) -> Callable[P, R]:
    """Log and keep the exception of a function, then raise it again. ``StopIteration`` is not an error."""

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

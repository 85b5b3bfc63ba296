"""Finds misspelled settings: environment variables with the prefix ``CRM_`` that no setting has. Pure."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

from contracts.settings import Settings

_PREFIX: Final = "CRM_"
_OF_WORKERS: Final = frozenset({"CRM_WORKER_ADDRESSES", "CRM_WORKER_METRICS_PORT", "CRM_WORKER_RUN"})
"""Variables that the stack sets for its workers."""


def unknown_settings(variables: Iterable[str]) -> list[str]:
    """Return a sentence for each unknown ``CRM_`` variable, with the setting whose spelling is closest."""
    known = {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}
    unknown = sorted({name for name in variables if name.upper().startswith(_PREFIX)})
    return [_sentence(name, known) for name in unknown if name.upper() not in known | _OF_WORKERS]


def _sentence(name: str, known: set[str]) -> str:
    near = get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.8)
    if near:
        return f"{name} is not a setting and is ignored: did you mean {near[0]}?"
    return f"{name} is not a setting and is ignored: docs/operations.md lists the settings."

"""A mapping as text that people read and edit."""

from collections.abc import Sequence
from typing import Any, Final

import yaml

_ORDER: Final = (
    "format", "encoding", "delimiter", "quote", "sheet", "decimal", "time_zone", "source", "name", "customer_id",
    "anonymous_id", "event_id", "occurred_at", "group", "properties", "events",
)  # fmt: skip
_COMMENTS: Final = {
    "format": "How the file is written.",
    "source": "Where the events come from; it goes into every event, and into its id.",
    "customer_id": "Who it is: the first of several columns that holds an id counts.",
    "event_id": "What makes an event the same one in the next export.",
    "group": "Rows with one number are one order; each row is an item of it.",
    "properties": "What every event holds.",
    "events": "What a row (or an order) can be.",
}


def mapping_text(keys: dict[str, Any], file: str, mapping_file: str, doubts: Sequence[str]) -> str:
    """Write the keys of a mapping as YAML with comments."""
    lines = heading(file, mapping_file, doubts)
    for key in _ORDER:
        if key in keys and keys[key] not in ({}, []):
            lines += [f"# {_COMMENTS[key]}"] if key in _COMMENTS else []
            lines += _entry(key, keys[key])
    return "\n".join(lines) + "\n"


def heading(file: str, mapping_file: str, doubts: Sequence[str]) -> list[str]:
    """The comments at the beginning of a mapping."""
    lines = [
        f"# The mapping of {file}, as `crmstream import` found it. docs/mapping.md explains every key.",
        f"# After a change: crmstream replay {_quoted(file)} --mapping {_quoted(mapping_file)}",
    ]
    if doubts:
        lines += ["# Not certain:", *(f"# - {doubt}" for doubt in doubts)]
    return lines


def _quoted(name: str) -> str:
    return f'"{name}"' if " " in name else name


def _entry(key: str, value: Any, indent: str = "") -> list[str]:
    """One key: dictionaries of dictionaries and lists of them take several lines, the rest one."""
    if isinstance(value, dict) and any(isinstance(one, dict) for one in value.values()):
        return [f"{indent}{key}:", *(line for name, one in value.items() for line in _entry(name, one, indent + "  "))]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [f"{indent}{key}:", *(line for one in value for line in _item(one, indent + "  "))]
    return [f"{indent}{_flow(key)}: {_flow(value)}"]


def _item(value: dict[str, Any], indent: str) -> list[str]:
    lines = [line for name, one in value.items() for line in _entry(name, one, indent + "  ")]
    return [f"{indent}- {lines[0].lstrip()}", *lines[1:]]


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return text.removesuffix("...\n").strip()

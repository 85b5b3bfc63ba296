"""The JSON Schemas of events, generated from the pydantic models: one per kind, and one for ticks.

``python -m contracts.schemas`` writes them to ``docs/schemas/``; a test fails if they are out of date. A schema
describes a body, with the rules that tie a name to its properties. Rules that compare times are not in it.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from contracts.events import EVENT_MODELS, EVENT_TYPES, KINDS, Kind, Tick

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
FOLDER: Final = Path("docs/schemas")


def json_schemas() -> Mapping[str, dict[str, Any]]:
    """Return all schemas by file name without its extension."""
    events = {kind: _event_schema(kind) for kind in KINDS}
    return events | {"tick": _schema(Tick)}


def texts() -> Mapping[str, str]:
    """Return the text of every file, by file name."""
    return {f"{name}.json": json.dumps(schema, indent=2) + "\n" for name, schema in json_schemas().items()}


def write(folder: Path) -> Sequence[Path]:
    """Write all files into a folder, which is created if necessary, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in texts().items():
        paths.append(folder / name)
        paths[-1].write_text(text, encoding="utf-8")
    return paths


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return {"$schema": DIALECT} | model.model_json_schema(mode="validation")


_SUBJECTS: Final = ("customer_id", "anonymous_id")


def _event_schema(kind: Kind) -> dict[str, Any]:
    """Return the schema of a kind: its model's, and the rules that the model checks across fields."""
    foreign = sorted(name for name, (other, _) in EVENT_TYPES.items() if other != kind)
    rules: list[dict[str, Any]] = [
        {"anyOf": [_with_values([subject]) for subject in _SUBJECTS]},
        {"properties": {"name": {"not": {"enum": foreign}}}},
    ]
    rules += [_requirement(name, fields) for name, (of, fields) in EVENT_TYPES.items() if of == kind and fields]
    if kind == "transaction":
        rules.append({"properties": {"properties": _both_or_none("total", "currency")}})
    return _schema(EVENT_MODELS[kind]) | {"allOf": rules}


def _with_values(fields: Sequence[str]) -> dict[str, Any]:
    """Require all of these fields, none of them null."""
    return {"required": list(fields), "properties": {field: {"not": {"type": "null"}} for field in fields}}


def _requirement(name: str, fields: Sequence[str]) -> dict[str, Any]:
    """Require these properties in events of this name."""
    return {
        "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
        "then": {"required": ["properties"], "properties": {"properties": _with_values(fields)}},
    }


def _both_or_none(*fields: str) -> dict[str, Any]:
    """Require values in all of these fields or in none."""
    return {"anyOf": [_with_values(fields), {"properties": {field: {"type": "null"} for field in fields}}]}


if __name__ == "__main__":
    for path in write(FOLDER):
        sys.stdout.write(f"{path}\n")

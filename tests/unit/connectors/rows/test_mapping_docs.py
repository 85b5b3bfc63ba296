"""The page about mappings: its examples are valid, and every key is in it."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from connectors.rows.mapping import Mapping, parse_mapping, shipped_mappings
from connectors.rows.parts import Column, EventId, EventPart, Group, Name, Property, Rule, Time

PAGE = (Path(__file__).parents[4] / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
EXPANDED = {"constant"}
"""The key that users write in its short form only."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_valid(example: str) -> None:
    parse_mapping(yaml.load(example, Loader=yaml.BaseLoader))


@pytest.mark.parametrize("model", [Column, EventId, EventPart, Group, Mapping, Name, Property, Rule, Time])
def test_every_key_is_shown(model: type[BaseModel]) -> None:
    keys = {field.alias or name for name, field in model.model_fields.items()} - EXPANDED
    text = "\n".join(EXAMPLES)
    assert {key for key in keys if not re.search(rf'\b{key}"?:|{key}: ', text)} == set()


def test_every_shipped_mapping_is_listed() -> None:
    assert all(f"| `{name}` |" in PAGE for name in shipped_mappings())

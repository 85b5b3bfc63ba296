"""The page about mappings: its examples are valid, and every key is in it and in the module's text."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from connectors.rows import mapping
from connectors.rows.mapping import Column, Mapping, Name, Property, Rule, Time, parse_mapping, shipped_mappings

PAGE = (Path(__file__).parents[4] / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
EXPANDED = {"constant"}
"""The key that users write in its short form only."""


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_valid(example: str) -> None:
    parse_mapping(yaml.load(example, Loader=yaml.BaseLoader))


@pytest.mark.parametrize("model", [Column, Mapping, Name, Property, Rule, Time])
def test_every_key_is_shown(model: type[BaseModel]) -> None:
    keys = set(model.model_fields) - EXPANDED
    for text in ("\n".join(EXAMPLES), mapping.__doc__ or ""):
        assert {key for key in keys if not re.search(rf'\b{key}"?:|{key}: ', text)} == set()


def test_every_shipped_mapping_is_listed() -> None:
    assert all(f"| `{name}` |" in PAGE for name in shipped_mappings())

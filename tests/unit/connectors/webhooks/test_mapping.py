"""Mapping files: what is wrong is told by line and field, and the page about them shows every key."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from connectors.webhooks import mapping
from connectors.webhooks.mapping import (
    Rule,
    Value,
    WebhookMapping,
    load_webhook_mapping,
    shipped_mappings,
    shipped_text,
)
from contracts.errors import InputFileError

PAGE = (Path(__file__).parents[4] / "docs" / "sources" / "webhooks.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
MAPPINGS = [example for example in EXAMPLES if "rules:" in example]
GOOD = """\
type: kind
customer_id: who
rules:
  - on: paid
    name: Order Completed
    properties:
      total: {path: sum, type: money, currency: EUR}
"""


def load(tmp_path: Path, text: str) -> WebhookMapping:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    return load_webhook_mapping("mine.yaml", tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("name: Order Completed", "name: Something Else", r"line 4, column 5: rules.0: kind: is required"),
        ("name: Order Completed", "name: Order Completed\n    kind: web", "kind: must be 'transaction'"),
        ("path: sum", "path: 'sum('", r"line 7, column 15: rules.0.properties.total.path: is no JMESPath expression"),
        ("path: sum", "path: 'sume(a)'", r"names sume\(\), which is no function"),
        ("path: sum", "path: 'sum(a, b)'", "another number of arguments"),
        ("path: sum", "path: '{a: &b}'", "an & outside"),
        ("currency: EUR", "currency: '!'", "is no JMESPath expression"),
        (", currency: EUR", ", units: tiny", "units"),
        ("type: money, currency: EUR", "currency: EUR", "for type money only"),
        ("path: sum, ", "path: sum, value: 1, ", "give one of path, header, value and first"),
        ("type: kind\n", "", "type: is required"),
        ("customer_id: who\n", "", r"rules.0.customer_id: is required"),
        ("      total:", "      amount:", "'Order Completed' needs total"),
        ("on: paid", "on: paid\n    item_id: x", "item_id: is only for rules with each"),
        ("on: paid", "in: paid", "rules.0.in: unknown key"),
        ("type: kind", "type: kind\ntime_zone: Mars/Olympus", "time_zone: no such time zone"),
        ("rules:", "rulez:", "rules: field required"),
        ("rules:", "rules: [", "is not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_by_its_field(tmp_path: Path, before: str, after: str, said: str) -> None:
    load(tmp_path, GOOD)
    assert before in GOOD
    with pytest.raises(InputFileError, match=said):
        load(tmp_path, GOOD.replace(before, after, 1))


def test_an_unknown_mapping_is_told_with_those_that_are_shipped() -> None:
    with pytest.raises(InputFileError, match="generic, shopify, stripe, woocommerce, zendesk"):
        load_webhook_mapping("strype")
    with pytest.raises(InputFileError, match="generic, shopify, stripe, woocommerce, zendesk"):
        shipped_text("../../etc/passwd")


@pytest.mark.parametrize("name", shipped_mappings())
def test_a_printed_mapping_is_one_of_your_own(name: str, tmp_path: Path) -> None:
    assert load(tmp_path, shipped_text(name)) == load_webhook_mapping(name)


@pytest.mark.parametrize("example", MAPPINGS)
def test_the_examples_of_the_page_are_valid(example: str, tmp_path: Path) -> None:
    load(tmp_path, example)


@pytest.mark.parametrize("model", [WebhookMapping, Rule, Value])
def test_every_key_is_shown(model: type[BaseModel]) -> None:
    for text in ("\n".join(MAPPINGS), mapping.__doc__ or ""):
        assert {key for key in model.model_fields if not re.search(rf"\b{key}:\s", text)} == set()


def test_every_shipped_mapping_is_listed() -> None:
    assert all(f"| `{name}` |" in PAGE for name in shipped_mappings())

"""The file of declared traits: what it adds, what it takes out, and what it says of mistakes."""

from pathlib import Path

import pytest

from contracts.errors import InputFileError
from contracts.settings import Settings
from contracts.traits import KNOWN, Trait
from crmstream.declared_traits import declared_traits


def settings(tmp_path: Path, text: str | None, **more: object) -> Settings:
    """Settings of a data folder with this file of traits."""
    if text is not None:
        (tmp_path / "traits.yaml").write_text(text)
    return Settings(data_dir=tmp_path, **more)  # type: ignore[arg-type]


def test_without_a_file_the_known_traits_are_declared(tmp_path: Path) -> None:
    assert declared_traits(settings(tmp_path, None)) == KNOWN
    assert KNOWN["birthday"].type == "date"
    assert KNOWN["email"].personal


def test_a_file_adds_changes_and_removes(tmp_path: Path) -> None:
    text = """
traits:
  loyalty_tier: text
  seats: {type: number, sent_as: [seats, plan.seats]}
  tax_number: {personal: true, description: VAT number}
  gender: null
  title: {sent_as: [jobTitle]}
"""
    found = declared_traits(settings(tmp_path, text))
    assert "gender" not in found
    assert found["loyalty_tier"] == Trait()
    assert found["loyalty_tier"].paths("loyalty_tier") == ("loyalty_tier",)
    assert found["seats"] == Trait(type="number", sent_as=("seats", "plan.seats"))
    assert found["tax_number"].personal
    assert found["title"].paths("title") == ("jobTitle",)
    assert found["country"] == KNOWN["country"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a", "must hold `traits:`"),
        ("traits: {seats: {type: integer}}", "line 1.*traits.seats.*type.*text.*number"),
        ("traits: {seats: {typ: number}}", "typ"),
        ("traits: {Seats: number}", "Seats"),
        ("trait: {}", "trait"),
        ("traits: {seats: {sent_as: ['']}}", "sent_as"),
        ("traits: {" + ", ".join(f"t{number}: text" for number in range(201)) + "}", "traits.*200"),
        ("traits: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_their_place(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=said) as raised:
        declared_traits(settings(tmp_path, text))
    assert "traits.yaml" in str(raised.value)


def test_a_file_that_the_settings_name_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be read"):
        declared_traits(settings(tmp_path, None, traits_file=tmp_path / "other.yaml"))

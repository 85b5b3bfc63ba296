"""The declared traits of an installation: Segment's reserved ones and the ones in its file ``traits.yaml``.

::

    traits:
      loyalty_tier: text                  # a type alone
      seats:
        type: number                      # text, number, boolean, date or time
        sent_as: [seats, plan.seats]      # names or paths in events; the first with a value of the type counts
      tax_number:
        personal: true
        description: VAT number of a company
      gender: null                        # takes a trait of Segment's out
"""

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationError

from connectors.yaml_file import Part, YamlFile
from contracts.errors import InputFileError
from contracts.settings import Settings
from contracts.traits import KNOWN, Trait, TraitName

TRAITS_FILE: Final = "traits.yaml"
MOST_TRAITS: Final = 200
"""The largest number of declared traits: each is a column."""


def _expand(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


class _File(Part):
    traits: dict[TraitName, Annotated[Trait, BeforeValidator(_expand)] | None] = Field(max_length=MOST_TRAITS)


def traits_path(settings: Settings) -> Path:
    """Return where the file of traits is, or would be."""
    return settings.traits_file or settings.data_dir / TRAITS_FILE


def declared_traits(settings: Settings) -> dict[str, Trait]:
    """Return all declared traits by name.

    Raises :class:`InputFileError` with the line and name of every field at fault, or if a file that
    ``CRM_TRAITS_FILE`` names is missing.
    """
    path = traits_path(settings)
    if settings.traits_file is None and not path.exists():
        return dict(KNOWN)
    return {name: trait for name, trait in {**KNOWN, **_read(path)}.items() if trait is not None}


def _read(path: Path) -> dict[str, Trait | None]:
    file = YamlFile(path, "Traits")
    if not isinstance(file.content, dict):
        raise InputFileError(f"{file.name}: must hold `traits:`, a name and a type for each; see docs/traits.md.")
    try:
        return dict(_File.model_validate(file.content).traits)
    except ValidationError as error:
        raise file.wrong(error, _File) from None

"""What a mapping of webhooks says of one value: where it stands, its type, and how it is written. Moves no data."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from connectors.rows.values import check_pattern
from connectors.sources.signatures import HeaderName
from connectors.webhooks.paths import PathText
from connectors.yaml_file import ShortPart
from contracts.currencies import check_code, is_code

Scalar = Annotated[str | int | float | bool, Field(union_mode="smart")]
FieldName = Annotated[str, Field(min_length=1, max_length=100)]
Type = Literal["any", "string", "number", "integer", "boolean", "money", "time"]


class Value(ShortPart):
    """A value of a webhook; the text of :mod:`connectors.webhooks.mapping` explains the keys."""

    path: PathText | None = None
    header: HeaderName | None = None
    value: Scalar | None = None
    first_of: Annotated[tuple["Value", ...], Field(validation_alias=AliasChoices("first_of", "first"))] = ()
    type: Type = "any"
    values: dict[str, Scalar] = Field(default_factory=dict)
    lower: bool = False
    prefix: Annotated[str, Field(max_length=50)] = ""
    format: str = "iso"
    minus: PathText | None = None
    currency: str | None = None
    currency_property: FieldName = "currency"
    units: Literal["major", "minor"] = "major"
    absolute: bool = False

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        forms = (self.path is not None, self.header is not None, self.value is not None, bool(self.first_of))
        if sum(forms) != 1:
            raise ValueError("give one of path, header, value and first_of")
        if self.format not in ("iso", "unix", "unix_ms") and "%" not in self.format:
            raise ValueError("format must be iso, unix, unix_ms or a pattern such as %Y-%m-%d %H:%M")
        check_pattern(self.format)
        if self.type != "money" and (self.currency or self.units == "minor"):
            raise ValueError("currency and units are for type money only")
        if (self.minus or self.absolute) and self.type not in ("money", "number", "integer"):
            raise ValueError("minus and absolute are for numbers and money only")
        return self

    @field_validator("currency")
    @classmethod
    def _code_or_path(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if is_code(value):  # any other text is a path
            return check_code(value)
        Value(path=value)
        return value

    def parts(self) -> Iterator["Value"]:
        """Walk over this value and those it chooses from."""
        yield self
        for one in self.first_of:
            yield from one.parts()

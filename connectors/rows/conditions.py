"""Conditions of a mapping: which texts a column must hold. `{State: [paid, sent]}`, `{Tags: {contains: [vip]}}`."""

import re
from collections.abc import Callable
from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator

from connectors.yaml_file import Part

ColumnName = Annotated[str, Field(min_length=1)]
_GAPS: Final = re.compile(r"[\s,;|]+")


class Words(Part):
    """A column that holds several words: one of ``contains`` is among them, none of ``lacks`` is.

    Blanks, commas, semicolons or bars separate the words.
    """

    contains: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()

    @field_validator("contains", "lacks", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return listed(value)

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.contains and not self.lacks:
            raise ValueError("give contains or lacks")
        return self

    def fits(self, text: str) -> bool:
        """Whether the words of a text are as asked for."""
        words = _GAPS.split(text)
        return self.lacks.isdisjoint(words) and not (self.contains and self.contains.isdisjoint(words))


Condition = tuple[str, ...] | Words
Conditions = Annotated[dict[ColumnName, Condition], Field(min_length=1)]


def listed(value: object) -> object:
    """Let one text stand for a list of one."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return {key: [item] if isinstance(item, str) else item for key, item in value.items()}
    return value


def fitting(condition: Condition) -> Callable[[str], bool]:
    """Make the test of a column's text."""
    return condition.fits if isinstance(condition, Words) else frozenset(condition).__contains__

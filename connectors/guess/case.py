"""A file that a mapping is guessed for: what is known about it, and what is not certain."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.guess.sample import Sample
from connectors.guess.wishes import Wishes

Keys = dict[str, Any]
"""Keys of a mapping, or of a part of one."""


@dataclass(frozen=True)
class Case:
    """A file, the columns of its roles, and what somebody says about it. Doubts are collected."""

    sample: Sample
    roles: Mapping[str, str]
    wishes: Wishes
    doubts: list[str]

    @property
    def file(self) -> str:
        """The file's name, for messages."""
        return self.sample.path.name

    def doubt(self, text: str) -> None:
        """Take note of something that is not certain, once."""
        if text not in self.doubts:
            self.doubts.append(text)

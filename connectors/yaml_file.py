"""Read a YAML file that a person wrote, and name the place of what is wrong in it. Moves no data."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.resolver import VersionedResolver

from connectors.yaml_keys import problems
from contracts.errors import InputFileError

MOST_BYTES: Final = 4_000_000
"""The largest file that is read: no person writes more."""
_LASTING: Final = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)


class Part(BaseModel):
    """A part of such a file; keys that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ShortPart(Part):
    """A part that may be written as one text, which then stands for its first key."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: object) -> object:
        return {next(iter(cls.model_fields)): value} if isinstance(value, str) else value


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone; use a name such as Europe/Berlin") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""The name of a time zone."""


class PassingFileError(InputFileError):
    """A file could not be read for a reason that may pass though the file stays the same: too many are open, say."""


class _Texts(VersionedResolver):
    """Reads every scalar as text."""

    @property
    def versioned_resolver(self) -> dict[str, object]:
        """No rule by which a scalar is anything else."""
        return {}


class YamlFile:
    """The content of one file. ``what`` begins every message: ``Sources /etc/sources.yaml``.

    Tags build nothing but texts, numbers, times, lists and dicts; a key that stands twice is an error. With ``texts``
    every scalar is a text: ``007`` and ``yes`` stay what they are.
    """

    def __init__(self, path: Path, what: str, *, texts: bool = False):
        self.name = f"{what} {path}"
        self.path = path
        self._texts = texts
        self._marked = self._parse(self._text(path))
        self.content: Any = _plain(self._marked, str) if texts else _plain(self._marked)

    def wrong(self, error: ValidationError, model: type[BaseModel] | None = None) -> InputFileError:
        """Tell every field at fault with its place, and no value; ``model`` is what the content was read as."""
        return self.faults([(place, place, problem) for place, problem in problems(error, model)])

    def faults(self, found: Sequence[tuple[Sequence[int | str], Sequence[int | str], str]]) -> InputFileError:
        """Return the faults: each with its place in the file, its name, and what is wrong."""
        lines = [self._told(place, named, problem) for place, named, problem in found]
        return InputFileError(f"{self.name}: " + "; ".join(dict.fromkeys(lines)))

    def at(self, place: Sequence[int | str], problem: str) -> InputFileError:
        """Tell what is wrong with one field, with its place."""
        return InputFileError(f"{self.name}: {self._told(place, place, problem)}.")

    def mark(self, place: Sequence[int | str]) -> tuple[int, int] | None:
        """Find the line and the column of a field, or of the nearest part around it that has them."""
        node, found = self._marked, None
        for part in place:
            try:
                line, column = node.lc.data[part][:2]
                found = line + 1, column + 1
                node = node[part]
            except (AttributeError, KeyError, IndexError, TypeError):
                break
        return found

    def _told(self, place: Sequence[int | str], named: Sequence[int | str], message: str) -> str:
        mark = self.mark(place)
        where = ["line {}, column {}".format(*mark)] if mark else []
        path = [".".join(map(str, named))] if named else []
        return ": ".join([*where, *path, message.removeprefix("Value error, ")])

    def _text(self, path: Path) -> str:
        try:
            if path.stat().st_size > MOST_BYTES:
                raise InputFileError(f"{self.name}: is larger than {MOST_BYTES:,} bytes.")
            return path.read_text(encoding="utf-8")
        except OSError as error:
            kind = InputFileError if isinstance(error, _LASTING) else PassingFileError
            raise kind(f"{self.name}: cannot be read ({error.strerror}).") from None
        except UnicodeDecodeError:
            raise InputFileError(f"{self.name}: cannot be read (it is not UTF-8).") from None

    def _parse(self, text: str) -> Any:
        try:
            yaml = YAML(typ="rt")
            if self._texts:
                yaml.Resolver = _Texts
            return yaml.load(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark
            where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            problem = str(error.problem or "").partition(" with value")[0]
            raise InputFileError(f"{self.name}: is not valid YAML{where} ({problem}).") from None
        except (YAMLError, ValueError, RecursionError):
            raise InputFileError(f"{self.name}: is not valid YAML.") from None


def _plain(node: Any, scalar: Callable[[Any], Any] | None = None) -> Any:
    """Turn what keeps its place in the file into plain values; ``scalar`` makes those that hold no others."""
    if isinstance(node, dict):
        return {_plain(key, scalar): _plain(value, scalar) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(item, scalar) for item in node]
    if scalar is not None:
        return scalar(node)
    if isinstance(node, datetime):
        return datetime.fromisoformat(node.isoformat())
    kinds = (str, bool, int, float)  # in this order: a bool is an int too
    return next((kind(node) for kind in kinds if isinstance(node, kind)), node)

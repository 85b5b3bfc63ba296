"""Say what is wrong with the content of a YAML file, and which key a person may have meant. Pure."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

Place = tuple[int | str, ...]
_MOST_NAMED: Final = 15
"""Known keys that are listed where none is near; more would hide the message."""


def problems(error: ValidationError, model: type[BaseModel] | None = None) -> Iterator[tuple[Place, str]]:
    """Give every field at fault and what is wrong with it, no value; ``model`` is what the content was read as."""
    for found in error.errors(include_input=False, include_url=False):
        place = found["loc"]
        if found["type"] == "extra_forbidden":
            yield place, _unknown(str(place[-1]), _known(model, place[:-1]) if model else frozenset())
        else:
            yield place, _small(found["msg"].removeprefix("Value error, "))


def _small(text: str) -> str:
    """Begin with a small letter, for a field's name stands before; abbreviations stay."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _unknown(key: str, known: frozenset[str]) -> str:
    begun = [name for name in sorted(known) if name.startswith(key.lower()) or key.lower().startswith(name)]
    near = get_close_matches(key.lower(), known, n=1) or begun
    if near:
        return f"unknown key; did you mean {near[0]}?"
    if 0 < len(known) <= _MOST_NAMED:
        return f"unknown key; there are {', '.join(sorted(known))}"
    return "unknown key"


def _known(model: type[BaseModel], place: Place) -> frozenset[str]:
    """Give the keys that may stand at a place: those of every part that can stand there."""
    parts = {model}
    for step in place:
        inner = {found for part in parts for found in _parts_at(part, str(step))}
        named = {part for part in parts if part.__name__ == step}  # pydantic names the member of a union
        parts = named or inner or parts
    return frozenset(name for part in parts for name in _keys(part))


def _keys(part: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in part.model_fields.items()}


def _parts_at(part: type[BaseModel], key: str) -> Iterator[type[BaseModel]]:
    annotation = _keys(part).get(key)
    if annotation is not None:
        yield from _parts_in(annotation)


def _parts_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts_in(argument)

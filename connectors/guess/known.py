"""Files whose header is that of a shipped mapping: it is taken, with the file's own separator, signs and dates."""

import re
from collections.abc import Iterator
from datetime import datetime
from importlib import resources
from typing import Final

from connectors.guess.amounts import number_form
from connectors.guess.dates import time_format
from connectors.guess.money import default_currency
from connectors.guess.sample import Sample
from connectors.guess.text import heading
from connectors.guess.wishes import Wishes
from connectors.rows.mapping import Mapping, load_mapping, shipped_mappings
from connectors.rows.parts import Property

_FEWEST: Final = 4
"""A mapping that reads fewer columns does not tell a file."""
_NO_CURRENCY: Final = re.compile(r"type: money(?!, currency)")
_SOURCE: Final = re.compile(r"^source: .*$", re.MULTILINE)
_TOP: Final = re.compile(r"^(format|delimiter|encoding|quote|decimal|time_zone): .*\n", re.MULTILINE)


def shipped_for(sample: Sample) -> str | None:
    """Return the shipped mapping that reads most columns, of those whose columns are all in the file."""
    found = []
    for name in shipped_mappings():
        columns = load_mapping(name).all_columns()
        if len(columns) >= _FEWEST and set(columns) <= set(sample.columns):
            found.append((len(columns), name))
    return max(found)[1] if found else None


def adapted(name: str, sample: Sample, mapping_file: str, wishes: Wishes, doubts: list[str]) -> str:
    """Return the text of a shipped mapping, changed to how this file is written."""
    mapping = load_mapping(name)
    text = (resources.files("connectors.rows") / "mappings" / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in _formats(mapping, sample):
        if old not in text:
            doubts.append("The dates are written differently than in the shipped mapping.")
        text = text.replace(old, new)
    if wishes.source:
        text = _SOURCE.sub(f"source: {wishes.source}", text)
    text = _with_currency(text, sample.path.name, wishes, doubts)
    top = {**sample.reading, **_signs(mapping, sample)}
    zone = wishes.time_zone or (mapping.time_zone if mapping.time_zone != "UTC" else None)
    top |= {"time_zone": zone} if zone else {}
    written = "".join(f'{key}: "{value}"\n' if len(value) == 1 else f"{key}: {value}\n" for key, value in top.items())
    comments, rest = _split(text)
    head = "\n".join(heading(sample.path.name, mapping_file, doubts))
    return f"{head}\n# It is the shipped mapping {name}.\n{comments}{written}{_TOP.sub('', rest)}"


def _with_currency(text: str, file: str, wishes: Wishes, doubts: list[str]) -> str:
    """Name a currency where the shipped mapping names none, since the export holds none."""
    if not _NO_CURRENCY.search(text):
        return text
    code = wishes.currency or default_currency(wishes, file)
    if not wishes.currency:
        doubts.append(f"No currency stands beside the amounts: they are taken for {code} (--currency EUR).")
    return _NO_CURRENCY.sub(f"type: money, currency: {code}", text)


def _split(text: str) -> tuple[str, str]:
    """Split a mapping into the comments at its beginning and the rest."""
    at = re.search(r"^[^#\n]", text, re.MULTILINE)
    return (text[: at.start()], text[at.start() :]) if at else (text, "")


def _formats(mapping: Mapping, sample: Sample) -> Iterator[tuple[str, str]]:
    """Give the formats of times that do not fit, and those that do."""
    for event in mapping.every_event:
        spec = event.occurred_at
        if spec.format == "iso" or "%" not in spec.format:
            continue
        texts = sample.filled(spec.parts[0])
        found = time_format(texts) if texts and not _reads(spec.format, texts) else None
        if found is not None:
            yield f', format: "{spec.format}"', "" if found.format == "iso" else f', format: "{found.format}"'


def _reads(pattern: str, texts: list[str]) -> bool:
    try:
        for text in dict.fromkeys(texts):
            datetime.strptime(text, pattern)  # noqa: DTZ007 - only the form matters
    except ValueError:
        return False
    return True


def _signs(mapping: Mapping, sample: Sample) -> dict[str, str]:
    """The decimal and thousands signs of the file's amounts."""
    texts = [text for column in _amounts(mapping) for text in sample.filled(column)]
    form = number_form(texts) if texts else None
    if form is None or form.decimal == ".":
        return {}
    return {"decimal": ","} | ({"thousands": form.thousands} if form.thousands else {})


def _amounts(mapping: Mapping) -> set[str]:
    specs: list[Property] = [spec for event in mapping.every_event for spec in event.properties.values()]
    specs += mapping.group.each.values() if mapping.group else ()
    return {column for spec in specs if spec.type in ("money", "number") for column in spec.columns}

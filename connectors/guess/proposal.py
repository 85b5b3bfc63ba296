"""A proposal for a file: the text of a mapping, the mapping itself, and what is not certain about it."""

import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from connectors.files.replay import FileConnector
from connectors.guess.guess import guess_keys
from connectors.guess.known import adapted, shipped_for
from connectors.guess.sample import read_sample
from connectors.guess.text import mapping_text
from connectors.guess.wishes import Wishes
from connectors.rows.mapping import Mapping, load_mapping

_TRIAL_ROWS: Final = 500


class Proposal(NamedTuple):
    """A mapping for a file. ``shipped`` is the mapping that comes with crmstream, if the file's header is its."""

    text: str
    mapping: Mapping
    doubts: list[str]
    shipped: str | None


def propose(path: Path, mapping_file: Path, wishes: Wishes, encoding: str | None = None) -> Proposal:
    """Propose a mapping for a file; ``mapping_file`` is where it will be written.

    Raises :class:`contracts.errors.InputFileError` if the file cannot be read, or lacks what a mapping needs.
    """
    sample = read_sample(path, encoding)
    doubts = list(sample.doubts)
    shipped = None if wishes.roles else shipped_for(sample)
    if shipped is not None:
        text = adapted(shipped, sample, mapping_file.name, wishes, doubts)
        known = Proposal(text, _read(text, mapping_file.name), doubts, shipped)
        if _fits(path, known.mapping):
            return known
        doubts = list(sample.doubts)
    keys = guess_keys(sample, wishes, doubts)
    text = mapping_text(keys, path.name, mapping_file.name, doubts)
    return Proposal(text, _read(text, mapping_file.name), doubts, None)


def _fits(path: Path, mapping: Mapping) -> bool:
    """Whether a shipped mapping makes an event of any of the first rows: others have columns of the same names."""
    trial = FileConnector(path, mapping, most_rows=_TRIAL_ROWS)
    return any(True for _ in trial.records())


def _read(text: str, name: str) -> Mapping:
    """Read a mapping as it will be read from its file."""
    with tempfile.TemporaryDirectory(prefix="crmstream-import-") as folder:
        file = Path(folder) / name
        file.write_text(text, encoding="utf-8")
        return load_mapping(str(file))

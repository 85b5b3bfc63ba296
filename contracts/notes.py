"""Notes on events: changes and omissions that a connector made so that an event was accepted.

A connector drafts an event with notes; the ingest gate writes them into the property :data:`NOTES` as a list of texts
``"<field>: <change>"``. A note never holds a value of the event, so notes can be counted and shown.
"""

from typing import Final, NamedTuple

NOTES: Final = "crm_notes"
"""The property that holds the notes of an event. Senders cannot set it: the gate removes what they send under it."""
MOST_NOTES: Final = 10
"""Maximum number of notes in one event; a last text counts the others."""
_MOST_LETTERS: Final = 200


class Note(NamedTuple):
    """One change: the path of the field in the event (without ``properties``), and the change."""

    field: str
    done: str

    def text(self) -> str:
        """Return the text for the event, such as ``total: is the sum of the products``."""
        return f"{self.field}: {self.done}"[:_MOST_LETTERS]


def texts_of(notes: list[Note]) -> list[str]:
    """Return the texts of notes, each once, at most :data:`MOST_NOTES` of them."""
    texts = list(dict.fromkeys(note.text() for note in notes))
    if len(texts) <= MOST_NOTES:
        return texts
    return [*texts[:MOST_NOTES], f"{len(texts) - MOST_NOTES} more"]

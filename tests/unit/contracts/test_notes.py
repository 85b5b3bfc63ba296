"""Notes on events."""

from contracts.notes import MOST_NOTES, Note, texts_of


def test_notes_are_told_once_and_bounded() -> None:
    same = [Note("total", "is the sum of the products")] * 3
    many = [Note(f"field_{number}", "is left out") for number in range(MOST_NOTES + 2)]
    assert texts_of(same) == ["total: is the sum of the products"]
    assert texts_of(many)[-1] == "2 more"
    assert len(texts_of(many)) == MOST_NOTES + 1

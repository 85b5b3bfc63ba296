"""The note of a rebuild goes when all published positions are past it, and not before."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from contracts.errors import StoreUnavailableError
from crmstream.rebuild_end import await_end
from streams.rebuild import is_over, save_ends, saved_ends

ENDS = {"web": [10, 0], "orders": [5, 7]}
PASSED = {("web", 0): 10, ("web", 1): 0, ("orders", 0): 9, ("orders", 1): 7}
Positions = Mapping[tuple[str, int], int]


@pytest.mark.parametrize("place", PASSED)
def test_it_is_over_when_no_position_is_missing_or_before_its_end(place: tuple[str, int]) -> None:
    assert is_over(ENDS, PASSED)
    assert not is_over(ENDS, PASSED | {place: PASSED[place] - 5})
    assert not is_over(ENDS, {each: at for each, at in PASSED.items() if each != place})


class Looks:
    """Gives one answer after the other, and checks that the note is there until the last."""

    def __init__(self, data_dir: Path, *answers: Positions | None):
        self._data_dir, self._answers = data_dir, list(answers)

    def __call__(self) -> Positions:
        assert saved_ends(self._data_dir) == ENDS
        answer = self._answers.pop(0)
        if answer is None:
            raise StoreUnavailableError("away")
        return answer

    @property
    def is_done(self) -> bool:
        return not self._answers


def test_the_note_stays_until_all_are_past_it_twice_in_a_row(tmp_path: Path) -> None:
    save_ends(tmp_path, ENDS)
    behind = PASSED | {("orders", 1): 6}
    looks = Looks(tmp_path, {}, behind, PASSED, behind, PASSED, None, PASSED, PASSED)
    await_end(tmp_path, ENDS, looks, sleep=lambda _: None)
    assert looks.is_done
    assert saved_ends(tmp_path) is None


def test_the_note_of_a_later_rebuild_stays(tmp_path: Path) -> None:
    later = {"web": [90, 90], "orders": [90, 90]}
    save_ends(tmp_path, later)
    await_end(tmp_path, ENDS, lambda: PASSED, sleep=lambda _: None)
    assert saved_ends(tmp_path) == later

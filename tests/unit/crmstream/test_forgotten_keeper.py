"""Workers restart when somebody is to be forgotten, and only then."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from contracts.forgotten import Forgotten, change_forgotten
from contracts.settings import Settings
from crmstream.people.keeper import LOOK_SECONDS, ForgottenKeeper


@dataclass
class Installation:
    """A keeper with a clock, and what it did."""

    folder: Path
    now: float = 0.0
    said: list[str] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.path = self.folder / "forgotten.json"
        settings = Settings(data_dir=self.folder, forgotten_file=None)
        self.keeper = ForgottenKeeper(settings, self.said.append, lambda: self.now)

    def restart_workers(self, reason: str) -> None:
        self.restarts.append(reason)

    def change(self, *ids: str, quietly: bool = False) -> None:
        def add(found: Forgotten) -> None:
            found.add(ids, 5, datetime.now(UTC))
            found.pending = frozenset(ids)

        change_forgotten(self.path, add, quietly=quietly)

    def look(self) -> int:
        self.now += LOOK_SECONDS
        self.keeper.look_after(self)
        return len(self.restarts)


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def test_each_request_restarts_the_workers_once(made: Installation) -> None:
    made.keeper.begin()
    assert made.look() == 0
    made.change("c-1")
    made.keeper.look_after(made)
    assert made.restarts == [], "it does not look all the time"
    assert [made.look(), made.look()] == [1, 1]
    made.change("c-1")
    assert made.look() == 2, "the same people again: their erasure goes on"
    made.change(quietly=True)
    assert made.look() == 2
    assert made.said == []


def test_what_was_asked_for_before_the_start_needs_no_restart_and_is_told_if_it_is_not_finished(
    made: Installation,
) -> None:
    made.change("c-1")
    made.keeper.begin()
    assert made.look() == 0
    assert len(made.said) == 1
    assert "crmstream forget --pending" in made.said[0]


def test_a_damaged_list_stops_the_start_but_not_running_workers(made: Installation) -> None:
    made.change("c-1", quietly=True)
    made.keeper.begin()
    made.path.write_text("{")
    assert made.look() == 0
    assert "go on with the list" in made.said[-1]
    with pytest.raises(SettingsError, match="damaged"):
        made.keeper.begin()

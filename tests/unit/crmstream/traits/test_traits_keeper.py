"""When the keeper of traits begins a round, and what it says when a store is away."""

import inspect
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from redis import ConnectionError as RedisAwayError

from contracts.errors import SettingsError
from contracts.forgotten import change_forgotten, forgotten_path
from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints
from crmstream.traits.keeper import Pending, TraitsKeeper


class Stack:
    endpoints = Endpoints(kafka="k", clickhouse_url="http://c", redis_url="redis://r", worker_metrics=(), pid=1)


class Rounds:
    """A keeper whose rounds end when the test says so, at a time that the test sets."""

    def __init__(self, tmp_path: Path, **changes: object):
        self.now = 0.0
        self.said: list[str] = []
        self.begun: list[tuple[str, Future[None]]] = []
        settings = Settings(data_dir=tmp_path, **changes)  # type: ignore[arg-type]
        self._keeper = TraitsKeeper(settings, self.said.append, lambda: self.now, self._begin)

    def _begin(self, job: Callable[[], None]) -> Future[None]:
        names = {each.run: name for name, each in self._keeper._jobs.items()}
        closure = inspect.getclosurevars(job).nonlocals
        self.begun.append((names[closure["job"].run], Future()))
        return self.begun[-1][1]

    def look(self, at: float) -> str:
        """Look at a time; return what runs then."""
        self.now = at
        self._keeper.look_after(Stack())
        name, future = self.begun[-1] if self.begun else ("", None)
        return name if future is not None and not future.done() else ""

    def end(self, error: Exception | None = None) -> None:
        """End the last round."""
        if error is None:
            self.begun[-1][1].set_result(None)
        else:
            self.begun[-1][1].set_exception(error)

    def all_end(self, at: float, error: Exception | None = None) -> list[str]:
        """Let all that is due at a time run and end at once, with an error if they are traits; return what ran."""
        ran = []
        while name := self.look(at):
            ran.append(name)
            self.end(error if name == "traits" else None)
        return ran


def test_rounds_begin_some_seconds_after_the_one_before_and_accounts_more_seldom(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    assert rounds.all_end(0) == ["traits", "accounts"]
    assert [rounds.all_end(at) for at in (1, 2, 3, 4)] == [[], ["traits"], [], ["traits"]]
    assert rounds.all_end(30) == ["traits", "accounts"]
    assert rounds.all_end(32) == ["traits"]


def test_the_pause_after_a_long_round_is_longer_and_has_a_bound(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    rounds.all_end(0)
    assert rounds.look(2) == rounds.look(5) == "traits"
    rounds.end()
    assert [rounds.all_end(at) for at in (5, 16, 17)] == [[], [], ["traits"]]
    assert rounds.look(19) == rounds.look(119) == "traits"
    rounds.end()
    assert [rounds.all_end(at) for at in (119, 148, 149)] == [["accounts"], [], ["traits", "accounts"]]


def test_it_may_be_switched_off(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path, publish_traits=False)
    assert [rounds.look(at) for at in (0, 10, 100)] == ["", "", ""]


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OperationalError("ClickHouse does not answer\nand more"), "ClickHouse does not answer"),
        (RedisAwayError("Error 111"), "Error 111"),
        (TimeoutError(), "TimeoutError"),
        (KeyError("somebody's name"), "KeyError"),
    ],
)
def test_a_store_that_is_away_is_told_once_and_when_it_is_back(tmp_path: Path, error: Exception, shown: str) -> None:
    rounds = Rounds(tmp_path)
    for at in (0, 10, 20):
        assert "traits" in rounds.all_end(at, error)
    assert rounds.said == [f"traits in Redis wait: {shown}"]
    rounds.all_end(30)
    assert rounds.said[1:] == ["traits in Redis follow again"]


def test_pending_people_are_those_of_the_list_as_it_is_now(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    pending = Pending(settings)
    assert pending.ids() == frozenset()

    def add(forgotten: object) -> None:
        forgotten.pending |= {"c-1"}  # type: ignore[attr-defined]
        forgotten.add({"c-1"}, 5, datetime.now(UTC))  # type: ignore[attr-defined]

    change_forgotten(forgotten_path(settings), add)
    assert pending.ids() == {"c-1"}
    forgotten_path(settings).write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError):
        pending.ids()

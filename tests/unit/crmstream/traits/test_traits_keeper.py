"""When the keeper of traits begins a round, and what it says when a store is away."""

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
from crmstream.traits.keeper import SHARE, Pending, TraitsKeeper


class Stack:
    endpoints = Endpoints(kafka="k", clickhouse_url="http://c", redis_url="redis://r", worker_metrics=(), pid=1)


class Rounds:
    """A keeper whose rounds end when the test says so, at a time that the test sets."""

    def __init__(self, tmp_path: Path, **changes: object):
        self.now = 0.0
        self.said: list[str] = []
        self.begun: list[Future[None]] = []
        settings = Settings(data_dir=tmp_path, **changes)  # type: ignore[arg-type]
        self._keeper = TraitsKeeper(settings, self.said.append, lambda: self.now, self._begin)

    def _begin(self, _: Callable[[], None]) -> Future[None]:
        self.begun.append(Future())
        return self.begun[-1]

    def look(self, at: float) -> int:
        """Look at a time; return how many rounds have begun."""
        self.now = at
        self._keeper.look_after(Stack())
        return len(self.begun)

    def end(self, error: Exception | None = None) -> None:
        """End the last round."""
        if error is None:
            self.begun[-1].set_result(None)
        else:
            self.begun[-1].set_exception(error)


def test_a_round_begins_some_seconds_after_the_one_before(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path)
    assert rounds.look(0) == 1
    assert rounds.look(1) == 1
    rounds.end()
    assert rounds.look(1.2) == 1
    assert rounds.look(1.3 + 1.2 * SHARE) == 2
    rounds.end()
    rounds.look(6.2)
    assert (rounds.look(8), rounds.look(8.3)) == (2, 3), "a pause is two seconds at least"


def test_it_may_be_switched_off(tmp_path: Path) -> None:
    rounds = Rounds(tmp_path, publish_traits=False)
    assert [rounds.look(at) for at in (0, 10, 100)] == [0, 0, 0]


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
        rounds.look(at)
        rounds.end(error)
        rounds.look(at + 1)
    assert rounds.said == [f"traits in Redis wait: {shown}"]
    rounds.look(30)
    rounds.end()
    rounds.look(31)
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

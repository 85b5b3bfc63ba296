"""A running stack follows the files of money: workers restart, and what waits is converted afterwards."""

import json
import os
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from contracts.base_currency import BY_FIRST_ORDER, decide
from contracts.errors import StoreUnavailableError
from contracts.rates import Rates
from contracts.settings import Settings
from crmstream.money import keeper
from crmstream.money.keeper import AGAIN_SECONDS, LOOK_SECONDS, RatesKeeper
from streams.in_force import rates_in_force, saved_rates


class FakeStack:
    """Remembers what is asked of it, and what was in force then."""

    endpoints: Any = None
    restarting = False

    def __init__(self, settings: Settings):
        self.settings = settings
        self.restarts: list[tuple[str, Rates | None]] = []

    def restart_workers(self, reason: str) -> None:
        self.restarts.append((reason, saved_rates(self.settings.data_dir)))


class Case:
    """A keeper with a clock of its own, in place of ClickHouse a list."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self.settings = Settings(data_dir=folder)
        self.now, self.said, self.converted, self.down, self.hangs = 0.0, list[str](), 0, False, False
        self.keeper = RatesKeeper(self.settings, self.said.append, lambda: self.now, self.begin)
        self.stack = FakeStack(self.settings)
        patch.setattr(keeper.RatesKeeper, "convert", lambda *_: self.convert())

    def begin(self, job: Callable[[], None]) -> Future[None]:
        """Do it at once, or, where ClickHouse hangs, leave it under way."""
        done: Future[None] = Future()
        if self.hangs:
            return done
        try:
            done.set_result(job())
        except StoreUnavailableError as error:
            done.set_exception(error)
        return done

    def convert(self) -> None:
        if self.down:
            raise StoreUnavailableError("ClickHouse does not answer.")
        self.converted += 1

    def wait(self, seconds: float = LOOK_SECONDS) -> None:
        self.now += seconds
        self.keeper.look_after(self.stack)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    made = Case(tmp_path, monkeypatch)
    made.keeper.bring_into_force()
    return made


def test_a_decision_restarts_the_workers_with_it_and_what_waits_is_converted(case: Case) -> None:
    assert rates_in_force(case.settings) == Rates()
    case.wait()
    decide(case.settings.data_dir, "EUR", BY_FIRST_ORDER)
    case.wait()
    case.wait()
    assert case.stack.restarts == [("the base currency is EUR (from the first order)", Rates("EUR"))]
    assert case.converted == 1
    case.wait(AGAIN_SECONDS)
    case.wait(AGAIN_SECONDS)
    assert case.converted == 2, "rows of killed workers may have come late"
    layout = json.loads((case.settings.data_dir / "recovery" / "layout.json").read_text())
    assert layout["CRM_BASE_CURRENCY"] == "EUR"


def test_a_new_rate_restarts_them_and_a_broken_file_does_not(case: Case) -> None:
    decide(case.settings.data_dir, "EUR", BY_FIRST_ORDER)
    case.wait()
    rates = case.settings.data_dir / "rates.csv"
    rates.write_text("currency,from,rate\nUSD,,nothing\n")
    case.wait()
    assert len(case.stack.restarts) == 1
    assert "line 2: rate: must be a number" in case.said[-1]
    rates.write_text("currency,from,rate\nUSD,,0.9\n")
    case.wait()
    assert case.stack.restarts[1:] == [("the exchange rates changed", Rates("EUR", {"USD": ((0, 0.9),)}))]
    os.utime(rates)
    case.wait()
    assert len(case.stack.restarts) == 2, "nothing has changed"


def test_a_clickhouse_that_is_down_is_asked_again(case: Case) -> None:
    case.down = True
    decide(case.settings.data_dir, "EUR", BY_FIRST_ORDER)
    case.wait()
    assert "are converted later: ClickHouse does not answer" in case.said[-1]
    case.down = False
    case.wait()
    assert case.converted == 0
    case.wait(AGAIN_SECONDS)
    assert (case.converted, len(case.stack.restarts)) == (1, 1)


def test_a_decision_that_was_taken_back_by_hand_changes_nothing(case: Case) -> None:
    decide(case.settings.data_dir, "EUR", BY_FIRST_ORDER)
    case.wait()
    (case.settings.data_dir / "base-currency.json").unlink()
    case.wait()
    assert len(case.stack.restarts) == 1
    assert "CRM_BASE_CURRENCY (was EUR)" in case.said[-1]
    assert rates_in_force(case.settings) == Rates("EUR")


def test_nothing_is_converted_while_workers_of_before_still_end(case: Case) -> None:
    case.stack.restarting = True
    decide(case.settings.data_dir, "EUR", BY_FIRST_ORDER)
    case.wait()
    case.wait(AGAIN_SECONDS)
    assert (case.converted, len(case.stack.restarts)) == (0, 1)
    case.stack.restarting = False
    case.wait()
    assert case.converted == 1


def test_a_clickhouse_that_hangs_delays_nothing_else(case: Case) -> None:
    case.hangs = True
    case.wait(AGAIN_SECONDS)
    decide(case.settings.data_dir, "EUR", BY_FIRST_ORDER)
    case.wait()
    assert case.stack.restarts == [("the base currency is EUR (from the first order)", Rates("EUR"))]


@pytest.mark.parametrize("step", ["prepare_recovery", "save_rates"])
def test_a_full_disk_ends_nothing_and_the_files_are_followed_when_there_is_room(
    step: str, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    decide(case.settings.data_dir, "EUR", BY_FIRST_ORDER)
    with monkeypatch.context() as patch:
        patch.setattr(keeper, step, fail)
        case.wait()
        case.wait()
    assert [line for line in case.said if "No space left on device" in line] == case.said[-1:]
    case.wait()
    assert case.stack.restarts == [("the base currency is EUR (from the first order)", Rates("EUR"))]

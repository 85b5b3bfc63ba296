"""The base currency of an installation is decided once; rates are worths in it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.base_currency import BY_FIRST_ORDER, BY_INIT, BY_SETTING, Decision, base_currency, decide, read_decision
from contracts.errors import CrmError, InputFileError, SettingsError
from contracts.rates import Rates
from contracts.settings import Settings
from crmstream.money.installation import installation_rates, money_gate


def make(folder: Path, **changes: object) -> Settings:
    return Settings(data_dir=folder, **changes)  # type: ignore[arg-type]


def test_nothing_is_decided_until_somebody_does(tmp_path: Path) -> None:
    assert installation_rates(make(tmp_path)) == (Rates(), None)
    assert list(tmp_path.iterdir()) == []


def test_a_setting_decides_and_holds_when_it_is_gone(tmp_path: Path) -> None:
    decided = Decision("EUR", BY_SETTING)
    assert base_currency(make(tmp_path / "new", base_currency="EUR")) == decided
    assert base_currency(make(tmp_path / "new")) == decided


def test_a_setting_needs_no_folder_that_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = make(tmp_path / "file" / "crm", base_currency="EUR")
    assert money_gate(settings).decision == Decision("EUR", BY_SETTING)


def test_another_setting_than_the_decision_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    decide(tmp_path, "EUR", BY_FIRST_ORDER)
    with pytest.raises(SettingsError, match=r"is USD, but this installation counts in EUR \(from the first order\)"):
        base_currency(make(tmp_path, base_currency="USD"))


def test_of_many_who_decide_at_once_one_wins_and_all_go_along(tmp_path: Path) -> None:
    codes = ["EUR", "USD", "JPY", "GBP"] * 8
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda code: decide(tmp_path, code, BY_INIT), codes))
    assert made == {read_decision(tmp_path)}
    assert [path.name for path in tmp_path.iterdir()] == ["base-currency.json"]


@pytest.mark.parametrize("code", ["XXX", "QQQ", "eur", ""])
def test_only_a_currency_can_be_the_base(tmp_path: Path, code: str) -> None:
    with pytest.raises(SettingsError, match="cannot be the base currency"):
        decide(tmp_path, code, BY_INIT)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"currency": "EUR"}', "\xff"])
def test_a_broken_decision_is_an_error_and_not_a_new_decision(tmp_path: Path, content: str) -> None:
    (tmp_path / "base-currency.json").write_text(content, "latin-1")
    with pytest.raises(SettingsError, match="cannot be read"):
        installation_rates(make(tmp_path))


def test_rates_come_from_settings_and_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("currency,from,rate\nUSD,2026-01-01,0.9\n")
    settings = make(
        tmp_path, base_currency="EUR", exchange_rates={"JPY": 0.006}, exchange_rates_file=tmp_path / "mine.csv"
    )
    rates, _ = installation_rates(settings)
    assert rates == Rates("EUR", {"JPY": ((0, 0.006),), "USD": ((20_454, 0.9),)})
    assert rates.all_steps["USD"] == ((0, 0.9),)


@pytest.mark.parametrize(
    ("settings", "file", "error", "problem"),
    [
        ({"exchange_rates": {"USD": 1.0}}, "", SettingsError, "no base currency is decided"),
        ({}, "USD,,1", SettingsError, "no base currency is decided"),
        ({"base_currency": "EUR"}, "EUR,,1", SettingsError, "EUR is the base currency, so its rate is 1"),
        ({"base_currency": "EUR", "exchange_rates": {"USD": 1.0}}, "USD,,1", SettingsError, "Remove one of them"),
        ({"base_currency": "EUR"}, "USD,,x", InputFileError, "line 2: rate"),
    ],
)
def test_what_contradicts_itself_is_an_error(
    tmp_path: Path, settings: dict[str, object], file: str, error: type[CrmError], problem: str
) -> None:
    (tmp_path / "rates.csv").write_text(f"currency,from,rate\n{file}\n")
    with pytest.raises(error, match=problem):
        installation_rates(make(tmp_path, **settings))


def test_doors_know_of_the_decision_that_another_process_makes(tmp_path: Path) -> None:
    gate = money_gate(make(tmp_path))
    assert gate.decision is None
    decide(tmp_path, "EUR", BY_INIT)
    assert gate.decision == Decision("EUR", BY_INIT)

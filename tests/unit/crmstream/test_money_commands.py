"""``crmstream init`` and ``crmstream rates``: what they decide, write, refuse and say."""

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from contracts.base_currency import read_decision
from crmstream import cli
from crmstream.money.rates_file import read_rates


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path / "crm"))
    return tmp_path / "crm"


def run(line: str, code: int = 0, **more: object) -> str:
    runner = CliRunner(env={"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1"})
    answer = runner.invoke(cli.app, line.split(), **more)  # type: ignore[arg-type]
    assert answer.exit_code == code, answer.output
    return " ".join(answer.output.split())


def test_init_decides_once(folder: Path) -> None:
    assert "Base currency: EUR (chosen with crmstream init)" in run("init --base-currency EUR")
    assert "Base currency: EUR" in run("init")
    assert "--base-currency is USD, but this installation counts in EUR" in run("init --base-currency USD", 1)
    assert str(read_decision(folder)) == "EUR (chosen with crmstream init)"


@pytest.mark.parametrize(
    ("code", "problem"),
    [("eur", "write EUR"), ("Euro", "not an ISO 4217"), ("QQQ", "not an ISO 4217"), ("XXX", "cannot be the base")],
)
def test_init_takes_codes_of_iso_4217_only(folder: Path, code: str, problem: str) -> None:
    assert problem in run(f"init --base-currency {code}", 1)
    assert read_decision(folder) is None


def test_init_without_a_terminal_leaves_it_to_the_first_order(folder: Path) -> None:
    assert "that of the first order" in run("init")
    assert (folder.is_dir(), read_decision(folder)) == (True, None)


def test_rates_are_set_one_by_one_and_shown(folder: Path) -> None:
    run("init --base-currency EUR")
    assert "1 USD is 0.92 EUR. `crmstream up` converts what waits." in run("rates set USD 0.92")
    assert "1 USD is 0.95 EUR from 2026-01-01 on." in run("rates set USD 0.95 --from 2026-01-01")
    run("rates set USD 0.93")
    shown = orjson.loads(run("rates show --json"))
    assert shown == {
        "base_currency": "EUR", "waiting": None,
        "rates": [{"currency": "USD", "from": None, "rate": 0.93},
                  {"currency": "USD", "from": "2026-01-01", "rate": 0.95}],
    }  # fmt: skip
    assert "Base currency: EUR" in run("rates show")


def test_a_file_of_rates_is_taken_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    run("init --base-currency EUR")
    run("rates set JPY 0.006")
    file = tmp_path / "bank.csv"
    file.write_text("currency,rate\nUSD,0.92\nGBP,\n")
    assert "line 3: rate: must be a number" in run(f"rates load {file}", 1)
    assert read_rates(folder / "rates.csv").keys() == {"JPY"}
    file.write_text("currency,rate\nUSD,0.92\nGBP,1.2\n")
    assert "2 rates of 2 currencies" in run(f"rates load {file}")
    assert read_rates(folder / "rates.csv").keys() == {"USD", "GBP"}
    assert "is not there" in run(f"rates load {tmp_path / 'none.csv'}", 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("rates set usd 1", "write USD"),
        ("rates set USD 1,08", "rate: must be a number"),
        ("rates set USD 0", "above 0"),
        ("rates set EUR 2", "EUR is the base currency"),
        ("rates set CHF 2", "CRM_EXCHANGE_RATES has a rate of CHF"),
        ("rates set USD 2 --from 1960-01-01", "before 1970"),
    ],
)
def test_a_wrong_rate_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, problem: str) -> None:
    run("init --base-currency EUR")
    monkeypatch.setenv("CRM_EXCHANGE_RATES", '{"CHF": 1.05}')
    assert problem in run(line, 1)
    assert not (folder / "rates.csv").exists()


def test_a_rate_needs_a_base_currency(folder: Path) -> None:
    assert "run `crmstream init` first" in run("rates set USD 1", 1)
    assert not folder.exists()

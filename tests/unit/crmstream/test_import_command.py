"""``crmstream import`` shows what it found, writes the mapping, and publishes only after a yes."""

from pathlib import Path
from typing import Any

import pytest
from click import unstyle
from rich.console import Console
from typer.testing import CliRunner

from contracts.base_currency import read_decision
from crmstream import cli
from crmstream.commands import import_file

ORDERS = "customer_id,date,amount\n17850.0,2026-05-01,12.50\nanna@example.com,2026-05-02,3\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file of orders, where no stack runs."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"CRM_{name}", raising=False)
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path / "nothing"))
    (tmp_path / "orders.csv").write_text(ORDERS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The mappings with which something was published: nothing is, really."""
    done: list[Any] = []
    monkeypatch.setattr(import_file, "_publish", lambda _file, mapping, *_: done.append(mapping))
    return done


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Console:
    """Somebody sits at a terminal of 80 columns."""
    console = Console(force_terminal=True, width=80, no_color=True)
    monkeypatch.setattr(import_file, "console", console)
    return console


def run(folder: Path, *options: str, answer: str | None = None) -> tuple[int, str]:
    words = ["import", str(folder / "orders.csv"), "--currency", "EUR", *options]
    done = CliRunner(env={"COLUMNS": "80"}).invoke(cli.app, words, input=answer)
    return done.exit_code, done.output


def test_a_dry_run_writes_the_mapping_and_says_how_to_go_on(folder: Path, published: list[Any]) -> None:
    code, said = run(folder, "--dry-run")
    assert code == 0
    assert "Nothing was published" in said
    assert "--mapping" in said
    assert "currency: EUR" in (folder / "orders.yaml").read_text(encoding="utf-8")
    assert published == []


def test_looking_at_a_file_does_not_decide_the_base_currency(folder: Path, published: list[Any]) -> None:
    assert run(folder, "--dry-run")[0] == 0
    assert read_decision(folder / "nothing") is None
    words = ["import", str(folder / "orders.csv"), "--yes", "--overwrite"]
    said = CliRunner(env={"COLUMNS": "80"}).invoke(cli.app, words).output
    assert "--currency EUR" in " ".join(said.split())
    assert published == []


def test_without_a_terminal_nothing_is_published_and_no_customer_is_shown(folder: Path, published: list[Any]) -> None:
    code, said = run(folder, answer="y\n")
    assert (code, published) == (0, [])
    assert "anna" not in said
    code, said = run(folder, "--yes")
    assert code == 0
    assert len(published) == 1
    assert "anna" not in said
    assert "17850" not in said


@pytest.mark.parametrize(("answer", "count"), [("y\n", 1), ("n\n", 0), ("\n", 0)])
def test_at_a_terminal_it_shows_events_and_asks(
    folder: Path, published: list[Any], terminal: Console, answer: str, count: int
) -> None:
    code, said = run(folder, answer=answer)
    assert code == 0
    assert len(published) == count
    assert "anna@example.com" in said
    assert "12.50 EUR" in said
    assert "17850 " in said
    assert ("Nothing was published" in said) == (not count)
    assert all(len(line) <= 80 for line in said.splitlines() if "│" in line)


def test_a_mapping_that_somebody_has_edited_is_not_replaced(folder: Path, published: list[Any]) -> None:
    assert run(folder, "--yes")[0] == 0
    assert run(folder, "--yes")[0] == 0  # the same again
    mapping = folder / "orders.yaml"
    mapping.write_text(mapping.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    code, said = run(folder, "--yes")
    assert code == 1
    assert "is there already" in said.replace("\n", " ")
    assert run(folder, "--yes", "--overwrite")[0] == 0
    assert "# mine" not in mapping.read_text(encoding="utf-8")
    assert run(folder, "--yes", "--output", str(folder / "other.yaml"), "--source", "till")[0] == 0
    assert [one.source for one in published] == ["orders", "orders", "orders", "till"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--set", "customer"], "write ROLE=COLUMN"),
        (["--set", "buyer=date"], "no role 'buyer'"),
        (["--currency", "Euro"], "ISO 4217"),
        (["--time-zone", "Middle/Earth"], "no such time zone"),
        (["--encoding", "klingon"], "There is no such encoding"),
        (["--output", "/nowhere/x.yaml"], "--output"),
    ],
)
def test_wrong_options_are_told(folder: Path, published: list[Any], options: list[str], problem: str) -> None:
    code, said = run(folder, "--yes", *options)
    assert code == 1
    assert problem in " ".join(said.split())
    assert published == []


def test_a_file_of_which_no_row_is_an_event_is_refused(folder: Path, published: list[Any]) -> None:
    (folder / "orders.csv").write_text("customer_id,date,amount\n,2026-05-01,1\n0,2026-05-02,2\n", encoding="utf-8")
    code, said = run(folder, "--yes")
    assert code == 1
    assert "None of the rows" in said
    assert published == []


@pytest.mark.usefixtures("published", "terminal")
@pytest.mark.parametrize("customer", ["ann@example.com", "somebody.with.a.long.name@a-long-domain.example", "7"])
def test_the_preview_shows_its_last_column_whole_on_80_columns(folder: Path, customer: str) -> None:
    rows = f"order,customer,date,amount,items\n1,{customer},2026-05-01,2450.00,3\n2,8,2026-05-02,1.00,2\n"
    (folder / "orders.csv").write_text(rows, encoding="utf-8")
    _, said = run(folder, answer="n\n")
    lines = unstyle(said).splitlines()
    head = next(line for line in lines if "customer" in line and "total" in line)
    assert "items" in head
    assert len(head) <= 80
    assert sum(line.startswith("│") for line in lines) == 2

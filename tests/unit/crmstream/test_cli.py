"""The overview teaches every command quickly, and what goes wrong is said in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crmstream import cli

WIDE = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
HEAVY = ("numpy", "confluent_kafka", "clickhouse_connect", "redis", "pyarrow", "river", "bytewax", "pydantic")


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """Runs commands where no stack runs and no server is named."""
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"CRM_{name}", raising=False)
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path / "nothing"))
    return CliRunner(env=WIDE)


def test_the_overview_lists_every_command_with_its_line(runner: CliRunner) -> None:
    answer = runner.invoke(cli.app, ["--help"])
    assert answer.exit_code == 0
    for name, (panel, line) in cli.COMMANDS.items():
        assert name in answer.stdout
        assert panel in answer.stdout
        assert line in answer.stdout


def test_the_overview_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom crmstream.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "print('LOADED', loaded)\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "LOADED []" in out


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_commands_help_begins_with_its_line_and_has_an_example(runner: CliRunner, name: str) -> None:
    answer = runner.invoke(cli.app, [name, "--help"])
    assert answer.exit_code == 0, answer.output
    assert cli.COMMANDS[name][1] in answer.stdout
    assert f"crmstream {name}" in answer.stdout.split("Examples")[1]
    assert "crm:score:{ID}" in answer.stdout or name != "score"


@pytest.mark.parametrize("name", ["connect", "identity", "plan", "privacy", "rates", "source", "webhook"])
def test_a_command_of_several_shows_its_help_when_it_is_told_nothing(runner: CliRunner, name: str) -> None:
    answer = runner.invoke(cli.app, [name])
    assert cli.COMMANDS[name][1] in answer.output
    assert "Examples" in answer.output
    assert "Missing command" not in answer.output


@pytest.mark.parametrize(
    "arguments", [["status"], ["top", "churn"], ["score", "c-1"], ["migrate"], ["simulate"]]
)
def test_without_a_stack_one_line_says_what_to_do(runner: CliRunner, arguments: list[str]) -> None:
    answer = runner.invoke(cli.app, arguments)
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: no stack is running")
    assert "crmstream up" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["top", "fame"], "no outcome 'fame'"),
        (["simulate", "--customers", "0"], "--customers: "),
        (["simulate", "--days", "-3"], "--days: "),
        (["replay", "orders.csv", "--mapping", "no-such-mapping"], "no-such-mapping"),
    ],
)
def test_wrong_arguments_are_named(runner: CliRunner, arguments: list[str], said: str) -> None:
    answer = runner.invoke(cli.app, arguments)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("Error: ")
    assert said in answer.stderr


def test_wrong_settings_are_named_and_their_values_not_shown(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_PARTITIONS", "many-secrets")
    monkeypatch.setenv("CRM_EPOCH_SECONDS", "0")
    answer = runner.invoke(cli.app, ["status"])
    assert answer.exit_code == 1
    assert "CRM_PARTITIONS: " in answer.stderr
    assert "CRM_EPOCH_SECONDS: " in answer.stderr
    assert "many-secrets" not in answer.stderr


def test_an_unknown_command_is_refused_with_a_suggestion(runner: CliRunner) -> None:
    answer = runner.invoke(cli.app, ["simulat"])
    assert answer.exit_code == 2
    assert "simulate" in answer.stderr


def test_a_typo_in_a_setting_is_said_once_and_stops_nothing(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CRM_SOURCES_FILE", str(tmp_path / "sources.yaml"))
    quiet = runner.invoke(cli.app, ["source", "list"])
    assert "no setting" not in quiet.stderr
    monkeypatch.setenv("CRM_WORKER", "2")
    said = runner.invoke(cli.app, ["source", "list"])
    assert said.stderr.count("CRM_WORKER is not a setting and is ignored: did you mean CRM_WORKERS?") == 1
    assert (said.exit_code, said.stdout) == (quiet.exit_code, quiet.stdout)

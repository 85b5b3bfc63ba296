"""The pages about sources: their files are read, and their commands run, in their order."""

import json
import re
import shlex
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from connectors import metrics
from connectors.plan.check import PlanChecker
from connectors.plan.plan import Plan
from connectors.privacy.protection import Protector
from connectors.privacy.rules import PrivacyRules
from connectors.sources.source import Source, load_sources
from crmstream import cli

PAGES = Path(__file__).parents[3] / "docs" / "sources"
KEY = "a key of at least thirty-two letters"
NEEDS_A_STACK = [["plan", "draft"], ["plan", "check"]]


def blocks(page: str) -> list[tuple[str, str]]:
    text = (PAGES / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def put_files(page: str, folder: Path) -> None:
    """Write the page's files into a folder: YAML under the name in its first line, JSON lines as events.jsonl."""
    for language, text in blocks(page):
        if language == "yaml":
            (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
        if language == "json":
            (folder / "events.jsonl").write_text(text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("CRM_PRIVACY_KEY", KEY)
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "REDIS_URL", "SOURCES_FILE"):
        monkeypatch.delenv(f"CRM_{name}", raising=False)
    return tmp_path


@pytest.mark.parametrize("page", ["README", "privacy", "tracking-plan"])
def test_commands_run(page: str, folder: Path) -> None:
    put_files(page, folder)
    lines = [line for language, text in blocks(page) if language == "sh" for line in text.splitlines()]
    assert lines
    stands_for = {"enc:1:...": str(Protector(SecretStr(KEY)).encrypt("x"))}
    for line in lines:
        words = [stands_for.get(word, word) for word in shlex.split(line.partition(">")[0])[1:]]
        answer = CliRunner(env={"COLUMNS": "160"}).invoke(cli.app, words)
        if words[:2] in NEEDS_A_STACK and "--file" not in words:
            assert "no stack is running" in answer.stderr
            continue
        assert answer.exit_code == ("--file" in words), answer.output
        if words[:2] == ["source", "add"]:
            (key,) = load_sources(folder / "data" / "sources.yaml").sources["web-shop"].keys
            stands_for["9f86d0"] = key.hash.removeprefix("sha256:")[:6]


def test_the_file_of_sources_shows_every_key(folder: Path) -> None:
    put_files("README", folder)
    put_files("tracking-plan", folder)
    source = load_sources(folder / "sources.yaml").sources["web-shop"]
    assert source.model_fields_set == set(Source.model_fields)
    assert source.privacy.model_fields_set == set(PrivacyRules.model_fields)
    put_files("privacy", folder)
    assert load_sources(folder / "sources.yaml").sources["web-shop"].privacy.needs_key


def test_the_plan_shows_every_key_and_finds_what_the_page_says(folder: Path) -> None:
    put_files("tracking-plan", folder)
    arguments = ["plan", "check", "web-shop.plan.yaml", "--file", "events.jsonl", "--json"]
    (event,) = json.loads(CliRunner().invoke(cli.app, arguments).stdout)["events"]
    assert [one["field"] for one in event["violations"]] == ["order_id", "total"]
    text = (PAGES / "tracking-plan.md").read_text(encoding="utf-8")
    for name in Plan.model_fields:
        assert re.search(rf"^{name}:", text, re.MULTILINE)
    assert PlanChecker(Plan()).check("x", {}).violations


def test_every_metric_of_connectors_is_shown_with_its_kind_and_its_description() -> None:
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    families = [family for metric in metrics.CATALOGUE for family in metric.describe()]
    rows = [f"| `{family.name}_total` | {family.type} | {family.documentation} |" for family in families]
    assert rows == re.findall(r"^\| `crm_.*$", text, re.MULTILINE)

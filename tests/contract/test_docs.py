"""The documents name only what there is: commands and options, make targets, settings, topics, files."""

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup

from contracts.metrics import CATALOGUE
from contracts.settings import Settings
from contracts.topics import ALL_TOPICS
from crmstream.cli import COMMANDS, load_command

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
ENVIRONMENT_ONLY = {"CRM_WORKER_METRICS_PORT", "CRM_WORKER_ADDRESSES", "CRM_WORKER_RUN"}


def shell_lines(text: str) -> list[list[str]]:
    """The commands of the shell blocks, in words. Scripts that a command is handed in quotes are words of it."""
    lines = []
    for block in re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        whole = ""
        for line in block.splitlines():
            whole += line
            try:
                words = shlex.split(whole, comments=True)
            except ValueError:  # a quotation or an escape goes on in the next line
                whole = whole.removesuffix("\\") + "\n"
                continue
            lines.append(words)
            whole = ""
        assert not whole.strip(), "a quotation is not closed"
    return [line for line in lines if line]


def crmstream_lines() -> list[list[str]]:
    lines = []
    for page in PAGES:
        for line in shell_lines(page.read_text(encoding="utf-8")):
            while line and re.match(r"[A-Z_]+=", line[0]):
                line = line[1:]  # noqa: PLW2901 - variables before the program
            if line and Path(line[0]).name == "crmstream":
                until = min((line.index(sign) for sign in "<>|" if sign in line), default=len(line))
                lines.append(line[1:until])
    return lines


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    known = {f"CRM_{name.upper()}" for name in Settings.model_fields} | ENVIRONMENT_ONLY
    named = set(re.findall(r"\bCRM_[A-Z_]+[A-Z]\b", page.read_text(encoding="utf-8")))
    assert named <= known


def rows_of_operations() -> dict[str, list[str]]:
    """The rows of the tables in operations.md by their first cell."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    return {name: rest.split(" | ") for name, rest in rows}


def test_every_setting_is_in_operations_with_its_default_and_its_description() -> None:
    rows = rows_of_operations()
    for name, field in Settings.model_fields.items():
        default, meaning = rows[f"CRM_{name.upper()}"]
        assert meaning == field.description
        if name != "outcomes":
            assert default == ("not set" if field.default is None else f"`{field.default}`")


def test_every_metric_is_in_operations_with_its_kind_and_its_description() -> None:
    rows = rows_of_operations()
    families = [family for metric in CATALOGUE for family in metric.describe()]
    assert families
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert rows[name] == [family.type, family.documentation]


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "architecture.md"], ids=lambda page: page.name)
def test_topics_exist(page: Path) -> None:
    known = {topic.name for topic in ALL_TOPICS} | {"crm-dataflow"}
    assert set(re.findall(r"\bcrm-[a-z-]+[a-z]\b", page.read_text(encoding="utf-8"))) <= known


def test_tests_that_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_make_targets_exist() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`make (\w+)`", README + contributing)) | {
        word for line in shell_lines(README) if line[0] == "make" for word in line[1:]
    }
    assert {"demo", "test", "bench"} <= named <= set(phony.split())


@pytest.mark.parametrize("line", crmstream_lines(), ids=" ".join)
def test_commands_take_what_the_documents_give_them(
    line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in line[1:]:
        if re.search(r"\.\w+$", word):
            (tmp_path / Path(word).name).touch()
    assert line[0] in COMMANDS
    command, name, arguments = load_command(line[0]), line[0], list(line[1:])
    while isinstance(command, TyperGroup):  # a command of commands takes what its part takes
        with command.make_context(name, list(arguments), resilient_parsing=True) as context:
            name, command, arguments = command.resolve_command(context, arguments)
    command.make_context(name, arguments)  # raises where an argument is wrong


def test_the_readme_shows_every_way_in_and_out() -> None:
    shown = {line[1] for line in shell_lines(README) if Path(line[0]).name == "crmstream"}
    assert {"up", "replay", "status", "top", "score", "backtest"} <= shown

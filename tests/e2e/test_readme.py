"""The README as printed: all its commands in one new shell, in their order, by somebody who has only the checkout."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
VENV = Path(sys.executable).parent.parent
UP = ".venv/bin/crmstream up"
LONG = {"make demo": "tests/e2e/test_demo.py runs the demo", "make test": "this is a part of it"}


class Done(NamedTuple):
    """A command that ended."""

    code: int
    output: str


def lines() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


def clean() -> dict[str, str]:
    """What a new shell has: no setting, no key, no address."""
    return {"HOME": os.environ.get("HOME", "/"), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout after its environment was made, and nothing else."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / ".venv").symlink_to(VENV)
    (folder / "docs").symlink_to(ROOT / "docs")
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("*.yaml"))
    return folder


@pytest.fixture(scope="module")
def done(checkout: Path) -> Iterator[dict[str, Done]]:
    """Every command of the README and how it ended; ``up`` runs beside them until the others have."""
    up = subprocess.Popen(
        ["bash", "--noprofile", "--norc", "-c", f"exec {UP}"],
        cwd=checkout, env=clean(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert up.stdout is not None
        assert any(line.startswith("Up.") for line in up.stdout), "`up` ended before it was up"
        yield _run([line for line in lines() if line != UP and line not in LONG], checkout)
    finally:
        up.send_signal(signal.SIGINT)
        up.communicate(timeout=60)
    assert up.returncode == 0


def _run(commands: list[str], checkout: Path) -> dict[str, Done]:
    """Run commands in one shell, one after another at once, as pasted."""
    mark = "--8<--"
    script = "\n".join(f"{{ {line}\n}} 2>&1; echo; echo '{mark}' $?" for line in commands)
    shell = subprocess.run(
        ["bash", "--noprofile", "--norc"], input=script, cwd=checkout, env=clean(),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    parts = re.split(rf"^{mark} (\d+)$", shell.stdout, flags=re.MULTILINE)
    outputs, codes = parts[0:-1:2], parts[1::2]
    assert len(codes) == len(commands), shell.stderr
    return {line: Done(int(code), text) for line, code, text in zip(commands, codes, outputs, strict=True)}


def test_the_two_commands_are_the_makefiles() -> None:
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [line for line in lines() if line.startswith("make ")] == list(LONG)
    assert {line.split()[1] for line in LONG} <= set(targets)


def test_every_file_that_it_names_is_there() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    named = [word for line in lines() for word in line.split() if word.startswith("examples/")]
    assert links
    assert named
    assert [name for name in (*links, *named) if not (ROOT / name).exists()] == []


def test_every_command_works_as_printed(done: dict[str, Done]) -> None:
    assert {line: end for line, end in done.items() if end.code} == {}


@pytest.mark.parametrize(
    ("beginning", "shown"),
    [
        (".venv/bin/crmstream replay", "2,210"),
        (".venv/bin/crmstream top churn", "c-0000"),
        (".venv/bin/crmstream score", "c-000042"),
        (".venv/bin/crmstream sql", "c-0000"),
        ("redis-cli", "churn"),
        ("curl", '"success":true'),
        (".venv/bin/crmstream identity show", "c-000042 is a customer"),
        (".venv/bin/crmstream backtest", "predictions"),
    ],
)
def test_every_command_shows_what_it_is_for(beginning: str, shown: str, done: dict[str, Done]) -> None:
    ends = [end for line, end in done.items() if line.startswith(beginning)]
    assert ends
    assert all(shown in end.output for end in ends), ends[0].output

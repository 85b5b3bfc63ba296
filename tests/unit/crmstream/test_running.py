"""A stack outlives the terminal to which it speaks."""

from pathlib import Path

import pytest

from contracts.settings import Settings
from crmstream.running import full_stack


@pytest.mark.parametrize("trouble", [OSError(5, "Input/output error"), BrokenPipeError(), SystemExit(1)])
def test_a_terminal_that_is_gone_ends_no_stack(trouble: BaseException, tmp_path: Path) -> None:
    said: list[str] = []

    def say(what: str) -> None:
        said.append(what)
        raise trouble

    stack = full_stack(Settings(data_dir=tmp_path), say)
    stack._on_event("stopping")
    assert said == ["stopping"]

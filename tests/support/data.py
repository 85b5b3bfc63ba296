"""The real data that some tests read: it lies beside the checkout and is no part of it."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2].parent / "shared"


def real(path: str) -> Path:
    """The path of a real file; the test fails when it is not there."""
    file = FOLDER / path
    if not file.exists():
        pytest.fail(f"this test reads real data: {file} must be there (see CONTRIBUTING.md)", pytrace=False)
    return file

"""Aligned columns as plain lines: ids stay whole, and no line wraps. Pure."""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

GAP: Final = "  "


def aligned(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), width: int = 80,
    needed: int | None = None,
) -> list[str]:
    """Lines of aligned cells, the heads first; the columns ``right`` are flush right.

    Where a line would be wider than ``width``, columns beyond the first ``needed`` are left out from the end; the
    needed ones (by default all) are written whole, however wide they are.
    """
    table = [list(heads), *map(list, rows)]
    widths = [max(cell_len(row[at]) for row in table) for at in range(len(heads))]
    shown = len(heads)
    while shown > (needed or len(heads)) and sum(widths[:shown]) + len(GAP) * (shown - 1) > width:
        shown -= 1
    return [GAP.join(_cell(row[at], widths[at], at in right) for at in range(shown)).rstrip() for row in table]


def _cell(text: str, width: int, right: bool) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if right else text + blanks


def indented(text: str, width: int, indent: str = "    ") -> list[str]:
    """Text as lines of words within ``width``, all of them indented; a longer word stays whole."""
    lines, line = [], indent
    for word in text.split():
        longer = f"{line} {word}" if line.strip() else f"{indent}{word}"
        if cell_len(longer) > width and line.strip():
            lines.append(line)
            line = f"{indent}{word}"
        else:
            line = longer
    return [*lines, line]

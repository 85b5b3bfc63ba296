"""docs/event-names.md shows the tables of names as the code has them."""

import re
from collections.abc import Mapping
from pathlib import Path

from connectors.collector.clocks import SERVER_LIBRARIES
from connectors.door.name_table import ORIGINS, RESEMBLING, Origin
from connectors.door.spellings import CONTEXT, OF_EVENTS, SPELLINGS

DOCS = Path(__file__).parents[4] / "docs"
PAGE = (DOCS / "event-names.md").read_text(encoding="utf-8")


def by_meaning(names: Mapping[str, str]) -> list[str]:
    """The rows of a table: a known name, and the names that mean it."""
    meant: dict[str, list[str]] = {}
    for name, known in names.items():
        meant.setdefault(known, []).append(f"`{name}`")
    return [f"| {known} | {', '.join(spelled)} |" for known, spelled in meant.items()]


def of_origin(origin: Origin) -> list[str]:
    return [f"### {origin.title}", *by_meaning(origin.names)]


def of_properties() -> list[str]:
    rows = []
    for kind, columns in SPELLINGS.items():
        for column, spelled in columns.items():
            context = [".".join(("context", *CONTEXT[column]))] if kind == "web" and column in CONTEXT else []
            rows.append(f"| {kind} | `{column}` | {', '.join(f'`{one}`' for one in (*spelled, *context))} |")
    for name, more in OF_EVENTS.items():
        for column, names in more.items():
            rows.append(f"| {name} | `{column}` | {', '.join(f'`{one}`' for one in names)} |")
    return rows


def shown(rows: list[str]) -> list[str]:
    """Those of the rows that the page has, in its order."""
    wanted = set(rows)
    return [line for line in PAGE.splitlines() if line in wanted]


def test_every_alias_and_every_name_that_is_only_close_is_shown() -> None:
    rows = [row for origin in ORIGINS[1:] for row in of_origin(origin)]
    assert shown(rows) == rows
    assert shown(by_meaning(RESEMBLING)) == by_meaning(RESEMBLING)
    described = set(re.findall(r"^\| .* \| `.*$", PAGE, re.MULTILINE))
    assert described <= {*rows, *by_meaning(RESEMBLING), *of_properties()}


def test_every_spelling_of_a_property_is_shown_in_the_order_in_which_it_is_tried() -> None:
    assert shown(of_properties()) == of_properties()


def test_every_library_whose_clock_is_trusted_is_shown() -> None:
    text = (DOCS / "sources" / "tracking-api.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^\| trusted \| (.*) \|$", text, re.MULTILINE)
    assert set(re.findall(r"`([^`]+)`", listed)) == SERVER_LIBRARIES

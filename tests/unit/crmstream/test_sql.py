"""Statements of SQL as text, answers as text, and the shell that a person types into."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from contracts.errors import CrmError
from crmstream.sql.layout import Format, lay_out
from crmstream.sql.session import Answer, explain
from crmstream.sql.shell import Shell
from crmstream.sql.statements import names_format, only_reads, split, statements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';', `a;b` -- ;\n/* ; */;;", ["SELECT ';', `a;b` -- ;\n/* ; */"]),
        ("-- nothing\n", []),
        ("", []),
    ],
)
def test_statements_end_at_semicolons_outside_of_strings_and_comments(text: str, expected: list[str]) -> None:
    assert statements(text) == expected


def test_an_open_statement_waits() -> None:
    assert split("SELECT 1; SELECT\n2") == (["SELECT 1"], "SELECT\n2")


@pytest.mark.parametrize("text", ["select 1", "(SELECT 1)", "WITH 1 AS x SELECT x", "-- a\nSHOW TABLES", "DESC t"])
def test_reading(text: str) -> None:
    assert only_reads(text)


@pytest.mark.parametrize("text", ["DROP TABLE t", "/* SELECT */ INSERT INTO t VALUES (1)", "SYSTEM STOP MERGES", ""])
def test_all_else_may_change_something(text: str) -> None:
    assert not only_reads(text)


def test_a_format_of_clickhouse_is_seen() -> None:
    assert names_format("SELECT 1 FORMAT CSV")
    assert names_format("SELECT 1 format CSV SETTINGS max_threads = 1")
    assert not names_format("SELECT 'FORMAT CSV', format FROM t")


ROW = (1, None, Decimal("1.50"), datetime(2026, 5, 1, 10, tzinfo=UTC), date(2026, 5, 1), "a\x1b[31m", b"\xff", ["x"])
COLUMNS = ("n", "nothing", "money", "at", "day", "text", "raw", "list")


@pytest.mark.parametrize("form", ["table", "csv", "json", "vertical"])
def test_every_kind_of_value_is_written_in_every_format(form: Format) -> None:
    text = lay_out(Answer(COLUMNS, [ROW], 0.1), form, 200)
    assert "\x1b" not in text, "data moves no cursor"
    for value in ("1.50", "2026-05-01", "x"):
        assert value in text


def test_numbers_stand_right_and_wide_answers_stand_below_each_other() -> None:
    answer = Answer(("number", "t"), [(5, "a"), (10, "b")], 0.0)
    assert lay_out(answer, "table", 80) == "number  t\n──────  ─\n     5  a\n    10  b\n"
    assert lay_out(answer, "table", 8) == "─── 1\nnumber  5\nt       a\n─── 2\nnumber  10\nt       b\n"
    assert lay_out(Answer(("a",), [], 0.0), "table", 80) == "a\n─\n"


def test_errors_lose_their_codes() -> None:
    raw = (
        "Received ClickHouse exception, code: 60, server response: Code: 60. DB::Exception: Unknown table expression "
        "identifier 'nix'. In scope SELECT x FROM nix. (UNKNOWN_TABLE) (version 26.9.2.1)"
    )
    assert explain(raw).startswith("Unknown table expression identifier 'nix'. In scope SELECT x FROM nix. `SHOW")
    assert explain("boom") == "boom."


@pytest.fixture
def typed() -> Callable[..., tuple[list[str], list[str]]]:
    """Type lines into a shell; returns the statements that ran and what the shell said."""

    def play(*lines: str | type[BaseException], fail: bool = False) -> tuple[list[str], list[str]]:
        ran: list[str] = []
        said: list[str] = []
        given: Iterator[str | type[BaseException]] = iter(lines)

        def read(_: str) -> str:
            line = next(given, EOFError)
            if isinstance(line, str):
                return line
            raise line

        def run(statement: str, form: Format) -> None:
            ran.append(f"{form}: {statement}")
            if fail:
                raise CrmError("no such table")

        Shell(run, said.append, read=read).loop()
        return ran, said

    return play


def test_a_statement_may_have_several_lines(typed: Callable[..., tuple[list[str], list[str]]]) -> None:
    assert typed("SELECT", "1; SELECT 2", ";", "\\q", "SELECT 3;")[0] == ["table: SELECT\n1", "table: SELECT 2"]
    assert typed("SELECT", KeyboardInterrupt, "SELECT 4;")[0] == ["table: SELECT 4"]


def test_commands_of_the_shell(typed: Callable[..., tuple[list[str], list[str]]]) -> None:
    ran, said = typed("\\tables", "\\describe customers", "\\format csv", "SELECT 1;", "\\describe a b;", "\\nix")
    assert ["system.tables" in ran[0], "DESCRIBE TABLE customers" in ran[1]] == [True, True]
    assert ran[2:] == ["csv: SELECT 1"]
    assert len([text for text in said if "\\help" in text]) == 2
    assert "FINAL" in typed("\\help")[1][0]


def test_an_error_is_said_and_the_shell_goes_on(typed: Callable[..., tuple[list[str], list[str]]]) -> None:
    ran, said = typed("SELECT 1;", "SELECT 2;", fail=True)
    assert (len(ran), said[:2]) == (2, ["Error: no such table"] * 2)

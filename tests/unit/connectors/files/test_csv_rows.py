"""The strict reader of CSV: every line is part of a row or is reported; nothing is swallowed."""

import contextlib
import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.files import csv_rows
from connectors.files.csv_rows import Dialect, Lines, read_header, read_rows, separator_of
from contracts.errors import InputFileError
from contracts.wire import RejectedError

COMMA = Dialect(",", '"')
UNCLOSED = "has a quote that is not closed"
ROW = "hb,2026-05-01,10.00,fine\n"


def read(text: str, width: int | None = 4, dialect: Dialect = COMMA) -> list[tuple[int, list[str] | str]]:
    rows = read_rows(Lines(io.StringIO(text, newline="")), dialect, width)
    return [(line, row.problem if isinstance(row, RejectedError) else row) for line, row in rows]


def rejected(text: str, width: int = 4) -> list[tuple[int, str]]:
    return [(line, row) for line, row in read(text, width) if isinstance(row, str)]


@pytest.mark.parametrize(
    "broken",
    [
        'hb,2026-05-01,10.00,"open\n',
        'hb,"2026-05-01,10.00,open\n',
        '"hb,2026-05-01,10.00,open\n',
        'hb,2026-05-01,10.00,"open ""once"" more\n',
        'hb,2026-05-01,10.00,"\n',
    ],
)
@pytest.mark.parametrize("others", [ROW, 'hb,2026-05-01,10.00,"fine"\n', '"hb","2026-05-01","10.00",""\n'])
def test_an_unclosed_quote_costs_one_row(broken: str, others: str) -> None:
    found = read(others * 2_999 + broken + others * 6_000)
    assert [one for one in found if isinstance(one[1], str)] == [(3_000, UNCLOSED)]
    assert len(found) == 9_000


def test_two_unclosed_quotes_are_two_rows_and_not_one_long_field() -> None:
    text = ROW + 'a,b,c,"open\n' + ROW * 3 + 'a,b,c,"\n' + ROW
    assert rejected(text) == [(2, UNCLOSED), (6, UNCLOSED)]
    assert len(read(text)) == 7


@pytest.mark.parametrize("end", ['"\n', '"",x,"\n', 'a,"b",c,"\n', 'text, and more"\n'])
def test_rows_between_two_stray_quotes_are_not_one_long_field(end: str) -> None:
    text = ROW + 'a,b,c,"open\n' + ROW * 2_000 + end + ROW
    found = read(text)
    assert found[1] == (2, UNCLOSED)
    assert sum(one[1] == ["hb", "2026-05-01", "10.00", "fine"] for one in found) == 2_002


def test_a_quote_that_is_open_across_blocks_costs_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "_BLOCK", 100)
    text = ROW * 10 + 'a,b,c,"open\n' + ROW * 500 + '"long\nfield",b,c,d\r\n' + ROW
    found = read(text)
    assert [one for one in found if isinstance(one[1], str)] == [(11, UNCLOSED)]
    assert found[-2:] == [(512, ["long\nfield", "b", "c", "d"]), (514, ["hb", "2026-05-01", "10.00", "fine"])]


def test_fields_over_several_lines_are_read() -> None:
    text = 'a,b,c,"one\r\ntwo, with a comma\n\nthree ""quoted"""\n"x\ny",b,c,d\n' + ROW
    assert read(text)[:2] == [
        (1, ["a", "b", "c", 'one\r\ntwo, with a comma\n\nthree "quoted"']),
        (5, ["x\ny", "b", "c", "d"]),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('a,"b"x,c,d\n', "has text after a closing quote"),
        ('a,"b" ,c,d\n', "has text after a closing quote"),
        ("a,b,c\n", "has 3 columns where 4 are expected"),
        ("a,b,c,d,e\n", "has 5 columns where 4 are expected"),
        ("a,b," + "c" * 131_073 + ",d\n", "has a field of more than 131,072 characters"),
        ('a,b,"one\ntwo"x,c\n', UNCLOSED),
    ],
)
def test_other_faults_cost_one_row_each(line: str, problem: str) -> None:
    found = read(ROW + line + ROW)
    assert found[1] == (2, problem)
    assert found[0][1] == found[-1][1] == ["hb", "2026-05-01", "10.00", "fine"]


def test_quotes_inside_an_unquoted_field_are_text() -> None:
    assert read('5" nail,b,say "hi",d\n') == [(1, ['5" nail', "b", 'say "hi"', "d"])]


def test_line_ends_may_be_mixed() -> None:
    assert read("a,b,c,d\re,f,g,h\r\ni,j,k,l\n\r\n \nm,n,o,p") == [
        (1, list("abcd")), (2, list("efgh")), (3, list("ijkl")), (6, list("mnop")),
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["a,b", 'a,b,c,"open', 'a,b,c,"open\n', 'a,b,"open\ntwo\n', '"'])
def test_a_file_that_is_cut_off_is_refused(end: str) -> None:
    with pytest.raises(InputFileError, match="cut off: line 3"):
        read(ROW * 2 + end)


@pytest.mark.parametrize("end", ["a,b,c,d", "a,b,c,", "\x1a", " ", "a,b\n", "a,b,c,d,e"])
def test_a_file_whose_last_line_is_whole_is_read(end: str) -> None:
    assert len(read(ROW * 2 + end)) >= 2


def test_blanks_may_separate_columns() -> None:
    blanks = Dialect.of("whitespace", '"')
    assert read("a  b\n\n c d \ne", None, blanks) == [(1, ["a", "b"]), (3, ["c", "d"]), (4, ["e"])]
    with pytest.raises(InputFileError, match="line 2"):
        read("a b\nc", 2, blanks)


def test_excels_line_with_the_separator_is_no_header() -> None:
    lines = Lines(io.StringIO("sep=;\r\nid;at\r\n1;2\r\n", newline=""))
    assert separator_of(lines) == ";"
    assert read_header(lines, Dialect(";", '"')) == ("id", "at")
    assert list(read_rows(lines, Dialect(";", '"'), 2)) == [(3, ["1", "2"])]
    assert separator_of(Lines(io.StringIO("separator;x\n", newline=""))) is None


def test_a_header_with_an_open_quote_is_refused() -> None:
    with pytest.raises(InputFileError, match="header in line 1 has a quote"):
        read_header(Lines(io.StringIO('id,"at\n1,2\n', newline="")), COMMA)


def test_a_file_without_line_ends_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_rows, "LONGEST_LINE", 1_000)
    monkeypatch.setattr(csv_rows, "_BLOCK", 100)
    with pytest.raises(InputFileError, match="Line 2 has more than 1,000"):
        read(ROW + "x" * 5_000)


PIECES = st.sampled_from(["a", "b", '"', '""', ",", "\n", "\r\n", "\r", " ", "\0", "é", "ab,cd,ef\n", '"x"'])


@settings(max_examples=400, deadline=None)
@given(pieces=st.lists(PIECES, max_size=60), width=st.integers(1, 4))
@example(pieces=['"', "a", "\n", '"'], width=1)
def test_every_line_is_accounted_for(pieces: list[str], width: int) -> None:
    """Lines of accepted rows, rejected lines and blank lines are all the lines of the file, each once and in order."""
    text = "".join(pieces)
    physical = io.StringIO(text, newline="").readlines()
    rows = read_rows(Lines(io.StringIO(text, newline="")), COMMA, width)
    at = 0
    with contextlib.suppress(InputFileError):  # the file is cut off, and refused as a whole
        for number, row in rows:
            assert all(map(_blank, physical[at : number - 1]))
            at = number - 1 + (1 if isinstance(row, RejectedError) else _lines_of(row, physical[number - 1 :]))
        assert all(map(_blank, physical[at:]))


def _blank(line: str) -> bool:
    return not line.strip(" \r\n") or line.strip() == '""'


def _lines_of(row: list[str], lines: list[str]) -> int:
    """How many lines the csv module needs for a row; it must be the row that was read."""
    reader = csv.reader(lines)
    assert next(reader) == row
    return reader.line_num


def _table(letters: str) -> st.SearchStrategy[list[list[str]]]:
    cells = st.text(st.sampled_from(letters), max_size=8)
    rows = st.integers(2, 5).map(lambda width: st.lists(cells, min_size=width, max_size=width))
    return rows.flatmap(lambda row: st.lists(row, max_size=12))


@settings(max_examples=300, deadline=None)
@given(
    rows=st.one_of(_table('a"é \r\n'), _table('a",;é ')),  # line breaks, or delimiters
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_the_csv_module_writes_is_read_back(rows: list[list[str]], quoting: int) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    assert [row for _, row in read(out.getvalue(), len(rows[0]) if rows else 2)] == rows

"""What an export reads, how the end of an answer is checked, and that a file is whole or not there."""

import csv
import io
import os
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from contracts.errors import CrmError
from crmstream.sql.body import EXCEPTION_TAG_HEADER, Body, Form
from crmstream.sql.export import CHUNK_BYTES, Target, Written, export_to_file, export_to_stream
from crmstream.sql.export_source import choose_form, find_source

QUERY = "SELECT 1 AS n"
TAG = "rwzhvnamhqcfyfbh"
MESSAGE = "Code: 395. DB::Exception: boom: while executing 'x'. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO) (version 25.1.6)"
TAGGED = f"\r\n__exception__\r\n{TAG}\r\n{MESSAGE}\n{len(MESSAGE)} {TAG}\r\n__exception__\r\n".encode()
TABLES = [
    ("customers", "ReplacingMergeTree", 7),
    ("transactions", "ReplicatedReplacingMergeTree", None),
    ("log", "MergeTree", 9),
    ("orders", "View", None),
]


class Answer:
    """A response of ClickHouse in chunks; an exception among them is raised there."""

    def __init__(self, *chunks: bytes | BaseException, tag: str | None = None):
        self.headers = {EXCEPTION_TAG_HEADER: tag} if tag else {}
        self.closed = False
        self._chunks = chunks

    def stream(self, size: int) -> Iterator[bytes]:
        assert size == CHUNK_BYTES
        for chunk in self._chunks:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    def close(self) -> None:
        self.closed = True


class FakeClient:
    """A client with tables and one answer."""

    database = "crm"

    def __init__(self, answer: Answer | Exception | None = None, tables: list[tuple[Any, ...]] | None = None):
        self.server_settings = {"http_write_exception_in_output_format": None}
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self._answer = answer
        self._tables = TABLES if tables is None else tables

    def query(self, query: str, parameters: dict[str, str]) -> Any:
        assert parameters == {"database": "crm"}
        assert "{database:String}" in query
        return type("Result", (), {"result_rows": self._tables})

    def raw_stream(self, query: str, parameters: None, settings: dict[str, str], fmt: str) -> Answer:
        assert parameters is None
        self.asked.append((query, settings, fmt))
        if isinstance(self._answer, Exception):
            raise self._answer
        assert self._answer is not None
        return self._answer


def write(answer: Answer | Exception, target: Path, form: Form = "csv", *, overwrite: bool = False) -> Written:
    return export_to_file(FakeClient(answer), QUERY, form, Target(target, overwrite), lambda body: None)


# The format


@pytest.mark.parametrize(
    ("out", "given", "form"),
    [("a.csv", None, "csv"), ("A.CSV", None, "csv"), ("a/b.parquet", None, "parquet"), ("a.jsonl", None, "jsonl"),
     ("a.ndjson", None, "jsonl"), ("-", None, "csv"), ("-", "jsonl", "jsonl"), ("a.csv", "parquet", "parquet"),
     ("a.txt", "csv", "csv")],
)  # fmt: skip
def test_the_format_follows_the_suffix_unless_it_is_given(out: str, given: Form | None, form: Form) -> None:
    assert choose_form(out, given) == form


@pytest.mark.parametrize("out", ["a.txt", "a", "a.csv.gz", ".csv"])
def test_an_unknown_suffix_is_refused(out: str) -> None:
    with pytest.raises(CrmError, match=r"names no format. Known are .csv, .parquet, .jsonl, .ndjson; .*--format"):
        choose_form(out, None)


# The source


@pytest.mark.parametrize(
    ("name", "query", "rows"),
    [("customers", "SELECT * FROM `customers` FINAL", 7),
     (" transactions\n", "SELECT * FROM `transactions` FINAL", None),
     ("log", "SELECT * FROM `log`", 9), ("orders", "SELECT * FROM `orders`", None)],
)  # fmt: skip
def test_only_tables_that_replace_rows_are_read_with_final(name: str, query: str, rows: int | None) -> None:
    source = find_source(FakeClient(), name)
    assert (source.query, source.most_rows) == (query, rows)


def test_a_name_is_quoted() -> None:
    odd = "a`b\\"
    assert find_source(FakeClient(tables=[(odd, "View", None)]), odd).query == "SELECT * FROM `a\\`b\\\\`"


def test_an_unknown_table_gets_a_suggestion_or_the_list() -> None:
    with pytest.raises(CrmError, match=r"no table or view custmers in the database crm\. Did you mean customers\?"):
        find_source(FakeClient(), "custmers")
    with pytest.raises(CrmError, match=r"There are: customers, transactions, log, orders\."):
        find_source(FakeClient(), "xyz")
    with pytest.raises(CrmError, match="crmstream migrate"):
        find_source(FakeClient(tables=[]), "customers")


@pytest.mark.parametrize(
    "query",
    ["SELECT 1;", "WITH 1 AS x SELECT x", "WITH totals AS (SELECT 1) SELECT * FROM totals",
     "SELECT 'INTO OUTFILE', format FROM t", "-- the\nSHOW TABLES"],
)  # fmt: skip
def test_one_query_that_reads_is_taken(query: str) -> None:
    assert find_source(FakeClient(), query).query == query.rstrip(";")


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("", "there are 0 statements"),
        ("-- nothing", "there are 0 statements"),
        ("SELECT 1; SELECT 2", "there are 2 statements"),
        ("DROP TABLE customers", "only reads"),
        ("INSERT INTO t SELECT 1", "only reads"),
        ("SELECT 1 FORMAT CSV", "Leave FORMAT and INTO OUTFILE out"),
        ("SELECT 1 format CSV SETTINGS max_threads = 1", "Leave FORMAT and INTO OUTFILE out"),
        ("SELECT 1 into outfile 'x' FORMAT CSV SETTINGS a = 1", "Leave FORMAT and INTO OUTFILE out"),
        ("SELECT a, count() FROM t GROUP BY a WITH TOTALS", "Leave WITH TOTALS out"),
    ],
)
def test_all_else_is_refused_with_its_reason(query: str, why: str) -> None:
    with pytest.raises(CrmError, match=why):
        find_source(FakeClient(), query)


# The end of an answer


def fed(form: Form, content: bytes, size: int, tag: str | None = None) -> Body:
    body = Body(form, tag)
    for at in range(0, len(content), size):
        body.feed(content[at : at + size])
    return body


@given(
    rows=st.lists(st.lists(st.text(alphabet='a",\r\n\u20ac'), min_size=2, max_size=2), max_size=6),
    size=st.integers(1, 9),
)
def test_rows_of_csv_are_counted_across_quotes_and_chunks(rows: list[list[str]], size: int) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["one", "two\n"], *rows])
    body = fed("csv", text.getvalue().encode(), size)
    assert (body.rows, body.is_complete(), body.failure()) == (len(rows), True, None)
    assert not fed("csv", text.getvalue().encode()[:-2], size).is_complete()


def test_rows_of_json_lines_are_counted() -> None:
    body = fed("jsonl", b'{"a":"x\\ny"}\n{"a":2}\n', 5)
    assert (body.rows, body.is_complete()) == (2, True)
    assert (fed("jsonl", b"", 1).rows, fed("jsonl", b"", 1).is_complete()) == (0, True)
    assert not fed("jsonl", b'{"a":1}\n{"a"', 5).is_complete()


@pytest.mark.parametrize(
    ("content", "complete"),
    [(b"PAR1....PAR1", True), (b"PAR1....", False), (b"PAR1", False), (b"", False), (b"....----PAR1", False)],
)
def test_parquet_ends_with_its_magic(content: bytes, complete: bool) -> None:
    for size in (1, 3, 100):
        body = fed("parquet", content, size)
        assert (body.is_complete(), body.rows) == (complete, None)


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
@pytest.mark.parametrize("size", [1, 50, 100_000])
@pytest.mark.parametrize(
    ("appended", "tag"),
    [(TAGGED, TAG), (TAGGED[:-17], TAG), (f"\r\n__exception__\r\n{MESSAGE}\n".encode(), None),
     (f"{MESSAGE}\n".encode(), None), (f"{MESSAGE[:-1]} (official build))\n".encode(), None)],
    ids=["25.11", "cut in the closing tag", "25.1", "24.3", "24.3, official"],
)  # fmt: skip
def test_an_error_behind_the_rows_is_found(form: Form, size: int, appended: bytes, tag: str | None) -> None:
    found = fed(form, b'12,"a"\n' * 9_000 + appended, size, tag).failure()
    assert found is not None
    assert found.startswith(MESSAGE[:-1])
    assert TAG not in found


@pytest.mark.parametrize("content", [f'1,"{MESSAGE}"\n', f'{{"a":"{MESSAGE}"}}\n', f"PAR1{MESSAGE}PAR1"])
def test_data_that_holds_an_error_is_data(content: str) -> None:
    assert Body("csv").failure() is None
    for tag in (None, TAG):
        assert fed("csv", content.encode(), 10, tag).failure() is None


# The file


def test_a_file_is_written_for_its_owner_only(tmp_path: Path) -> None:
    answer = Answer(b'"n"\n1', b'\n2\n')
    client = FakeClient(answer)
    seen = []

    def moved(body: Body) -> None:
        seen.append((body.bytes, body.rows))
        assert [path.name.startswith(".n.csv.") for path in tmp_path.iterdir()] == [True]

    written = export_to_file(client, QUERY, "csv", Target(tmp_path / "n.csv"), moved)
    assert (written.rows, written.bytes) == (2, 8)
    assert seen == [(5, 0), (8, 2)]
    (file,) = tmp_path.iterdir()
    assert (file.name, file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == ("n.csv", b'"n"\n1\n2\n', 0o600)
    ((query, settings, fmt),) = client.asked
    assert (query, fmt) == (QUERY, "CSVWithNames")
    assert settings.pop("log_comment").startswith("crmstream export ")
    assert settings == {"readonly": "2", "http_write_exception_in_output_format": "0"}
    assert answer.closed


def test_the_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[list[str]] = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(sorted(path.name for path in tmp_path.iterdir())))
    write(Answer(b'"n"\n1\n'), tmp_path / "n.csv")
    (before, after) = synced
    assert [name.startswith(".n.csv.") for name in before] == [True]
    assert after == ["n.csv"]


def test_an_unknown_setting_is_not_sent_to_an_old_server(tmp_path: Path) -> None:
    client = FakeClient(Answer(b""))
    client.server_settings = {}
    export_to_file(client, QUERY, "jsonl", Target(tmp_path / "n.jsonl"), lambda body: None)
    ((_, settings, fmt),) = client.asked
    assert ({*settings}, fmt) == ({"readonly", "log_comment"}, "JSONEachRow")


@pytest.mark.parametrize(
    ("answer", "error", "told"),
    [
        (DatabaseError("Code: 60. DB::Exception: No table. (UNKNOWN_TABLE)"), CrmError, "No table.*SHOW TABLES"),
        (DatabaseError("Code: 164. DB::Exception: Not now. (READONLY)"), CrmError, r"^Not now\.$"),
        (Answer(b'"n"\n1\n', TAGGED, tag=TAG), CrmError, "failed after .* bytes: boom: while"),
        (Answer(b'"n"\n1\n', TAGGED, ProtocolError("cut"), tag=TAG), CrmError, "failed after .* bytes: boom: while"),
        (Answer(b'"n"\n1\n', MESSAGE.encode()), CrmError, "failed after .* bytes: boom: while"),
        (Answer(b'"n"\n1\n', ProtocolError("cut")), CrmError, "broke off after 6 bytes"),
        (Answer(b'"n"\n1\n2'), CrmError, "broke off after 7 bytes"),
        (Answer(b'"n"\n', OSError(28, "No space left on device")), CrmError, "n.csv cannot be written: No space left"),
        (Answer(b'"n"\n', KeyboardInterrupt()), KeyboardInterrupt, None),
    ],
    ids=["refused", "readonly", "error", "error and cut", "old error", "cut", "incomplete", "disk full", "Ctrl-C"],
)
@pytest.mark.parametrize("before", [None, b"old"])
def test_a_failed_export_leaves_the_folder_as_it_was(
    tmp_path: Path, answer: Answer | Exception, error: type[BaseException], told: str | None, before: bytes | None
) -> None:
    target = tmp_path / "n.csv"
    if before is not None:
        target.write_bytes(before)
    with pytest.raises(error, match=told):
        write(answer, target, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"n.csv": before} if before else {})
    assert not isinstance(answer, Answer) or answer.closed


def parquet(rows: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"n": range(rows)}), file)
    return file.getvalue()


def test_the_footer_of_parquet_says_the_rows(tmp_path: Path) -> None:
    assert write(Answer(parquet(5)), tmp_path / "n.parquet", "parquet").rows == 5
    with pytest.raises(CrmError, match="readable Parquet"):
        write(Answer(b"PAR1", b"nonsense", b"PAR1"), tmp_path / "m.parquet", "parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["n.parquet"]


def test_an_existing_file_is_replaced_only_on_demand(tmp_path: Path) -> None:
    target = tmp_path / "n.csv"
    target.write_bytes(b"old")
    with pytest.raises(CrmError, match=r"n.csv exists already. --overwrite replaces it."):
        write(Answer(b'"n"\n'), target)
    assert target.read_bytes() == b"old"
    write(Answer(b'"n"\n'), target, overwrite=True)
    assert target.read_bytes() == b'"n"\n'


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "n.csv"

    def moved(_: Body) -> None:
        target.write_bytes(b"other")

    with pytest.raises(CrmError, match="exists already"):
        export_to_file(FakeClient(Answer(b'"n"\n')), QUERY, "csv", Target(target), moved)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"n.csv": b"other"}


def test_places_where_no_file_can_go(tmp_path: Path) -> None:
    with pytest.raises(CrmError, match=r"The folder .*nowhere does not exist"):
        write(Answer(), tmp_path / "nowhere" / "n.csv")
    for place in (tmp_path, Path("/dev/null")):
        with pytest.raises(CrmError, match="is not a file"):
            write(Answer(), place, overwrite=True)


def test_a_stream_gets_all_or_an_error() -> None:
    stream = io.BytesIO()
    written = export_to_stream(FakeClient(Answer(b'{"n":1}\n')), QUERY, "jsonl", stream, lambda body: None)
    assert (stream.getvalue(), written.rows) == (b'{"n":1}\n', 1)
    assert export_to_stream(FakeClient(Answer(parquet(1))), QUERY, "parquet", stream, lambda body: None).rows is None
    with pytest.raises(CrmError, match="broke off"):
        export_to_stream(FakeClient(Answer(b'{"n":')), QUERY, "jsonl", stream, lambda body: None)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, form: Form) -> None:
    class Long(Answer):
        def stream(self, size: int) -> Iterator[bytes]:
            line = b'"a",1,"' + b"x" * 119 + b'"\n'
            return (line * (size // len(line)) for _ in range(200))

    tracemalloc.start()
    try:
        written = write(Long(), tmp_path / f"n.{form}", form)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (written.bytes > 200_000_000, peak < 10_000_000) == (True, True), peak

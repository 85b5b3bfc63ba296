"""What the ClickHouse front reads from a statement, and what it refuses."""

import pytest

from crmstream.stack.clickhouse_sql import (
    RefusedStatementError,
    check_statement,
    insert_head,
    is_insert,
    is_path,
    returns_rows,
)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "SELECT 1;",
        "SELECT ';' AS a, 'x; DROP TABLE t' -- a comment; with a semicolon",
        "SELECT * FROM crm.`web_events` WHERE url = '/etc/passwd'",
        "SELECT count() AS `events/s` FROM t ORDER BY `events/s`",
        "SELECT splitByChar('/', '/a/b')",
        "SELECT trim(BOTH ' ' FROM ' a ')",
        "CREATE TABLE t (url String, file String, s3 UInt8) ENGINE = MergeTree ORDER BY url",
        "SELECT file, url FROM t WHERE python = 1",
        "SELECT /* ; file('x') */ 1",
        "SELECT $tag$; file('/x') $tag$",
    ],
)
def test_ordinary_statements_pass(sql: str) -> None:
    check_statement(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM file('/etc/passwd')",
        "SELECT * FROM FILE ('/etc/passwd')",
        "SELECT * FROM `file`('/etc/passwd')",
        "SELECT * FROM `f\\x69le`('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM numbers(1) AS a, '/etc/passwd' AS b",
        "SELECT * FROM `/etc/passwd`",
        'SELECT * FROM default."/etc/passwd"',
        "SELECT * FROM t JOIN '../x.csv' AS u USING (a)",
        "DESCRIBE TABLE 'https://example.org/x.csv'",
        "SELECT 1 INTO OUTFILE 'x'",
        "INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        "INSERT INTO FUNCTION file('x', 'CSV') SELECT 1",
        "SELECT * FROM url('http://example.org')",
        "SELECT * FROM executable('x.sh', 'CSV', 'a String')",
        "CREATE TABLE t (a Int8) ENGINE = File(CSV)",
        "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/x/')",
        "SELECT * FROM python('x')",
    ],
)
def test_what_lies_outside_is_refused(sql: str) -> None:
    with pytest.raises(RefusedStatementError, match="own tables only") as caught:
        check_statement(sql)
    assert caught.value.code == 497


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT 1; SELECT 2", 62),
        ("SELECT 1;; DROP TABLE t", 62),
        ("  -- nothing\n", 62),
        ("SET max_threads = 1", 48),
        ("use crm", 48),
        ("CREATE TEMPORARY TABLE t (a Int8)", 48),
    ],
)
def test_what_needs_a_session_is_refused(sql: str, code: int) -> None:
    with pytest.raises(RefusedStatementError) as caught:
        check_statement(sql)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("sql", "target", "data_format", "data"),
    [
        ("INSERT INTO t FORMAT CSV\n1,2", "t", "CSV", "1,2"),
        ("INSERT INTO t FORMAT CSV 1,2", "t", "CSV", "1,2"),
        ("insert into crm.`t` (`a`, `b`) format Native\n\n\x00", "crm.`t` (`a`, `b`)", "Native", "\n\x00"),
        ("INSERT INTO t (a) VALUES (1), ('FORMAT x')", "t (a)", "Values", "(1), ('FORMAT x')"),
        ("INSERT INTO t FORMAT RowBinary\n", "t", "RowBinary", ""),
        ("/* c */ INSERT INTO `FORMAT` FORMAT TSV\nSELECT", "`FORMAT`", "TSV", "SELECT"),
    ],
)
def test_an_insert_is_split_from_its_data(sql: str, target: str, data_format: str, data: str) -> None:
    assert is_insert(sql)
    head = insert_head(sql)
    assert head is not None
    assert (head.target, head.data_format, sql[head.length :]) == (target, data_format, data)


def test_settings_of_an_insert_are_read() -> None:
    head = insert_head("INSERT INTO t (a) SETTINGS async_insert = 0, insert_deduplication_token='x' FORMAT CSV\n1")
    assert head is not None
    assert head.target == "t (a)"
    assert head.settings == {"async_insert": "0", "insert_deduplication_token": "x"}


@pytest.mark.parametrize(
    "sql", ["INSERT INTO t SELECT 1 FORMAT CSV", "INSERT INTO t (a) WITH 1 AS x SELECT x", "INSERT INTO t"]
)
def test_an_insert_without_data_stays_whole(sql: str) -> None:
    assert insert_head(sql) is None


def test_an_insert_into_the_outside_is_refused() -> None:
    with pytest.raises(RefusedStatementError):
        insert_head("INSERT INTO FUNCTION file('x.csv', 'CSV', 'a Int8') FORMAT CSV\n1")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", True),
        ("-- c\nWITH 1 AS x SELECT x", True),
        ("(SELECT 1) UNION ALL (SELECT 2)", True),
        ("SHOW TABLES", True),
        ("CREATE TABLE t (a Int8) ENGINE = Memory", False),
        ("INSERT INTO t SELECT 1", False),
        ("", False),
    ],
)
def test_statements_that_return_rows(sql: str, expected: bool) -> None:
    assert returns_rows(sql) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("/etc/passwd", True), ("~/x", True), ("a/../../x", True), ("s3://x", True), ("events/s", False), ("t", False)],
)
def test_names_that_are_paths(name: str, expected: bool) -> None:
    assert is_path(name) is expected

"""What the local ClickHouse server must know of a statement before the engine sees it. Pure functions.

The engine is the one of ``clickhouse-local``: it takes several statements at once, keeps ``SET`` for its connection and
reads any file of the machine. A ClickHouse server does none of that, so such statements are refused here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SYNTAX_ERROR, NOT_IMPLEMENTED, ACCESS_DENIED = 62, 48, 497

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|\#[!\ ][^\n]*|/\*.*?\*/)
      | (?P<string>'(?:[^'\\]|\\.|'')*')
      | (?P<quoted>`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
      | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_READS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS", "CHECK", "FROM", "KILL", "("}
_OUTSIDE = re.compile(
    r"file|filesystem|filecluster|url|urlcluster|http|remote|remotesecure|cluster|clusterallreplicas|executable\w*|disk"
    r"|s3\w*|gcs|oss|cosn|hdfs\w*|azure\w*|iceberg\w*|deltalake\w*|hudi\w*|paimon\w*|hive|ytsaurus"
    r"|(materialized)?(mysql|postgresql)|mongodb|redis|sqlite|odbc|jdbc|python|kafka|nats|rabbitmq|arrowflight|bigquery"
)
_TABLE_CLAUSES = {"FROM", "JOIN", "INTO", "TABLE", "DESCRIBE", "DESC"}
_OTHER_CLAUSES = {"SELECT", "WHERE", "PREWHERE", "ON", "USING", "GROUP", "ORDER", "HAVING", "LIMIT", "SETTINGS", "SET"}
_PATH = re.compile(r"/|~|.*(\.\./|://)", re.DOTALL)


class RefusedStatementError(Exception):
    """A statement that the server does not take: ClickHouse's code, its name, and why."""

    def __init__(self, code: int, name: str, reason: str):
        super().__init__(f"Code: {code}. DB::Exception: {reason}. ({name})")
        self.code = code


@dataclass(frozen=True)
class Token:
    """One token: what kind, its text, and where it starts and ends."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        """The text in capitals: keywords are compared so."""
        return self.text.upper()


@dataclass(frozen=True)
class InsertHead:
    """The beginning of an INSERT whose data follows."""

    target: str
    """Table and columns, as written."""
    settings: dict[str, str]
    data_format: str
    length: int
    """Characters up to the first of the data."""


def tokens(sql: str) -> Iterator[Token]:
    """Yield the tokens, without white space and comments, lazily: what follows the head of an INSERT is data."""
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind != "skip":
            yield Token("heredoc" if kind == "tag" else kind, match.group(), match.start(), match.end())


def returns_rows(sql: str) -> bool:
    """Return whether the statement answers with a table, be it empty."""
    first = next(tokens(sql), None)
    return first is not None and first.upper in _READS


def is_insert(sql: str) -> bool:
    """Return whether the statement begins as an INSERT does."""
    first = next(tokens(sql), None)
    return first is not None and first.upper == "INSERT"


def check_statement(sql: str) -> None:
    """Raise RefusedStatementError for what a ClickHouse server would not do for a client without a session."""
    found = list(tokens(sql))
    if not found:
        raise RefusedStatementError(SYNTAX_ERROR, "SYNTAX_ERROR", "Empty query")
    first = found[0].upper
    if first in {"SET", "USE"} or (first == "CREATE" and len(found) > 1 and found[1].upper == "TEMPORARY"):
        raise RefusedStatementError(
            NOT_IMPLEMENTED, "NOT_IMPLEMENTED",
            "This local server keeps no sessions: send settings and the database with every request",
        )  # fmt: skip
    check_tokens(found)


def check_tokens(found: list[Token]) -> None:
    """Raise RefusedStatementError for a second statement, and for files, networks and programs outside."""
    names_tables = [False]  # whether a string at this depth of parentheses would name a table
    for index, token in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        if token.text == ";" and following is not None and following.text != ";":
            raise RefusedStatementError(SYNTAX_ERROR, "SYNTAX_ERROR", "Multi-statements are not allowed")
        _follow_clauses(token, names_tables)
        if _reaches_outside(token, following, names_tables[-1]):
            raise outside_error(token.text)


def outside_error(text: str) -> RefusedStatementError:
    """Return the refusal of what reaches outside the engine's own tables."""
    reason = f"This local server reads and writes its own tables only, not {text[:80]}"
    return RefusedStatementError(ACCESS_DENIED, "ACCESS_DENIED", reason)


def _follow_clauses(token: Token, names_tables: list[bool]) -> None:
    if token.text == "(":
        names_tables.append(False)
    elif token.text == ")" and len(names_tables) > 1:
        names_tables.pop()
    elif token.kind == "word" and token.upper in _TABLE_CLAUSES:
        names_tables[-1] = True
    elif token.kind == "word" and token.upper in _OTHER_CLAUSES:
        names_tables[-1] = False


def is_path(name: str) -> bool:
    """Return whether the engine could take the table name for a file: absolute, upwards, or a URL."""
    return _PATH.match(name) is not None


def _reaches_outside(token: Token, following: Token | None, names_table: bool) -> bool:
    name = token.text.strip("`\"'")
    if (token.kind == "quoted" or (token.kind == "string" and names_table)) and is_path(name):
        return True
    if token.kind not in {"word", "quoted"}:
        return False
    if token.kind == "word" and token.upper in {"INFILE", "OUTFILE"}:
        return True
    called = following is not None and following.text == "("
    return called and ("\\" in name or _OUTSIDE.fullmatch(name.lower()) is not None)


def insert_head(sql: str) -> InsertHead | None:
    """Split an INSERT with data; None when there is no data to split off (INSERT ... SELECT).

    Raises:
        RefusedStatementError: the target is outside.

    """
    seen: list[Token] = []
    settings_at: int | None = None
    stream = tokens(sql)
    for token in stream:
        if token.kind == "word" and token.upper in {"SELECT", "WITH", "WATCH"}:
            return None
        if token.kind == "word" and token.upper == "SETTINGS":
            settings_at = len(seen)
        if token.kind == "word" and token.upper in {"FORMAT", "VALUES"} and len(seen) > 2:
            return _head(sql, seen, settings_at, token, next(stream, None))
        seen.append(token)
    return None


def _head(
    sql: str, seen: list[Token], settings_at: int | None, marker: Token, after: Token | None
) -> InsertHead | None:
    check_tokens(seen)
    named = marker.upper == "FORMAT"
    if named and (after is None or after.kind != "word"):
        return None
    target = seen[2:settings_at]  # after INSERT INTO
    pairs = seen[settings_at + 1 :] if settings_at is not None else []
    end = after.end if named and after is not None else marker.end
    return InsertHead(
        target=sql[target[0].start : target[-1].end],
        settings={pairs[i].text: pairs[i + 2].text.strip("'") for i in range(0, len(pairs) - 2, 4)},
        data_format=after.text if named and after is not None else "Values",
        length=end + len(_DATA_GAP.match(sql, end).group()),  # type: ignore[union-attr]
    )


_DATA_GAP = re.compile(r"[ \t\r]*\n?")

"""Statements of SQL as text: where each ends, and whether it only reads. Pure."""

from itertools import pairwise
from typing import Final

from crmstream.stack.clickhouse_sql import tokens

READING: Final = frozenset({"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"})
"""The first words of statements that only read."""
_LIMITABLE: Final = frozenset({"SELECT", "WITH", "FROM", "("})


def split(text: str) -> tuple[list[str], str]:
    """Split text at the semicolons that end statements; return the ended ones and the rest.

    Semicolons in strings and comments end nothing. Statements that hold only comments are left out.
    """
    ended, start = [], 0
    for token in tokens(text):
        if token.kind == "other" and token.text == ";":
            ended.append(text[start : token.start].strip())
            start = token.end
    rest = text[start:].strip()
    return [one for one in ended if not is_empty(one)], "" if is_empty(rest) else rest


def statements(text: str) -> list[str]:
    """Split text into statements; the last one needs no semicolon."""
    ended, rest = split(text)
    return [*ended, rest] if rest else ended


def is_empty(text: str) -> bool:
    """Whether there is nothing but blanks and comments."""
    return next(tokens(text), None) is None


def only_reads(statement: str) -> bool:
    """Whether a statement begins as one that changes nothing. The server decides about the rest of it."""
    first = next(tokens(statement), None)
    return first is not None and first.upper in READING


def can_be_limited(statement: str) -> bool:
    """Whether the statement's rows can be limited by ClickHouse's setting ``limit``."""
    first = next(tokens(statement), None)
    return first is not None and first.upper in _LIMITABLE


def names_format(statement: str) -> bool:
    """Whether a statement asks for an output format of ClickHouse itself (``FORMAT JSONEachRow``)."""
    pairs = pairwise(tokens(statement))
    return any(one.upper == "FORMAT" and one.kind == other.kind == "word" for one, other in pairs)

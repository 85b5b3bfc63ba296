"""Byte order marks before JSON."""

import codecs

import pytest

from connectors.byte_marks import as_utf8, has_mark

TEXT = '{"name": "Müller"}'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_of_any_unicode_encoding_becomes_utf_8_without_a_mark(encoding: str) -> None:
    assert as_utf8(TEXT.encode(encoding)) == TEXT.encode()


def test_a_body_that_is_cut_off_within_a_character_stays_for_the_parser() -> None:
    body = codecs.BOM_UTF16_LE + b"{\x00\x22"
    assert as_utf8(body) == body


@pytest.mark.parametrize(
    ("body", "expected"),
    [(codecs.BOM_UTF8 + b"{}", True), (codecs.BOM_UTF16_LE + b"{\0", True), (b"{}", False), (b"", False)],
)
def test_a_mark_is_recognised(body: bytes, expected: bool) -> None:
    assert has_mark(body) is expected

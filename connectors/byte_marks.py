"""Byte order marks, and JSON that is not UTF-8. Pure.

Windows programs write a mark before their text, and some write UTF-16. RFC 8259 lets a reader of JSON ignore the mark.
"""

import codecs
import json
from typing import Final

_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)


def has_mark(body: bytes) -> bool:
    """Whether a body begins with the byte order mark of UTF-8, UTF-16 or UTF-32."""
    return body.startswith(_MARKS)


def as_utf8(body: bytes) -> bytes:
    """Return JSON text as UTF-8 without a byte order mark.

    UTF-16 and UTF-32 are recognised, also without a mark. A body that is none of them comes back as it is, for the
    parser to refuse.
    """
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    if encoding == "utf-8-sig":
        return body.removeprefix(codecs.BOM_UTF8)
    try:
        return body.decode(encoding).encode()
    except UnicodeError:
        return body

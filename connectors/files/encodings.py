"""The encoding of a text file: byte order marks decide, and a wrong encoding in a mapping is answered with a proposal.

The proposal is never taken by itself: two encodings of one byte each, such as cp1250 and cp1252, look alike.
"""

import codecs
import gzip
import io
from pathlib import Path
from typing import IO, BinaryIO, Final, cast

from charset_normalizer import from_bytes

GZIP_MAGIC: Final = b"\x1f\x8b"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONGEST_MARK: Final = 4
_SAMPLE_BYTES: Final = 8 * 1024 * 1024
_ZEROS_WITHIN: Final = 4_096
_MANY_ZEROS: Final = 0.2
"""Every second byte of UTF-16 is zero where the letters are those of English."""
_TOLD_APART_BYTES: Final = 64 * 1024
_USUAL: Final = ("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp932", "gb18030", "big5", "euc_kr")
_LATIN: Final = frozenset({"cp1250", "cp1252", "cp1254", "cp1257"})
_PROPOSED: Final = 3


def unzipped(raw: BinaryIO) -> IO[bytes]:
    """Unpack gz, which is recognised by its first two bytes."""
    magic = raw.read(len(GZIP_MAGIC))
    raw.seek(0)
    return cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if magic == GZIP_MAGIC else raw


def open_text(raw: BinaryIO, encoding: str) -> IO[str]:
    """Open a file's text, lines untranslated. A byte order mark overrides ``encoding``.

    Bytes that are not text in this encoding are kept as surrogates, so that only their row is rejected.
    """
    content = io.BufferedReader(cast("io.RawIOBase", unzipped(raw)), 1 << 16)
    found = marked(content.peek(_LONGEST_MARK)[:_LONGEST_MARK]) or encoding
    return io.TextIOWrapper(content, found, "surrogateescape", newline="")


def is_utf_8(raw: BinaryIO, encoding: str) -> bool:
    """Whether a file is UTF-8 though another encoding is declared: its letters would become others, silently."""
    if encoding.startswith("utf"):
        return False
    head = unzipped(raw).read(_TOLD_APART_BYTES)
    raw.seek(0)
    if marked(head) is not None or head.isascii():
        return False
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(head)
    except UnicodeDecodeError:
        return False
    return True


def marked(head: bytes) -> str | None:
    """Return the encoding that a byte order mark at the beginning of a file stands for."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def looks_like(path: Path) -> tuple[str, ...]:
    """Return the encodings that fit a file's bytes, the likeliest first; none where nothing fits.

    More than one means that only somebody who knows the texts can decide. Raises OSError and EOFError.
    """
    with path.open("rb") as raw:
        sample = unzipped(raw).read(_SAMPLE_BYTES)
    if (mark := marked(sample[:_LONGEST_MARK])) is not None:
        return (mark,)
    head = sample[:_ZEROS_WITHIN]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) > _MANY_ZEROS * len(head):
        return ("utf-16-be" if even > odd else "utf-16-le",)
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(sample)
    except UnicodeDecodeError:
        return _guessed(b"\n".join(_with_other_than_ascii(sample)))
    return ("utf-8",)


def _with_other_than_ascii(sample: bytes) -> list[bytes]:
    """The lines that tell encodings apart, not more than are needed."""
    lines, size = [], 0
    for line in sample.splitlines():
        if not line.isascii():
            lines.append(line)
            size += len(line)
            if size > _TOLD_APART_BYTES:
                break
    return lines


def _guessed(sample: bytes) -> tuple[str, ...]:
    """Order the usual encodings by how well they fit; of the western ones cp1252 is by far the most frequent."""
    fitting = [name for name in _USUAL if _fits(sample, name)]
    found = [codecs.lookup(match.encoding).name for match in from_bytes(sample, cp_isolation=fitting)]
    names = [name for name in found if name in fitting] or fitting
    if names and names[0] in _LATIN and "cp1252" in fitting:
        names = ["cp1252", *names]
    return tuple(dict.fromkeys(names))[:_PROPOSED]


def _fits(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def proposal(path: Path, encoding: str) -> str:
    """Say which encoding a file seems to have, where it is not ``encoding``: text for an error message."""
    try:
        names = [name for name in looks_like(path) if name != encoding]
    except (OSError, EOFError):
        names = []
    wrong = f"is not in the mapping's encoding ({encoding})"
    if not names:
        return wrong
    others = f" (or {' or '.join(names[1:])})" if names[1:] else ""
    return f"{wrong}; it looks like {names[0]}{others}: set `encoding: {names[0]}`"

"""Read the body of a request within bounds of size, time and memory, whatever the client does.

Moves no data: what is read here counts for nothing until Kafka has it.
"""

import asyncio
import zlib
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from connectors.byte_marks import has_mark
from connectors.collector.answers import AnswerError, unavailable

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW_DEFLATE: Final = -15
_GZIP_BEGINS: Final = b"\x1f\x8b"
_ZLIB_BEGINS: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""How zlib begins at its four levels. No JSON begins so, and no form that a browser writes."""
_COMPRESSED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_PLAIN: Final = frozenset({"", "identity"})
_BLANKS: Final = b" \t\r\n"
MOST_MEMBERS: Final = 1_000
"""Members of one gzip body: what is left is copied for each of them."""
_TOO_MUCH: Final = "Too many large requests are under way; send the same again later."
WHOLE: Final = "crmstream.whole"
"""Is in the scope of a request whose body has arrived: nobody need watch the time while it is read."""
DRAINED_TIMES: Final = 8
"""How many times the limit is read and thrown away: a client that is cut off while it sends sees no answer."""


@dataclass(frozen=True)
class BodyLimits:
    """The bounds of bodies: bytes of one (as sent, and unpacked), seconds for it to arrive, bytes of all in memory.

    ``most_copied_bytes`` bounds what one body grows by when what its messages have in common goes into each of them.
    """

    most_bytes: int = 500_000
    seconds: float = 10.0
    most_held_bytes: int = 64_000_000
    most_copied_bytes: int = 16_000_000

    @property
    def most_unknown_bytes(self) -> int:
        """Bytes that all bodies of senders who are not known yet may hold: who has no key must not shut out the rest.

        Two of the largest bodies in any case: one may be there as it was sent, and unpacked.
        """
        return max(self.most_held_bytes // 4, 2 * self.most_bytes)


@dataclass(frozen=True)
class Body:
    """A body as it was sent (which signatures sign) and unpacked."""

    raw: bytes
    content: bytes


class BodyReader:
    """Reads bodies, and counts what all of them hold."""

    def __init__(self, limits: BodyLimits):
        self.limits = limits
        self.held_bytes = 0
        self.unknown_bytes = 0

    def body(self, request: Request, *, known: bool = False) -> "Reading":
        """Read the body of a request (``async with``) and count its bytes as long as they are used.

        ``known`` tells that the head of the request says who sends. Raises :class:`AnswerError`: 400 for what is too
        large or cannot be unpacked, 408 for what takes too long to arrive, 503 while too much is held;
        ``starlette.requests.ClientDisconnect`` if the client goes.
        """
        return Reading(self, request, known)

    async def read(self, request: Request, reading: "Reading") -> Body:
        """Read a body, as :meth:`body` says; whoever calls releases the ``reading``."""
        raw = await self._read(request, reading)
        content = unpack(raw, _encoding(request), self.limits.most_bytes)
        if content is not raw:
            reading.add(len(content))
        return Body(raw, content)

    async def _read(self, request: Request, reading: "Reading") -> bytes:
        if WHOLE in request.scope:
            return await self._gather(request.receive, reading)
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._gather(request.receive, reading)
        except TimeoutError:
            raise AnswerError(
                408, "too_slow", f"The body did not arrive within {self.limits.seconds:g} s.", {"Connection": "close"}
            ) from None

    async def _gather(self, receive: Receive, reading: "Reading") -> bytes:
        chunks: list[bytes] = []
        size, limit, more = 0, self.limits.most_bytes, True
        while more and size <= limit * DRAINED_TIMES:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            if size <= limit:
                reading.add(len(chunk))
                chunks.append(chunk)
            else:
                chunks.clear()
        if size > limit:
            raise too_large(limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Reading:
    """One body while it is used, and the bytes that it holds.

    (A plain class: it is made for every request, and a generator would cost more.)
    """

    __slots__ = ("_bytes", "_known", "_reader", "_request")

    def __init__(self, reader: BodyReader, request: Request, known: bool):
        self._reader = reader
        self._request = request
        self._known = known
        self._bytes = 0

    async def __aenter__(self) -> Body:
        try:
            return await self._reader.read(self._request, self)
        except BaseException:
            self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._release()

    def add(self, size: int) -> None:
        """Count bytes. Raises :class:`AnswerError` (503) while too much is held."""
        reader = self._reader
        if reader.held_bytes + size > reader.limits.most_held_bytes:
            raise unavailable(_TOO_MUCH)
        if not self._known:
            if reader.unknown_bytes + size > reader.limits.most_unknown_bytes:
                raise unavailable(_TOO_MUCH)
            reader.unknown_bytes += size
        reader.held_bytes += size
        self._bytes += size

    def vouch(self) -> None:
        """Say that the sender is known now."""
        if not self._known:
            self._known = True
            self._reader.unknown_bytes -= self._bytes

    def grow(self, copied_bytes: int, memory_bytes: int) -> None:
        """Count what the messages of the body will take beside it, before they are made.

        ``copied_bytes`` of the ``memory_bytes`` are what they have in common, in each of them. Raises
        :class:`AnswerError`: 400 if that is more than one request may take, 503 while too much is held.
        """
        limits = self._reader.limits
        if copied_bytes > limits.most_copied_bytes:
            raise AnswerError(400, "too_large", f"What the messages of the batch have in common (its context) is "
                f"{copied_bytes:,} bytes in all of them together; the limit is {limits.most_copied_bytes:,}. Send "
                "smaller batches.")  # fmt: skip
        # where settings allow far larger batches than usual, one must fit in all the same
        self.add(min(memory_bytes, limits.most_held_bytes // 2))

    def _release(self) -> None:
        self.vouch()
        self._reader.held_bytes -= self._bytes
        self._bytes = 0


def _encoding(request: Request) -> str:
    for name, value in request.scope["headers"]:
        if name == b"content-encoding":
            return str(value, "latin-1")
    return ""


def too_large(limit: int) -> AnswerError:
    """Make the answer to a body over the limit: 400 and not 413, since SDKs send again whatever is not 400."""
    return AnswerError(400, "too_large", f"The body has more than {limit:,} bytes.", {"Connection": "close"})


def unpack(raw: bytes, encoding: str, most_bytes: int) -> bytes:
    """Decompress a body of gzip, zlib or raw deflate, never making more than ``most_bytes``.

    The first bytes decide, since proxies and SDKs set or lose ``Content-Encoding`` (``encoding``). Only raw deflate,
    which has no mark of its own, needs the header. Raises :class:`AnswerError` (400).
    """
    if raw.startswith(_GZIP_BEGINS):
        return _inflate(raw, _GZIP, most_bytes)
    if raw.startswith(_ZLIB_BEGINS):
        return _inflate(raw, _ZLIB, most_bytes)
    encoding = encoding.strip().lower()
    if encoding in _PLAIN:
        return raw
    if encoding == "deflate":
        return _deflated(raw, most_bytes)
    if _is_plain(raw):
        return raw
    if encoding in _COMPRESSED:
        raise AnswerError(400, "bad_encoding", "The body is not what its Content-Encoding says.")
    raise AnswerError(400, "bad_encoding", "The Content-Encoding is none of gzip, deflate and identity.")


def _deflated(raw: bytes, most_bytes: int) -> bytes:
    """Decompress deflate with or without a zlib header, or return a plain body that only claims to be deflate."""
    wrapped = len(raw) > 1 and raw[0] & 15 == 8 and not (raw[0] << 8 | raw[1]) % 31
    try:
        return _inflate(raw, _ZLIB if wrapped else _RAW_DEFLATE, most_bytes)
    except AnswerError as error:
        # a stream of raw deflate may begin like JSON, so it is tried first
        if error.code == "bad_encoding" and _is_plain(raw):
            return raw
        raise


def _is_plain(raw: bytes) -> bool:
    """Whether a body begins like JSON, or holds nothing."""
    return has_mark(raw) or raw.lstrip(_BLANKS)[:1] in (b"{", b"[", b"")


def _inflate(raw: bytes, window: int, most_bytes: int) -> bytes:
    content, left = _member(raw, window, most_bytes)
    if not left:
        return content
    members, size = [content], len(content)
    while window == _GZIP and left.startswith(_GZIP_BEGINS) and len(members) < MOST_MEMBERS:
        content, left = _member(left, window, most_bytes, size)
        members.append(content)
        size += len(content)
    if left:
        raise AnswerError(400, "bad_encoding", "Something follows the compressed body.")
    return b"".join(members)


def _member(raw: bytes, window: int, most_bytes: int, before: int = 0) -> tuple[bytes, bytes]:
    """Unpack the first compressed part of what is left of a body, ``before`` bytes are; give what follows it too."""
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(raw, most_bytes - before + 1)
    except zlib.error:
        raise AnswerError(400, "bad_encoding", "The body is not what its Content-Encoding says.") from None
    if before + len(content) > most_bytes:
        raise too_large(most_bytes)
    if not inflater.eof:
        raise AnswerError(400, "bad_encoding", "The compressed body is cut off.")
    return content, inflater.unused_data

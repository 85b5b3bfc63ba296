"""Read the body of a request within bounds of size, time and memory, whatever the client does.

Moves no data: what is read here counts for nothing until Kafka has it.
"""

import asyncio
import zlib
from dataclasses import dataclass
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from connectors.collector.answers import AnswerError, unavailable

_GZIP: Final = 31
_ZLIB: Final = 15
_RAW_DEFLATE: Final = -15
WHOLE: Final = "crmstream.whole"
"""Is in the scope of a request whose body has arrived: nobody need watch the time while it is read."""
DRAINED_TIMES: Final = 8
"""How many times the limit is read and thrown away: a client that is cut off while it sends sees no answer."""


@dataclass(frozen=True)
class BodyLimits:
    """The bounds of bodies: bytes of one (as sent, and unpacked), seconds for it to arrive, bytes of all in memory."""

    most_bytes: int = 500_000
    seconds: float = 10.0
    most_held_bytes: int = 64_000_000


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

    def body(self, request: Request) -> "_Reading":
        """Read the body of a request (``async with``) and count its bytes as long as they are used.

        Raises :class:`AnswerError`: 400 for what is too large or cannot be unpacked, 408 for what takes too long to
        arrive, 503 while too much is held; ``starlette.requests.ClientDisconnect`` if the client goes.
        """
        return _Reading(self, request)

    async def read(self, request: Request, held: "_Held") -> Body:
        """Read a body, as :meth:`body` says; whoever calls releases what is ``held``."""
        raw = await self._read(request, held)
        content = unpack(raw, _encoding(request), self.limits.most_bytes)
        if content is not raw:
            held.add(len(content))
        return Body(raw, content)

    async def _read(self, request: Request, held: "_Held") -> bytes:
        if WHOLE in request.scope:
            return await self._gather(request.receive, held)
        try:
            async with asyncio.timeout(self.limits.seconds):
                return await self._gather(request.receive, held)
        except TimeoutError:
            raise AnswerError(
                408, "too_slow", f"The body did not arrive within {self.limits.seconds:g} s.", {"Connection": "close"}
            ) from None

    async def _gather(self, receive: Receive, held: "_Held") -> bytes:
        chunks: list[bytes] = []
        size, limit, more = 0, self.limits.most_bytes, True
        while more and size <= limit * DRAINED_TIMES:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            if size <= limit:
                held.add(len(chunk))
                chunks.append(chunk)
            else:
                chunks.clear()
        if size > limit:
            raise too_large(limit)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class _Reading:
    """One body while it is used (a plain class: it is made for every request, and a generator would cost more)."""

    __slots__ = ("_held", "_reader", "_request")

    def __init__(self, reader: BodyReader, request: Request):
        self._reader = reader
        self._request = request
        self._held = _Held(reader)

    async def __aenter__(self) -> Body:
        try:
            return await self._reader.read(self._request, self._held)
        except BaseException:
            self._held.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._held.release()


class _Held:
    """The bytes that one request holds."""

    __slots__ = ("_bytes", "_reader")

    def __init__(self, reader: BodyReader):
        self._reader = reader
        self._bytes = 0

    def add(self, size: int) -> None:
        if self._reader.held_bytes + size > self._reader.limits.most_held_bytes:
            raise unavailable("Too many large requests are under way; send the same again later.")
        self._reader.held_bytes += size
        self._bytes += size

    def release(self) -> None:
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
    """Undo a ``Content-Encoding`` of gzip or deflate, never making more than ``most_bytes``."""
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip" | "x-gzip":
            return _inflate(raw, _GZIP, most_bytes)
        case "deflate":
            wrapped = len(raw) > 1 and raw[0] & 15 == 8 and not (raw[0] << 8 | raw[1]) % 31
            return _inflate(raw, _ZLIB if wrapped else _RAW_DEFLATE, most_bytes)
    raise AnswerError(400, "bad_encoding", "The Content-Encoding is none of gzip, deflate and identity.")


def _inflate(raw: bytes, window: int, most_bytes: int) -> bytes:
    inflater = zlib.decompressobj(window)
    try:
        content = inflater.decompress(raw, most_bytes + 1)
    except zlib.error:
        raise AnswerError(400, "bad_encoding", "The body is not what its Content-Encoding says.") from None
    if len(content) > most_bytes:
        raise too_large(most_bytes)
    if not inflater.eof:
        raise AnswerError(400, "bad_encoding", "The compressed body is cut off.")
    if inflater.unused_data:
        raise AnswerError(400, "bad_encoding", "Something follows the compressed body.")
    return content

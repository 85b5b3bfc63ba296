"""The parts of ClickHouse's HTTP protocol that know nothing of the engine: bodies, errors, and who may ask."""

import gzip
import io
import tempfile
import zlib
from collections.abc import Iterable
from typing import IO, cast
from urllib.parse import urlsplit

import lz4.frame
from backports import zstd
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

MEMORY_BODY_BYTES = 8_388_608
MAX_BODY_BYTES = 2_147_483_648

_STATUS_OF_CODE = {
    400: (6, 26, 27, 36, 38, 41, 42, 43, 44, 53, 62, 69, 72, 117, 130, 131, 190, 321, 427, 456, 457),
    403: (164, 192, 193, 497, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336),
    408: (159,),
    413: (307,),
    501: (48,),
}
_STATUS = {code: status for status, codes in _STATUS_OF_CODE.items() for code in codes}


BROKEN_BODY_ERRORS = (ValueError, OSError, EOFError, RuntimeError, zlib.error, zstd.ZstdError)
"""What the readers of compressed bodies raise when a body is not what its Content-Encoding says."""


class BodyTooLargeError(Exception):
    """A request's body is larger than this server takes."""


class PrefixedReader(io.RawIOBase):
    """A readable stream: some bytes, then the rest of another stream."""

    def __init__(self, prefix: bytes, rest: IO[bytes]):
        self._prefix = io.BytesIO(prefix)
        self._rest = rest

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes (all if negative)."""
        if size < 0:
            return self._prefix.read() + self._rest.read()
        return self._prefix.read(size) or self._rest.read(size)


class _DeflateReader(io.RawIOBase):
    """A raw reader of a zlib stream; ``io.BufferedReader`` makes a file of it."""

    def __init__(self, source: IO[bytes]):
        self._source = source
        self._machine = zlib.decompressobj()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; 0 at the end."""
        while not self._machine.eof:
            waiting = self._machine.unconsumed_tail or self._source.read(65_536)
            data = self._machine.decompress(waiting, len(buffer))
            buffer[: len(data)] = data
            if data or not waiting:
                return len(data)
        return 0


def open_decompressed(body: IO[bytes], encoding: str) -> IO[bytes]:
    """Return the body as sent before compression (``Content-Encoding``).

    Raises:
        ValueError: the encoding is not one of lz4, zstd, gzip, deflate.

    """
    if encoding in {"", "identity"}:
        return body
    if encoding == "lz4":
        return cast(IO[bytes], lz4.frame.LZ4FrameFile(body))
    if encoding == "gzip":
        return cast(IO[bytes], gzip.GzipFile(fileobj=body, mode="rb"))
    if encoding == "deflate":
        return cast(IO[bytes], io.BufferedReader(_DeflateReader(body)))
    if encoding == "zstd":
        return cast(IO[bytes], zstd.ZstdFile(body))
    raise ValueError(f"Unsupported Content-Encoding {encoding!r}: send lz4, zstd, gzip, deflate or none")


async def spool_body(request: Request) -> IO[bytes]:
    """Receive the body, on disk when large, and return it from its beginning.

    Raises:
        BodyTooLargeError: it exceeds MAX_BODY_BYTES.

    """
    spool = tempfile.SpooledTemporaryFile(max_size=MEMORY_BODY_BYTES)  # noqa: SIM115 - the caller closes it
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            spool.close()
            raise BodyTooLargeError(f"The body exceeds {MAX_BODY_BYTES} bytes")
        spool.write(chunk)
    spool.seek(0)
    return cast(IO[bytes], spool)


def http_status(code: int | None) -> int:
    """Return the HTTP status with which ClickHouse sends its error code."""
    return _STATUS.get(code or 0, 500)


def error_text(message: str, version: str) -> str:
    """Return an error's body in ClickHouse's wording."""
    return f"{message.rstrip()} (version {version} (local engine))\n"


class LoopbackOnly:
    """Middleware that answers programs of this machine, not web pages in its browsers.

    A page may send requests to loopback addresses: DNS rebinding shows in Host, scripts and forms in Origin, plain
    links and images in Sec-Fetch-Site.
    """

    _HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] == "http" and not self._is_local(scope["headers"]):
            refusal = PlainTextResponse("Code: 497. DB::Exception: Only for programs of this machine\n", 403)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _is_local(self, raw: Iterable[tuple[bytes, bytes]]) -> bool:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
        host = urlsplit(f"//{headers.get('host', '')}").hostname
        origin = headers.get("origin")
        return (
            host in self._HOSTS
            and (origin is None or urlsplit(origin).hostname in self._HOSTS)
            and headers.get("sec-fetch-site", "none") in {"none", "same-origin"}
        )

"""Bodies and loopback guard of the ClickHouse front."""

import gzip
import io
import zlib

import lz4.frame
import pytest
from backports import zstd
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from crmstream.stack.clickhouse_http import LoopbackOnly, PrefixedReader, http_status, open_decompressed

DATA = b"some bytes, and again some bytes" * 10_000


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        ("", DATA),
        ("identity", DATA),
        ("gzip", gzip.compress(DATA, mtime=0)),
        ("deflate", zlib.compress(DATA)),
        ("lz4", lz4.frame.compress(DATA[:999]) + lz4.frame.compress(DATA[999:])),
        ("zstd", zstd.compress(DATA)),
    ],
)
def test_bodies_are_decompressed(encoding: str, compressed: bytes) -> None:
    assert open_decompressed(io.BytesIO(compressed), encoding).read() == DATA


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(ValueError, match="'br'"):
        open_decompressed(io.BytesIO(), "br")


def test_a_prefixed_reader_reads_both_parts() -> None:
    assert PrefixedReader(b"abc", io.BytesIO(b"def")).read() == b"abcdef"
    reader = PrefixedReader(b"abc", io.BytesIO(b"def"))
    assert [reader.read(2) for _ in range(5)] == [b"ab", b"c", b"de", b"f", b""]


def test_codes_have_clickhouses_status() -> None:
    assert [http_status(code) for code in (62, 60, 81, 164, 48, 241, None)] == [400, 404, 404, 403, 501, 500, 500]


async def status(headers: dict[str, str]) -> int:
    """Ask the guarded application once and return the HTTP status."""

    async def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse("in")

    app = Starlette(routes=[Route("/", answer)], middleware=[Middleware(LoopbackOnly)])
    seen: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        seen.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw}
    call: tuple[Receive, Send] = (receive, send)
    await app(scope, *call)
    return int(seen[0]["status"])


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "127.0.0.1:8123"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "[::1]:8123"}, 200),
        ({"Host": "127.0.0.1:1", "Origin": "http://localhost:3000"}, 200),
        ({"Host": "127.0.0.1", "Sec-Fetch-Site": "none"}, 200),
        ({"Host": "rebound.example:8123"}, 403),
        ({"Host": "127.0.0.1.rebound.example"}, 403),
        ({}, 403),
        ({"Host": "127.0.0.1", "Origin": "https://page.example"}, 403),
        ({"Host": "127.0.0.1", "Origin": "null"}, 403),
        ({"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_only_programs_of_this_machine_are_answered(headers: dict[str, str], expected: int) -> None:
    import anyio  # noqa: PLC0415 - runs the coroutine

    assert anyio.run(status, headers) == expected

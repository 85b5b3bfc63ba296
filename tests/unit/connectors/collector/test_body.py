"""Bodies within bounds of size, time and memory."""

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from connectors.collector.answers import AnswerError
from connectors.collector.body import MOST_MEMBERS, Body, BodyLimits, BodyReader, unpack

BOMB = gzip.compress(b"0" * 50_000_000, mtime=0)
PACKED = gzip.compress(b"x", mtime=0)
"""With a time in it, tests would have other names in each process that collects them."""


def read(reader: BodyReader, *chunks: bytes, encoding: str = "", pauses: float = 0, ends: bool = True) -> Body:
    """Read a body that comes in chunks."""
    queue = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    queue[-1]["more_body"] = not ends
    left: list[Message] = [*queue, {"type": "http.disconnect"}]

    async def receive() -> Message:
        await asyncio.sleep(pauses)
        return left.pop(0)

    async def use() -> Body:
        scope = {"type": "http", "headers": [(b"content-encoding", encoding.encode())]}
        async with reader.body(Request(scope, receive)) as body:
            assert reader.held_bytes == len(body.raw) + (len(body.content) if body.content is not body.raw else 0)
            return body

    try:
        return asyncio.run(use())
    finally:
        assert reader.held_bytes == 0


def status(reader: BodyReader, *chunks: bytes, **options: object) -> tuple[int, str]:
    with pytest.raises(AnswerError) as error:
        read(reader, *chunks, **options)  # type: ignore[arg-type]
    return error.value.status, error.value.code


def test_a_body_is_read_as_it_was_sent_and_unpacked() -> None:
    reader = BodyReader(BodyLimits())
    assert read(reader, b"ab", b"", b"c") == Body(b"abc", b"abc")
    packed = gzip.compress(b"hello", mtime=0)
    assert read(reader, packed[:3], packed[3:], encoding="GZip") == Body(packed, b"hello")


@given(st.binary(max_size=2_000))
def test_what_is_packed_is_unpacked(content: bytes) -> None:
    raw = zlib.compressobj(wbits=-15)
    for encoding, packed in (
        ("gzip", gzip.compress(content, mtime=0)),
        ("deflate", zlib.compress(content)),
        ("deflate", raw.compress(content) + raw.flush()),
    ):
        assert unpack(packed, encoding, 2_000) == content


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_garbage_breaks_nothing(content: bytes, encoding: str) -> None:
    with contextlib.suppress(AnswerError):
        assert len(unpack(content, encoding, 1_000)) <= 1_000


def test_the_limit_is_exact_and_answered_with_400() -> None:
    reader = BodyReader(BodyLimits(most_bytes=10))
    assert len(read(reader, b"0" * 10).content) == 10
    assert status(reader, b"0" * 11) == (400, "too_large")
    assert status(reader, *[b"0" * 9] * 4) == (400, "too_large")
    assert status(reader, *[b"0" * 9] * 40, ends=False) == (400, "too_large")  # and not read to its end


def test_members_of_gzip_are_one_body_within_one_limit() -> None:
    parts = [gzip.compress(text, mtime=0) for text in (b'{"a"', b"", b": 1}")]
    assert unpack(b"".join(parts), "gzip", 8) == b'{"a": 1}'
    with pytest.raises(AnswerError, match="more than 7 bytes"):
        unpack(b"".join(parts), "gzip", 7)
    with pytest.raises(AnswerError, match="more than 100 bytes"):
        unpack(parts[0] + BOMB, "gzip", 100)
    with pytest.raises(AnswerError, match="Something follows"):
        unpack(PACKED * (MOST_MEMBERS + 1), "gzip", 5_000)


def test_a_bomb_is_not_unpacked() -> None:
    assert status(BodyReader(BodyLimits()), BOMB, encoding="gzip") == (400, "too_large")


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [(b"x", "gzip"), (PACKED[:-4], "gzip"), (PACKED + b"more", "gzip"), (PACKED + PACKED[:-4], "gzip"), (b"x", "br")],
)
def test_a_wrong_encoding_is_told(raw: bytes, encoding: str) -> None:
    assert status(BodyReader(BodyLimits()), raw, encoding=encoding) == (400, "bad_encoding")


JSON = b'{"batch": []}'
RAW = zlib.compressobj(wbits=-15)
DEFLATED = RAW.compress(JSON) + RAW.flush()


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (gzip.compress(JSON, mtime=0), ""),  # the header is lost
        (gzip.compress(JSON, mtime=0), "identity"),
        (gzip.compress(JSON, mtime=0), "deflate"),
        (gzip.compress(JSON, mtime=0), "br"),
        (gzip.compress(JSON, mtime=0), "gzip, identity"),
        (zlib.compress(JSON), ""),
        (zlib.compress(JSON, 9), "gzip"),
        (zlib.compress(JSON, 1), ""),
        (DEFLATED, "deflate"),
        (JSON, "gzip"),  # the header is wrong
        (JSON, "deflate"),
        (JSON, "br"),
        (JSON, "utf-8"),
    ],
)
def test_the_first_bytes_say_how_a_body_is_packed(raw: bytes, encoding: str) -> None:
    assert read(BodyReader(BodyLimits()), raw, encoding=encoding).content == JSON


@pytest.mark.parametrize("start", [b"\r\n \t[", b"\xef\xbb\xbf{", b"\xff\xfe{\0", b""])
def test_a_plain_body_that_claims_to_be_packed_is_taken(start: bytes) -> None:
    assert read(BodyReader(BodyLimits()), start, encoding="gzip").content == start


def test_a_bomb_without_its_header_is_not_unpacked_either() -> None:
    assert status(BodyReader(BodyLimits()), BOMB) == (400, "too_large")
    assert status(BodyReader(BodyLimits()), zlib.compress(b"0" * 50_000_000)) == (400, "too_large")


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "gzip", "deflate", "br"]),
    st.sampled_from([b"", b"\x1f\x8b", b"x\x9c"]),
)
def test_no_bytes_break_unpacking(content: bytes, encoding: str, start: bytes) -> None:
    with contextlib.suppress(AnswerError):
        assert len(unpack(start + content, encoding, 1_000)) <= 1_000


def test_a_slow_client_is_not_waited_for() -> None:
    chunks: Sequence[bytes] = [b"x"] * 50
    assert status(BodyReader(BodyLimits(seconds=0.05)), *chunks, pauses=0.01) == (408, "too_slow")


def test_more_than_memory_is_there_for_is_put_off() -> None:
    reader = BodyReader(BodyLimits(most_bytes=100, most_held_bytes=50))
    assert status(reader, b"0" * 60) == (503, "unavailable")
    assert len(read(reader, b"0" * 50).content) == 50


def test_bodies_of_unknown_senders_may_hold_a_part_only_until_it_is_known_whose_they_are() -> None:
    reader = BodyReader(BodyLimits(most_bytes=100, most_held_bytes=1_000))

    def request(size: int) -> Request:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"0" * size, "more_body": False}

        return Request({"type": "http", "headers": []}, receive)

    async def use() -> None:
        async with contextlib.AsyncExitStack() as held:
            readings = [reader.body(request(100)) for _ in range(2)]
            for reading in readings:
                await held.enter_async_context(reading)
            with pytest.raises(AnswerError, match="Too many"):
                await held.enter_async_context(reader.body(request(100)))
            await held.enter_async_context(reader.body(request(100), known=True))
            readings[0].vouch()
            await held.enter_async_context(reader.body(request(100)))
            assert (reader.held_bytes, reader.unknown_bytes) == (400, 200)
        assert (reader.held_bytes, reader.unknown_bytes) == (0, 0)

    asyncio.run(use())


def test_what_a_body_grows_to_is_held_too() -> None:
    reader = BodyReader(BodyLimits(most_held_bytes=1_000, most_copied_bytes=700))

    async def use() -> None:
        async def receive() -> Message:
            return {"type": "http.request", "body": b"0" * 100, "more_body": False}

        reading = reader.body(Request({"type": "http", "headers": []}, receive), known=True)
        async with reading:
            with pytest.raises(AnswerError) as error:
                reading.grow(701, 800)
            assert (error.value.status, error.value.code) == (400, "too_large")
            reading.grow(400, 450)
            assert reader.held_bytes == 550
            with pytest.raises(AnswerError) as error:
                reading.grow(400, 480)
            assert error.value.status == 503
        reading = reader.body(Request({"type": "http", "headers": []}, receive), known=True)
        async with reading:
            reading.grow(0, 5_000)  # the settings allow such batches: one at a time
        assert reader.held_bytes == 0

    asyncio.run(use())


def test_a_client_that_goes_is_gone() -> None:
    with pytest.raises(ClientDisconnect):
        read(BodyReader(BodyLimits()), b"x", ends=False)

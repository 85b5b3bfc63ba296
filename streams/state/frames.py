"""Frames: one snapshot of a bucket's parts as bytes, whole or only what changed.

A frame is its length, its checksum, a header that names the columns of each part, and the columns' bytes:

    u64 length of header and columns | u64 xxh3_64 of them | u32 length of the header | header | columns

The header is MessagePack: ``[[part, [[column, type, shape, bytes], ...]], ...]``. A type is numpy's description
(``numpy.lib.format``), or "bytes". Numbers are little-endian.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from contracts.state import Columns, dtype_of

_START: Final = struct.Struct("<QQ")
_HEADER: Final = struct.Struct("<I")
_BYTES: Final = "bytes"
_SMALL: Final = 4_096
"""Smaller columns are copied, which costs less than a view."""


class TornFrameError(Exception):
    """A frame is cut off, or its bytes are not those that were written."""


def encode(parts: Mapping[str, Columns]) -> bytearray:
    """Return the columns of parts as one frame, a copy."""
    frame = copied(parts)
    seal(frame)
    return frame


def copied(parts: Mapping[str, Columns]) -> bytearray:
    """Return a frame without its checksum: of a large state the copy is made at once, the rest in the background."""
    header, buffers = [], []
    for part, columns in parts.items():
        described = []
        for name, column in columns.items():
            if isinstance(column, np.ndarray):
                described.append([name, _described(column.dtype), column.shape, column.nbytes])
                buffers.append(column.tobytes() if column.nbytes < _SMALL else _memory(column))
            else:
                described.append([name, _BYTES, (), len(column)])
                buffers.append(column)
        header.append([part, described])
    packed = msgspec.msgpack.encode(header)
    return bytearray().join([bytes(_START.size), _HEADER.pack(len(packed)), packed, *buffers])


def _memory(column: NDArray[Any]) -> memoryview:
    """The bytes of a column, without a copy."""
    return np.ascontiguousarray(column).reshape(-1).view(np.uint8).data


def seal(frame: bytearray) -> None:
    """Write the length and the checksum into a frame."""
    with memoryview(frame) as view:
        _START.pack_into(frame, 0, len(frame) - _START.size, xxh3_64_intdigest(view[_START.size :]))


@cache
def _described(dtype: np.dtype[Any]) -> msgspec.Raw:
    """Return numpy's description of a type as MessagePack, cached: a profile row's takes longer than a small frame."""
    return msgspec.Raw(msgspec.msgpack.encode(np.lib.format.dtype_to_descr(dtype)))


def decode(data: memoryview) -> Iterator[dict[str, dict[str, Any]]]:
    """Yield the frames in some bytes, in order: the columns of each part. Raises :class:`TornFrameError`."""
    while len(data):
        if len(data) < _START.size:
            raise TornFrameError("a frame is cut off")
        length, checksum = _START.unpack(data[: _START.size])
        body = data[_START.size : _START.size + length]
        if len(body) < length or xxh3_64_intdigest(body) != checksum:
            raise TornFrameError("a frame is cut off or damaged")
        yield _parts(body)
        data = data[_START.size + length :]


def _parts(body: memoryview) -> dict[str, dict[str, Any]]:
    size = _HEADER.unpack(body[: _HEADER.size])[0]
    at, found = _HEADER.size + size, {}
    for part, described in msgspec.msgpack.decode(body[_HEADER.size : at]):
        columns: dict[str, Any] = {}
        for name, descr, shape, length in described:
            buffer = body[at : at + length]
            if descr == _BYTES:
                columns[name] = bytes(buffer)
            else:
                columns[name] = np.frombuffer(buffer, dtype_of(descr)).reshape(shape)
            at += length
        found[part] = columns
    return found

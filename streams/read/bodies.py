"""Parses message bodies in chunks with the fast parser; a chunk with an unusual body is split.

The contract (:func:`contracts.wire.judge`) validates every body that the fast parser refuses, so the size of chunks
changes only the speed.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from contracts import wire
from contracts.events import MAX_EVENT_BYTES, Event, Kind
from streams.read.columns import Message, Reading

SMALLEST_CHUNK: Final = 8
_PARTS: Final = 4
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
Refuse = Callable[[Message, wire.RejectedError], None]


def read_bodies(messages: Sequence[Message], kind: Kind, refuse: Refuse, chunk: int) -> Reading:
    """Parse bodies in order. Calls ``refuse`` for each invalid one."""
    reading = Reading()
    for start in range(0, len(messages), chunk):
        _read_chunk(messages[start : start + chunk], kind, reading, refuse)
    return reading


def _read_chunk(messages: Sequence[Message], kind: Kind, reading: Reading, refuse: Refuse) -> None:
    """Read all bodies at once; if that fails, in smaller chunks."""
    if len(messages) == 1:
        _read_one(messages[0], kind, reading, refuse)
        return
    bodies = [message.value() or b"" for message in messages]
    try:
        if max(map(len, bodies)) > MAX_EVENT_BYTES:
            raise msgspec.DecodeError("a body is too large")
        envelopes, properties = wire.read_lines(kind, bodies)
    except _UNREADABLE:
        part = -(-len(messages) // _PARTS) if len(messages) > SMALLEST_CHUNK else 1
        for start in range(0, len(messages), part):
            _read_chunk(messages[start : start + part], kind, reading, refuse)
        return
    reading.messages += messages
    reading.envelopes += envelopes
    reading.properties += properties


def _read_one(message: Message, kind: Kind, reading: Reading, refuse: Refuse) -> None:
    body = message.value()
    try:
        if not body or len(body) > MAX_EVENT_BYTES:
            raise wire.RejectedError(*_size_problem(body))
        try:
            envelope, properties = wire.read(kind, body)
        except _UNREADABLE:
            envelope, properties = to_wire(wire.judge(kind, body))
    except wire.RejectedError as why:
        refuse(message, why)
        return
    reading.messages.append(message)
    reading.envelopes.append(envelope)
    reading.properties.append(properties)


def _size_problem(body: bytes | None) -> tuple[str, str]:
    if not body:
        return "body", "is empty"
    return "body", f"has {len(body):,} bytes; the limit is {MAX_EVENT_BYTES:,}"


def to_wire(event: Event) -> tuple[wire.Envelope, Any]:
    """Return an event of the contract as the structs of the fast parser."""
    properties = event.properties.model_dump_json(exclude_unset=True).encode()
    names = wire.Envelope.__struct_fields__
    fields = {name: getattr(event, name) for name in names if name != "properties"}
    return wire.Envelope(properties=msgspec.Raw(properties), **fields), wire.PROPERTIES[event.kind].decode(properties)

"""The body of a request, read into its messages: one, or a batch whose common fields go into each of them.

A message that is wrong does not touch the others of its batch. Pure; moves no data.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from connectors.byte_marks import as_utf8
from connectors.collector.answers import AnswerError
from connectors.collector.numbers import exact
from connectors.collector.timing import read_time
from contracts.events import MAX_EVENT_BYTES
from contracts.wire import RejectedError

BATCH: Final = "batch"
_ID_BYTES: Final = 16
_LONGEST_TEXT: Final = 200
"""Characters of a write key or a time that are read: no good one has so many."""
_RECORD_BYTES: Final = 1_000
"""What each message costs in memory beside its own bytes, until Kafka has it."""
_PARSED_TIMES: Final = 20
"""So many times its bytes may what is common take in memory, read as it is."""


class Envelope(Struct):
    """What is read of a body before its messages are: whose it is, and when it was sent."""

    writeKey: object = None  # noqa: N815 - the wire's names
    sentAt: object = None  # noqa: N815


class BatchBody(Envelope):
    """A batch, its messages not read yet."""

    batch: list[Raw] | None = None
    context: object = None
    integrations: object = None
    userId: object = None  # noqa: N815
    anonymousId: object = None  # noqa: N815


_Read = Callable[[bytes], Envelope]
_read_one: Final[_Read] = msgspec.json.Decoder(Envelope).decode
_read_batch: Final[_Read] = msgspec.json.Decoder(BatchBody, float_hook=exact).decode
_read_message: Final = msgspec.json.Decoder(float_hook=exact).decode
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class Item:
    """One message as it came, and its place in the request.

    ``moment`` is when it came, of messages that nobody sends again: pictures are loaded once for each time.
    """

    raw: bytes
    place: int
    moment: bytes = b""

    def fallback_id(self) -> str:
        """An id made of the content: sent again, the same request has the same ids."""
        salt = self.place.to_bytes(4, "big")
        return "made-" + blake2b(self.raw + self.moment, digest_size=_ID_BYTES, salt=salt).hexdigest()


@dataclass(frozen=True)
class Incoming:
    """A request: its messages, what they have in common, and the write key in its body, if any.

    ``kind`` is the type of its only message, or ``batch``; ``common_bytes`` the size of what all messages get. If that
    alone is too large for a message, ``common`` is empty: none of them will be taken, and nothing is copied.
    """

    kind: str
    items: list[Item]
    common: Mapping[str, Any]
    write_key: str | None
    sent_at: datetime | None
    common_bytes: int = 0

    @property
    def copied_bytes(self) -> int:
        """The size of what all messages get, in all of them together."""
        return len(self.items) * self.common_bytes if self.common else 0

    @property
    def memory_bytes(self) -> int:
        """What the messages will take in memory, beside the body, until Kafka has them: an upper bound, roughly."""
        read = _PARSED_TIMES * self.common_bytes if self.common else 0
        return sum(len(item.raw) + _RECORD_BYTES for item in self.items) + self.copied_bytes + read

    def each_once(self, received_at: datetime) -> "Incoming":
        """The same request, of which each arrival counts, even with the same content."""
        moment = received_at.isoformat().encode()
        return replace(self, items=[replace(item, moment=moment) for item in self.items])


def read_incoming(body: bytes, kind: str, most_events: int) -> Incoming:
    """Read a body. ``kind`` is the type of its only message, or ``batch``.

    Raises :class:`AnswerError` (400) where it is not JSON of that shape, or has too many messages.
    """
    read = _read_batch if kind == BATCH else _read_one
    try:
        try:
            envelope = read(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            envelope, body = _read_otherwise(read, body)
    except msgspec.ValidationError:
        raise AnswerError(400, "bad_body", _wanted(kind)) from None
    except (ValueError, RecursionError):
        raise AnswerError(400, "bad_json", "The body is not valid JSON.") from None
    if isinstance(envelope, BatchBody):
        return _batch(envelope, most_events)
    return Incoming(kind, [Item(body, 0)], {}, _text(envelope.writeKey), read_time(_short(envelope.sentAt)))


def read_item(item: Item, incoming: Incoming) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read one message, alone and with what all of its request have in common; its own fields win.

    Raises :class:`RejectedError` if it is no message.
    """
    try:
        message = _read_message(item.raw)
        if not isinstance(message, dict):
            raise RejectedError("body", "must be an object")
        message.pop("writeKey", None)  # a key is never stored, also not with a dead letter
        if incoming.kind != BATCH:
            message["type"] = incoming.kind
        return message, merged(incoming.common, message)
    except (ValueError, RecursionError):
        raise RejectedError("body", "is not valid JSON, or nested too deeply") from None


def merged(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two objects deeply: where both have something, the second's counts, but null counts for nothing.

    Nor does an empty list where the first has an object: PHP writes an empty map so.
    """
    result = dict(common)
    for key, value in own.items():
        below = result.get(key)
        if isinstance(below, dict):
            if isinstance(value, dict):
                result[key] = merged(below, value)
            elif value is not None and value != []:
                result[key] = value
        elif value is not None or below is None:
            result[key] = value
    return result


def _read_otherwise(read: _Read, body: bytes) -> tuple[Envelope, bytes]:
    """Read a body that is no strict JSON in UTF-8; give it mended too."""
    mended = as_utf8(body)
    if mended is not body:
        try:
            return read(mended), mended
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            pass
    mended = _mended(mended)
    return read(mended), mended


def _mended(body: bytes) -> bytes:
    """Make JSON of what several languages write for it: NaN (here null), half of a character (here "?")."""
    value = json.loads(body, parse_constant=lambda _: None)
    return json.dumps(value, ensure_ascii=False).encode(errors="replace")


def _batch(body: BatchBody, most_events: int) -> Incoming:
    if body.batch is None:
        raise AnswerError(400, "bad_body", _wanted(BATCH))
    if len(body.batch) > most_events:
        raise AnswerError(400, "too_large", f"The batch has more than {most_events:,} messages.")
    items = [Item(bytes(raw), place) for place, raw in enumerate(body.batch)]
    shared = {name: getattr(body, name) for name in ("context", "integrations", "userId", "anonymousId")}
    common = {name: value for name, value in shared.items() if value is not None and value != []}
    size = len(_encode(common)) if common else 0
    if size > MAX_EVENT_BYTES:
        common = {}
    return Incoming(BATCH, items, common, _text(body.writeKey), read_time(_short(body.sentAt)), size)


def _wanted(kind: str) -> str:
    if kind == BATCH:
        return 'The body must be an object with a list of messages: {"batch": [...]}.'
    return f"The body must be an object: one message of the type {kind}."


def _short(value: object) -> object:
    return _text(value) if isinstance(value, str) else value


def _text(value: object) -> str | None:
    return value[:_LONGEST_TEXT] if isinstance(value, str) and value else None

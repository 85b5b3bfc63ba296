"""The fast parser of event bodies.

``msgspec`` structs accept a subset of the bodies that the pydantic models in :mod:`contracts.events` accept, four times
as fast. A body that they refuse goes to :func:`judge`, which decides and gives the reason. A property test checks that
the model accepts every body that :func:`read` accepts, with the same values. Exceptions: times with more than six
digits of a second may differ by a microsecond, and rules across fields are not checked here.
"""

import json as stdlib_json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct, json
from pydantic import ValidationError

from contracts.events import EVENT_MODELS, MAX_AMOUNT, MAX_EVENT_BYTES, Event, Kind

_Id = Annotated[str, Meta(min_length=1, max_length=100)]
_NO_CONTROL: Final = r"^[^\x00-\x1f\x7f]+\Z"
_Label = Annotated[str, Meta(max_length=500)]
_Time = Annotated[datetime, Meta(tz=True)]


class Envelope(Struct, forbid_unknown_fields=True, gc=False):
    """The envelope of one event; its properties stay raw bytes for a second, typed reading."""

    event_id: _Id
    kind: Literal["web", "transaction", "service", "identity"]
    name: _Id
    occurred_at: _Time
    received_at: _Time
    source: _Id
    customer_id: _Id | None = None
    anonymous_id: _Id | None = None
    properties: Raw = Raw(b"{}")
    schema_version: Literal[1] = 1


class Web(Struct, gc=False):
    """The properties of web events that have a column of their own."""

    session_id: _Label | None = None
    url: Annotated[str, Meta(max_length=4_000)] | None = None
    product_id: _Label | None = None


class Transaction(Struct, gc=False):
    """The properties of transactions that have a column of their own."""

    order_id: _Label | None = None
    total: Annotated[float, Meta(ge=0, le=MAX_AMOUNT)] | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] | None = None
    items: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class Service(Struct, gc=False):
    """The properties of service events that have a column of their own."""

    ticket_id: _Label | None = None
    conversation_id: _Label | None = None
    score: Annotated[float, Meta(ge=1, le=5)] | None = None


class Identity(Struct, gc=False):
    """The properties of identity events that have a column of their own."""

    previous_id: Annotated[str, Meta(min_length=1, max_length=100, pattern=_NO_CONTROL)] | None = None
    traits: dict[str, object] | None = None


PropertiesStruct = Web | Transaction | Service | Identity
ENVELOPE: Final = json.Decoder(Envelope)
PROPERTIES: Final[Mapping[Kind, msgspec.json.Decoder[PropertiesStruct]]] = {
    "web": json.Decoder(Web),
    "transaction": json.Decoder(Transaction),
    "service": json.Decoder(Service),
    "identity": json.Decoder(Identity),
}


_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ENDS: Final = itemgetter(0, -1)
_BRACES: Final = tuple(b"{}")
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def read(kind: Kind, body: bytes) -> tuple[Envelope, PropertiesStruct]:
    """Parse one body fast. Raises ``msgspec.DecodeError`` and the like if :func:`judge` must decide.

    In valid JSON only an escape, or DEL, can bring a control character into an id, so ids are searched only then: a
    pattern for each of them would cost more than all the rest of the reading. Properties without a column are skipped
    unread, so this checks only that they are valid UTF-8.
    """
    envelope = ENVELOPE.decode(body)
    escaped = b"\\" in body
    if (escaped or b"\x7f" in body) and _CONTROL.search("".join(_ids(envelope))):
        raise msgspec.ValidationError("an id holds a control character")
    if escaped and _SURROGATE.search(body):
        raise msgspec.ValidationError("a surrogate may lack its other half")
    if not body.isascii():
        body.decode()
    return envelope, PROPERTIES[kind].decode(envelope.properties)


def read_lines(kind: Kind, bodies: Sequence[bytes]) -> tuple[list[Envelope], list[PropertiesStruct]]:
    """Read several bodies at once, twice as fast as one by one. Accepts what :func:`read` accepts of each, or raises.

    The bodies are joined to one text, with newlines. As each starts and ends with a brace, no value of the text spans
    two bodies, unless its properties hold a newline. So each body is one value if there are as many values as bodies.
    """
    if not all(bodies) or set(map(_ENDS, bodies)) != {_BRACES}:
        raise msgspec.DecodeError("a body is no object")
    text, joints = b"\n".join(bodies), len(bodies) - 1
    envelopes = ENVELOPE.decode_lines(text)
    escaped = b"\\" in text
    if (escaped or b"\x7f" in text) and _CONTROL.search("".join(each for one in envelopes for each in _ids(one))):
        raise msgspec.ValidationError("an id holds a control character")
    if escaped and _SURROGATE.search(text):
        raise msgspec.ValidationError("a surrogate may lack its other half")
    if not text.isascii():
        text.decode()
    lines = b"\n".join([envelope.properties for envelope in envelopes])
    if len(envelopes) != len(bodies) or lines.count(b"\n") != joints:
        raise msgspec.DecodeError("a body is not one value")
    properties = PROPERTIES[kind].decode_lines(lines)
    if len(properties) != len(bodies):
        raise msgspec.DecodeError("a body is not one value")
    return envelopes, properties


def _ids(envelope: Envelope) -> Iterator[str]:
    yield from (envelope.event_id, envelope.name, envelope.source)
    yield from (envelope.customer_id or "", envelope.anonymous_id or "")


class _Origin(Struct, gc=False):
    """The source of a body, which is read even if other fields are invalid."""

    source: _Id = ""


_ORIGIN: Final = json.Decoder(_Origin)


def source_of(body: bytes | None) -> str:
    """Return the ``source`` of an invalid body; an empty text if it cannot be read."""
    try:
        source = _ORIGIN.decode(body or b"{}").source
    except msgspec.ValidationError:
        return ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        source = _careless_source(body or b"{}")
    return "" if _CONTROL.search(source) else source


def _careless_source(body: bytes) -> str:
    """Read the source from JSON that only lenient parsers accept, such as an amount that is NaN."""
    try:
        return msgspec.convert(stdlib_json.loads(body), _Origin).source
    except (ValueError, RecursionError):
        return ""


class RejectedError(Exception):
    """An invalid body. ``field`` is the path of the invalid field, ``problem`` says why it is invalid."""

    def __init__(self, field: str, problem: str):
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


def judge(kind: Kind, body: bytes | None) -> Event:
    """Validate one body. Raises :class:`RejectedError`, whose text contains no value of the body."""
    if not body:
        raise RejectedError("body", "is empty")
    if len(body) > MAX_EVENT_BYTES:
        raise RejectedError("body", f"has {len(body):,} bytes; the limit is {MAX_EVENT_BYTES:,}")
    try:
        return EVENT_MODELS[kind].model_validate_json(body)
    except ValidationError as error:
        raise _explain(error) from None


def _explain(error: ValidationError) -> RejectedError:
    """Turn pydantic's first problem into a field and a sentence without the value itself."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"]) or "body"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        field, _, problem = message.partition(": ")
        inside = path == "properties" and not field.startswith("properties")
        return RejectedError(f"properties.{field}" if inside else field, problem)
    if first["type"] == "json_invalid":
        return RejectedError("body", "is not valid JSON")
    return RejectedError(path, message[:1].lower() + message[1:])

"""``POST /v1/webhook/{source}``: webhooks of other systems, over HTTP.

Delivery: a webhook is answered with 200 only after Kafka holds everything it became. Else the provider sends it again,
with the same event ids, so nothing is doubled. A body without a good signature is never looked at, except for a ping if
the mapping allows one: it makes no event. Refusals are logged (:mod:`connectors.webhooks.refusals`).
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.collector.answers import AnswerError, failed, json_answer, not_taken, rate_limited, unavailable
from connectors.collector.body import Body, BodyReader
from connectors.collector.delivery import Deliver
from connectors.collector.limits import RateLimits
from connectors.protocol import Record
from connectors.sources.signatures import SignatureError
from connectors.sources.source import Source
from connectors.sources.webhook import MissingSecretError
from connectors.webhooks.receiver import PING, BodyError, Received, Receiver
from connectors.webhooks.receivers import Receivers, UnusableSourceError
from connectors.webhooks.refusals import UNKNOWN, RefusalLog, why_failed, why_refused
from contracts.errors import InputFileError, StoreUnavailableError
from contracts.metrics import WEBHOOKS

PATH: Final = "/v1/webhook/{source}"
_NOT_FOUND: Final = 404
_COUNT: Final = {"type": "integer", "minimum": 0}
_TAKEN: Final = {
    "type": "object",
    "required": ["success", "events", "ignored", "refused"],
    "properties": {
        "success": {"const": True},
        "events": _COUNT,
        "ignored": _COUNT,
        "refused": _COUNT,
        "type": {"type": "string"},
        "reason": {"type": "string"},
        "problems": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "problem"],
                "properties": {"field": {"type": "string"}, "problem": {"type": "string"}},
            },
        },
    },
}
_FAILURE: Final = {"$ref": "#/components/schemas/Failure"}


def _answer(description: str, schema: Mapping[str, Any] = _FAILURE) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


OPENAPI_PATHS: Final[Mapping[str, Any]] = {
    PATH: {
        "post": {
            "summary": "A webhook of another system, signed as its source says",
            "operationId": "v1-webhook",
            "parameters": [{"name": "source", "in": "path", "required": True, "schema": {"type": "string"}}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
            "responses": {
                "200": _answer("Kafka holds what the webhook became; the answer says what that is.", _TAKEN),
                "400": _answer("The body is no JSON, or too large."),
                "401": _answer("The signature is missing, wrong or too old."),
                "404": _answer("There is no such source of webhooks."),
                "408": _answer("The body did not arrive in time."),
                "429": _answer("The source sends too much: come again after the seconds of Retry-After."),
                "503": _answer("Send the same again later."),
                "507": _answer("The disk has no room for events now: send the same again later."),
            },
        }
    }
}
Note = Callable[[str, object, Record, datetime, bytes], None]
"""Is told the source, the event's name, its record, when it came, and the body."""


def routes(
    receivers: Receivers,
    deliver: Deliver,
    bodies: BodyReader,
    *,
    note: Note = lambda *_: None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Route]:
    """Make the routes of webhooks. ``note`` is told of every record that Kafka holds."""
    return [Route(PATH, _Endpoint(receivers, deliver, bodies, note, clock).post, methods=["POST"])]


class _Endpoint:
    """Answers the requests."""

    def __init__(
        self, receivers: Receivers, deliver: Deliver, bodies: BodyReader, note: Note, clock: Callable[[], datetime]
    ):
        self._receivers = receivers
        self._deliver = deliver
        self._bodies = bodies
        self._note = note
        self._clock = clock
        self._limits = RateLimits()
        self._refusals = RefusalLog()

    async def post(self, request: Request) -> Response:
        """Take one webhook."""
        name = request.path_params["source"]
        try:
            receiver = await self._find(name)
        except AnswerError as error:
            self._refusals.note(UNKNOWN if error.status == _NOT_FOUND else name, why_failed(error))
            return failed(error)  # not counted: anybody can think of names
        try:
            received = await self._take(name, receiver, request)
        except AnswerError as error:
            return self._failed(name, error)
        except StoreUnavailableError as error:
            return self._failed(name, not_taken(error))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        WEBHOOKS.labels(name, _outcome(received)).inc()
        if received.problems:
            self._refusals.note(name, why_refused(received.problems))
        return json_answer({"success": True, **received.told()})

    def _failed(self, name: str, error: AnswerError) -> Response:
        WEBHOOKS.labels(name, error.code).inc()
        self._refusals.note(name, why_failed(error))
        return failed(error)

    async def _find(self, name: str) -> Receiver:
        try:
            receiver = await self._receivers.ready(name)
        except (InputFileError, UnusableSourceError):
            raise unavailable("This source is configured wrongly; the collector's log says how.") from None
        if receiver is None:
            raise AnswerError(404, "unknown_source", "There is no such source of webhooks.")
        return receiver

    def _limit(self, source: Source, now: datetime) -> None:
        """Let a webhook in, for the price of one event; how many it holds is known later."""
        wait = self._limits.wait(source.name, source.events_per_second, 1, now.timestamp())
        if wait:
            raise rate_limited(wait, "This source")

    async def _take(self, name: str, receiver: Receiver, request: Request) -> Received:
        async with self._bodies.body(request) as body:
            now = self._clock()
            is_ping = _is_ping(receiver, request.headers, body)
            if not is_ping:
                _check(receiver, request.headers, body, now)
            self._limit(receiver.source, now)
            if is_ping:
                return Received(None, reason=PING)
            received = await _receive(receiver, request.headers, body, now)
            events = len(received.records)
            self._limits.take(name, events - 1)
            try:
                await self._deliver(received.records)
            except StoreUnavailableError:
                self._limits.give_back(name, events)
                raise
            for record, told in zip(received.records, received.names, strict=True):
                self._note(name, told, record, now, record.value or b"")
        return received


def _is_ping(receiver: Receiver, headers: Mapping[str, str], body: Body) -> bool:
    try:
        return receiver.is_ping(body.raw, headers)
    except MissingSecretError as error:
        raise unavailable(f"Not taken: {error}.") from None


def _check(receiver: Receiver, headers: Mapping[str, str], body: Body, now: datetime) -> None:
    try:
        receiver.check(body.raw, headers, now)
    except SignatureError as error:
        raise AnswerError(401, "bad_signature", f"Not taken: {error}.") from None
    except MissingSecretError as error:
        raise unavailable(f"Not taken: {error}.") from None


async def _receive(receiver: Receiver, headers: Mapping[str, str], body: Body, now: datetime) -> Received:
    try:
        return await receiver.receive_in_turns(body.content, headers, now)
    except BodyError as error:
        raise AnswerError(400, "bad_body", f"Not taken: {error}.") from None


def _outcome(received: Received) -> str:
    if received.problems:
        return "refused"
    return "accepted" if received.events else "ignored"

"""``POST /v1/webhook/{source}``: webhooks of other systems, over HTTP.

Delivery: a webhook is answered with 200 only after Kafka holds everything it became. Else the provider sends it again,
with the same event ids, so nothing is doubled. What its signature does not vouch for is never looked at.
"""

import logging
import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.collector.answers import AnswerError, failed, json_answer, unavailable
from connectors.collector.body import Body, BodyReader
from connectors.collector.delivery import Deliver
from connectors.door import Door
from connectors.sources import Source, Sources
from connectors.webhooks.config import MissingSecretError
from connectors.webhooks.receiver import STAGE, BodyError, Received, Receiver
from connectors.webhooks.signatures import SignatureError
from contracts.errors import InputFileError, SettingsError, StoreUnavailableError
from contracts.metrics import WEBHOOKS

PATH: Final = "/v1/webhook/{source}"
OPENAPI_PATHS: Final[Mapping[str, Any]] = {
    PATH: {
        "post": {
            "summary": "A webhook of another system, signed as its source says",
            "operationId": "v1-webhook",
            "parameters": [{"name": "source", "in": "path", "required": True, "schema": {"type": "string"}}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": {}}}},
            "responses": {
                "200": {"description": "Kafka holds what the webhook became; the answer says what that is."},
                "400": {"description": "The body is no JSON, or too large."},
                "401": {"description": "The signature is missing, wrong or too old."},
                "404": {"description": "There is no such source of webhooks."},
                "503": {"description": "Send the same again later."},
            },
        }
    }
}
_log = logging.getLogger(__name__)


class Receivers:
    """The receivers of all sources, made when they are first needed and anew when the sources change.

    ``sources`` gives the sources as they are now, the same object as long as nothing has changed; ``door`` makes the
    door of one; ``folder`` is where the paths of their mappings begin; ``environment`` holds the secrets.
    """

    def __init__(
        self,
        sources: Callable[[], Sources],
        folder: Path | None = None,
        *,
        door: Callable[[Source], Door] = lambda source: Door(source, STAGE),
        environment: Mapping[str, str] = os.environ,
    ):
        self._sources = sources
        self._folder = folder
        self._door = door
        self._environment = environment
        self._of: Sources | None = None
        self._made: dict[str, Receiver] = {}

    def find(self, name: str) -> Receiver:
        """Give the receiver of a source. Raises :class:`AnswerError`."""
        try:
            sources = self._sources()
            if sources is not self._of:
                self._of, self._made = sources, {}
            if name not in self._made:
                self._made[name] = self._make(_source(sources, name))
        except (InputFileError, SettingsError) as error:
            _log.error("Webhooks of source %s: %s", name, error)
            raise unavailable("This source's configuration is wrong; its log says how.") from None
        return self._made[name]

    def doubts(self) -> list[str]:
        """Tell, at the start, which sources' webhooks will be kept out: wrong mappings, variables that are not set."""
        found = []
        for source in self._sources().sources.values():
            try:
                if source.webhook is not None:
                    self._make(source).part.secrets(self._environment)
            except (InputFileError, SettingsError, MissingSecretError) as error:
                found.append(f"Webhooks of source {source.name} get 503: {error}.".replace("..", "."))
        return found

    def _make(self, source: Source) -> Receiver:
        return Receiver(self._door(source), self._folder, self._environment)


def routes(
    receivers: Receivers,
    deliver: Deliver,
    bodies: BodyReader,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Route]:
    """Make the routes of webhooks."""
    return [Route(PATH, _Endpoint(receivers, deliver, bodies, clock).post, methods=["POST"])]


class _Endpoint:
    """Answers the requests."""

    def __init__(self, receivers: Receivers, deliver: Deliver, bodies: BodyReader, clock: Callable[[], datetime]):
        self._receivers = receivers
        self._deliver = deliver
        self._bodies = bodies
        self._clock = clock

    async def post(self, request: Request) -> Response:
        """Take one webhook."""
        name = request.path_params["source"]
        try:
            receiver = self._receivers.find(name)
        except AnswerError as error:
            return failed(error)
        try:
            async with self._bodies.body(request) as body:
                received = self._receive(receiver, request, body)
            await self._deliver(received.records)
        except AnswerError as error:
            WEBHOOKS.labels(name, error.code).inc()
            return failed(error)
        except StoreUnavailableError:
            WEBHOOKS.labels(name, "unavailable").inc()
            return failed(unavailable())
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        WEBHOOKS.labels(name, _outcome(received)).inc()
        return json_answer({"success": True, **received.told()})

    def _receive(self, receiver: Receiver, request: Request, body: Body) -> Received:
        now = self._clock()
        try:
            receiver.check(body.raw, request.headers, now)
            return receiver.receive(body.content, request.headers, now)
        except SignatureError as error:
            raise AnswerError(401, "bad_signature", f"Not taken: {error}.") from None
        except BodyError as error:
            raise AnswerError(400, "bad_body", f"Not taken: {error}.") from None
        except MissingSecretError as error:
            _log.error("Webhooks of source %s: %s", request.path_params["source"], error)
            raise unavailable(f"Not taken: {error}.") from None


def _source(sources: Sources, name: str) -> Source:
    source = sources.sources.get(name)
    if source is None or source.webhook is None:
        raise AnswerError(404, "unknown_source", "There is no such source of webhooks.")
    return source


def _outcome(received: Received) -> str:
    if received.problems:
        return "refused"
    return "accepted" if received.events else "ignored"

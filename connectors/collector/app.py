"""The collector as an ASGI application: its routes, and how failures are answered.

Delivery: a 200 to an endpoint that takes messages means that Kafka holds all of them.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from connectors.collector.answers import (
    AnswerError,
    accepted,
    failed,
    json_answer,
    no_room,
    not_taken,
    surprised,
    unavailable,
)
from connectors.collector.auth import Sender, Senders, key_in_header
from connectors.collector.batch import BATCH, read_incoming
from connectors.collector.body import BodyReader, Reading
from connectors.collector.browser import GIF, analytics_settings, anonymous_id_of, pixel_message, rudder_config
from connectors.collector.edge import Edge
from connectors.collector.intake import Intake
from connectors.collector.messages import TYPES, Arrival
from connectors.collector.openapi import document
from connectors.collector.page import Page
from contracts.errors import InputFileError, StoreUnavailableError
from contracts.events import MAX_EVENT_BYTES

_SHORT: Final = {"t": "track", "p": "page", "i": "identify", "s": "screen", "g": "group", "a": "alias", "b": BATCH}
ENDPOINTS: Final[Mapping[str, str]] = {
    **{f"/v1/{kind}": kind for kind in (*TYPES, BATCH)},
    **{f"/v1/{letter}": kind for letter, kind in _SHORT.items()},
    "/v1/import": BATCH,
    "/beacon/v1/batch": BATCH,
}
"""The paths that take messages by POST, and their type."""
PIXELS: Final[Mapping[str, str]] = {
    **{f"/pixel/v1/{kind}": kind for kind in ("track", "page")},
    **{f"/v1/pixel/{kind}": kind for kind in TYPES},
}
"""The paths that take a message by GET, in the address of a picture."""
_OTHERS: Final = (
    "/v1/m",
    "/sourceConfig",
    "/health",
    "/ready",
    "/version",
    "/openapi.json",
    "/",
    "/feed",
    "/metrics",
)


class Head(NamedTuple):
    """What the head of a request tells: who sends (None if no key is in it), which visitor, from which address."""

    sender: Sender | None
    anonymous_id: str | None
    ip: str | None


@dataclass(frozen=True)
class Collector:
    """What the collector is made of. ``available`` tells whether Kafka is, as far as is known.

    ``disk_full`` says whether the disk of a local Kafka has too little room for events.

    ``public_url`` is where clients reach it, if not where they say; ``keep_ip`` adds their address to the context.
    """

    senders: Senders
    intake: Intake
    reader: BodyReader
    page: Page
    available: Callable[[], bool]
    version: str
    most_batch_events: int = 2_500
    public_url: str | None = None
    keep_ip: bool = False
    disk_full: Callable[[], bool] = lambda: False
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def head(self, request: Request) -> Head:
        """Read the head of a request. Raises :class:`AnswerError` (401) if the key in it is nobody's."""
        headers = dict(request.scope["headers"])
        sender = await self.senders.find_of(headers.get(b"authorization"))
        if sender is None and request.scope["query_string"]:
            query_key = request.query_params.get("writeKey")
            sender = await self.senders.find(query_key) if query_key else None
        ip = request.client.host if self.keep_ip and request.client else None
        return Head(sender, anonymous_id_of(headers.get(b"anonymousid")), ip)

    async def take(
        self, head: Head, kind: str, content: bytes, *, reading: Reading | None = None, each_once: bool = False
    ) -> None:
        """Take the messages in a body; raises :class:`AnswerError` or :class:`StoreUnavailableError`.

        ``reading`` counts the memory of a body. ``each_once`` says that the same content again is another event.
        """
        received_at = self.now()
        if kind != BATCH and len(content) > MAX_EVENT_BYTES:
            raise AnswerError(400, "too_large", f"A message has at most {MAX_EVENT_BYTES:,} bytes.")
        incoming = read_incoming(content, kind, self.most_batch_events)
        if each_once:
            incoming = incoming.each_once(received_at)
        sender = head.sender or await self.senders.find(incoming.write_key)
        if reading is not None:
            reading.vouch()
            if kind == BATCH:
                reading.grow(incoming.copied_bytes, incoming.memory_bytes)
        arrival = Arrival(received_at, incoming.sent_at, head.anonymous_id, head.ip)
        await self.intake.take(incoming, sender, arrival)

    def address(self, request: Request) -> tuple[str, str]:
        """The scheme and host under which a client reaches the collector."""
        if self.public_url:
            scheme, _, host = self.public_url.rstrip("/").partition("://")
            return scheme, host
        return request.url.scheme, request.headers.get("host", "")

    def posting(self, kind: str) -> Callable[[Request], Any]:
        """Make the handler of a path that takes messages of this kind by POST."""

        async def post(request: Request) -> Response:
            head = await self.head(request)
            reading = self.reader.body(request, known=head.sender is not None)
            async with reading as body:
                await self.take(head, kind, body.content, reading=reading)
            return accepted()

        return post

    def _picturing(self, kind: str) -> Callable[[Request], Any]:
        async def get(request: Request) -> Response:
            await self.take(await self.head(request), kind, pixel_message(request.query_params), each_once=True)
            return Response(GIF, headers={"Cache-Control": "no-store"}, media_type="image/gif")

        return get

    async def _settings(self, request: Request) -> Response:
        write_key = request.path_params["key"]
        await self.senders.find(write_key)
        return json_answer(analytics_settings(write_key, *self.address(request)))

    async def _source_config(self, request: Request) -> Response:
        header = dict(request.scope["headers"]).get(b"authorization")
        key = key_in_header(header) or request.query_params.get("writeKey") or ""
        return json_answer(rudder_config((await self.senders.find(key)).source, key))

    async def _figures(self, request: Request) -> Response:
        async with self.reader.body(request):
            return accepted()

    async def _health(self, _request: Request) -> Response:
        return json_answer({"status": "ok"})

    async def _ready(self, _request: Request) -> Response:
        up, full = self.available(), self.disk_full()
        content = {
            "status": "ready" if up and not full else "not ready",
            "kafka": "up" if up else "away",
            "disk": "full" if full else "well",
            "sources": len(self.senders.names),
            "sources_file": "broken" if self.senders.problem else "well",
        }
        if up and not full:
            return json_answer(content)
        problem = unavailable() if not up else no_room()
        return json_answer(content, problem.status, problem.headers)

    async def _version(self, _request: Request) -> Response:
        return json_answer({"version": self.version})

    def routes(self, openapi: dict[str, Any]) -> list[BaseRoute]:
        """Give all routes of its own."""

        async def described(_request: Request) -> Response:
            return json_answer(openapi)

        return [
            *(Route(path, self.posting(kind), methods=["POST"]) for path, kind in ENDPOINTS.items()),
            *(Route(path, self._picturing(kind), methods=["GET"]) for path, kind in PIXELS.items()),
            Route("/v1/m", self._figures, methods=["POST"]),
            Route("/v1/projects/{key}/settings", self._settings),
            Route("/sourceConfig", self._source_config),
            Route("/health", self._health),
            Route("/ready", self._ready),
            Route("/version", self._version),
            Route("/openapi.json", described),
            *self.page.routes(),
        ]


def create_app(
    collector: Collector,
    routes: Sequence[BaseRoute] = (),
    more_paths: Mapping[str, Any] | None = None,
    running: Callable[[], AbstractAsyncContextManager[None]] | None = None,
) -> ASGIApp:
    """Make the application. ``routes`` are those of other connectors, and ``more_paths`` describe them.

    ``running`` is entered when the server starts and left when it stops.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        if running is None:
            yield
        else:
            async with running():
                yield

    openapi = document(ENDPOINTS, PIXELS, collector.version, more_paths)
    app = Starlette(
        routes=[*collector.routes(openapi), *routes],
        lifespan=lifespan,
        exception_handlers={**dict.fromkeys(_KNOWN, _on_known), HTTPException: _on_http, Exception: _on_surprise},
    )
    app.router.redirect_slashes = False
    direct = {path: collector.posting(kind) for path, kind in ENDPOINTS.items()}
    return Edge(app, direct, answer_of, (*ENDPOINTS, *PIXELS, *_OTHERS))


def answer_of(error: Exception) -> Response | None:
    """Give the answer to what a handler raised; None if it must not happen."""
    match error:
        case AnswerError():
            return failed(error)
        case StoreUnavailableError() | InputFileError():
            return failed(not_taken(error))
        case ClientDisconnect():
            return failed(AnswerError(400, "gone", "The client went before its body was there."))
    return None


_KNOWN: Final = (AnswerError, StoreUnavailableError, InputFileError, ClientDisconnect)


async def _on_known(_request: Request, error: Exception) -> Response:
    response = answer_of(error)
    if response is None:
        raise error
    return response


async def _on_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    told = "There is nothing here." if error.status_code == 404 else error.detail
    return failed(AnswerError(error.status_code, "refused", told, error.headers))


async def _on_surprise(_request: Request, _error: Exception) -> Response:
    return failed(surprised())

"""What is done to every request and answer: tidy paths, CORS, a bound of those under way, counting. Moves no data."""

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.collector import answers
from connectors.collector.body import WHOLE
from contracts.metrics import COLLECTOR_REQUESTS, COLLECTOR_SECONDS

OWN_PATHS: Final = ("/", "/feed", "/metrics", "/static/")
"""What belongs to the collector's own page: no page of another origin may read it."""
MOST_RUNNING: Final = 1_000
"""Requests that may be under way at once; more are answered 503. One whose body is still coming is not yet under way:
a client that dribbles must keep nobody out, and what it has sent is bounded by the bytes that are held."""
PROBES: Final = frozenset({"/health", "/ready", "/metrics"})
"""What is answered however much is under way: it waits for nothing."""
_SLASHES: Final = re.compile(r"/{2,}")
_TOO_MANY: Final = "Too many requests are under way; send the same again later."
_DAY: Final = b"86400"
_logger = logging.getLogger(__name__)
Headers = list[tuple[bytes, bytes]]


def tidy(path: str) -> str:
    """A path without doubled or trailing slashes: a client whose address ends in a slash must not be redirected."""
    return (_SLASHES.sub("/", path) if "//" in path else path).rstrip("/") or "/"


def cors_headers(origin: bytes) -> Headers:
    """Let a page of any origin read the answer. No cookie means anything to the collector."""
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"Retry-After, X-RateLimit-Reset"),
        (b"vary", b"Origin"),
    ]


def preflight_headers(headers: dict[bytes, bytes]) -> Headers:
    """Allow the request that a browser asks about."""
    return [
        *cors_headers(headers[b"origin"]),
        (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
        (b"access-control-allow-headers", headers.get(b"access-control-request-headers", b"Content-Type")),
        (b"access-control-allow-private-network", b"true"),
        (b"access-control-max-age", _DAY),
        (b"content-length", b"0"),
    ]


Handler = Callable[[Request], Awaitable[Response]]
Failed = Callable[[Exception], Response | None]


class _Arriving:
    """The body of a request while it arrives; ``enter`` is called when it is there."""

    def __init__(self, receive: Receive, enter: Callable[[], None]):
        self._receive = receive
        self._enter = enter
        self.is_there = False

    async def __call__(self) -> Message:
        message = await self._receive()
        if not self.is_there and message["type"] == "http.request" and not message.get("more_body", False):
            self._enter()
            self.is_there = True
        return message


class Edge:
    """The outermost ASGI layer.

    ``direct`` are the handlers of the paths that take messages by POST: they are called here, because a router would
    cost more than all that they do. What they raise is answered by ``failed``, or with 500. ``known`` are the paths
    that are counted by name. ``most_running`` bounds the requests under way.
    """

    def __init__(
        self,
        app: ASGIApp,
        direct: Mapping[str, Handler],
        failed: Failed,
        known: Iterable[str],
        most_running: int = MOST_RUNNING,
    ):
        self._app = app
        self._direct = direct
        self._failed = failed
        self._known = frozenset(known)
        self._most_running = most_running
        self._running = 0
        self._counted: dict[tuple[str, int], Counter] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        path = scope["path"] = tidy(scope["path"])
        headers = dict(scope["headers"])
        shared = b"origin" in headers and path not in OWN_PATHS and not path.startswith("/static/")

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                if shared:
                    message["headers"] = [*message["headers"], *cors_headers(headers[b"origin"])]
                self._count(path, message["status"], time.perf_counter() - began)
            await send(message)

        if shared and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
            await send({"type": "http.response.start", "status": 204, "headers": preflight_headers(headers)})
            await send({"type": "http.response.body", "body": b""})
        elif self._running >= self._most_running and path not in PROBES:
            await answers.failed(answers.unavailable(_TOO_MANY))(scope, receive, answer)
        else:
            await self._run(scope, receive, answer)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        posted = scope["method"] == "POST"
        arriving = None
        if posted and WHOLE not in scope:
            receive = arriving = _Arriving(receive, self._enter)
        else:
            self._running += 1
        try:
            handler = self._direct.get(scope["path"]) if posted else None
            if handler is None:
                await self._app(scope, receive, send)
            else:
                response = await self._handled(handler, Request(scope, receive))
                await response(scope, receive, send)
        finally:
            self._running -= arriving is None or arriving.is_there

    def _enter(self) -> None:
        """Count a request whose body is there now. Raises :class:`AnswerError` (503) if too many are under way."""
        if self._running >= self._most_running:
            raise answers.unavailable(_TOO_MANY)
        self._running += 1

    async def _handled(self, handler: Handler, request: Request) -> Response:
        try:
            return await handler(request)
        except Exception as error:
            response = self._failed(error)
            if response is None:
                _logger.exception("A request to %s failed unexpectedly.", request.scope["path"])
                response = answers.failed(answers.surprised())
            return response

    def _count(self, path: str, status: int, seconds: float) -> None:
        endpoint = path if path in self._known else "other"
        counter = self._counted.get((endpoint, status))
        if counter is None:
            counter = self._counted[endpoint, status] = COLLECTOR_REQUESTS.labels(endpoint, status)
        counter.inc()
        COLLECTOR_SECONDS.observe(seconds)

"""Requests to an ASGI application, without a server."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.types import ASGIApp, Message

from connectors.collector.body import WHOLE


@dataclass(frozen=True)
class Answer:
    """What came back. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read."""
        return orjson.loads(self.body)


def ask(
    app: ASGIApp,
    method: str,
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    client: str = "127.0.0.1",
    http_version: str = "1.1",
) -> Answer:
    """Send one request."""
    path, _, query = url.partition("?")
    given = {"host": "127.0.0.1:8080"} | {name.lower(): value for name, value in (headers or {}).items()}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": http_version, "method": method, "scheme": "http",
        "path": unquote(path), "raw_path": path.encode(), "query_string": query.encode(),
        "root_path": "", "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "client": (client, 50_000), "server": ("127.0.0.1", 8080), "state": {}, WHOLE: True,
    }  # fmt: skip
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return left.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, b"".join(message.get("body", b"") for message in sent[1:]))

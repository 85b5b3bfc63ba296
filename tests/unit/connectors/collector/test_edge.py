"""The edge bounds the requests under way, and answers those beyond it as the collector answers."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from support.asgi import Answer, ask

from connectors.collector.answers import accepted
from connectors.collector.edge import Edge


async def probed(scope: Scope, receive: Receive, send: Send) -> None:
    await accepted()(scope, receive, send)


class Meanwhile:
    """A handler that, while its own request is under way, sees what others are answered."""

    app: ASGIApp
    answers: tuple[Answer, ...] = ()

    async def __call__(self, request: Request) -> Response:
        def others() -> tuple[Answer, ...]:
            far = {"Origin": "https://shop.example"}
            return ask(self.app, "POST", "/v1/track", headers=far), ask(self.app, "GET", "/health")

        self.answers = await asyncio.to_thread(others)
        if request.headers.get("fail"):
            raise ValueError("x")
        return accepted()


def test_a_request_too_many_is_told_to_come_again_and_probes_are_answered() -> None:
    handler = Meanwhile()
    handler.app = Edge(probed, {"/v1/track": handler}, lambda error: Response(status_code=500), (), most_running=1)
    for headers, status in (({}, 200), ({"fail": "1"}, 500), ({}, 200)):  # one that fails gives its place back too
        assert ask(handler.app, "POST", "/v1/track", headers=headers).status == status
        refused, probe = handler.answers
        assert (refused.status, refused.json()["code"], probe.status) == (503, "unavailable", 200)
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["access-control-allow-origin"] == "https://shop.example"

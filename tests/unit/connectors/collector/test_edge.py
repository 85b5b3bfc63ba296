"""The edge bounds the requests under way, and answers those beyond it as the collector answers."""

import asyncio

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from support.asgi import Answer, ask

from connectors.collector.answers import accepted
from connectors.collector.app import answer_of
from connectors.collector.edge import Edge
from contracts.metrics import COLLECTOR_REQUESTS


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


def test_bodies_on_their_way_keep_nobody_out() -> None:
    async def reading(request: Request) -> Response:
        await request.body()
        return accepted()

    edge = Edge(probed, {"/v1/track": reading}, lambda error: None, (), most_running=1)

    async def slow(dribble: asyncio.Queue[Message], sent: list[Message]) -> None:
        scope: Scope = {"type": "http", "method": "POST", "path": "/v1/track", "headers": [], "query_string": b""}

        async def send(message: Message) -> None:
            sent.append(message)

        await edge(scope, dribble.get, send)

    async def whole() -> None:
        dribble: asyncio.Queue[Message] = asyncio.Queue()
        sent: list[Message] = []
        clients = [asyncio.create_task(slow(dribble, sent)) for _ in range(50)]
        dribble.put_nowait({"type": "http.request", "body": b"{", "more_body": True})
        await asyncio.sleep(0)
        assert (await asyncio.to_thread(ask, edge, "POST", "/v1/track")).status == 200
        for _ in clients:
            dribble.put_nowait({"type": "http.request", "body": b"}", "more_body": False})
        await asyncio.gather(*clients)
        assert {message["status"] for message in sent if "status" in message} == {200}
        assert (await asyncio.to_thread(ask, edge, "POST", "/v1/track")).status == 200  # all places are free again

    asyncio.run(whole())


def test_a_body_that_arrives_when_too_many_are_under_way_is_told_to_come_again() -> None:
    go_on = asyncio.Event()

    async def waiting(request: Request) -> Response:
        await request.body()
        await go_on.wait()
        return accepted()

    edge = Edge(probed, {"/v1/track": waiting}, answer_of, (), most_running=1)

    async def ask_slowly() -> int:
        scope: Scope = {"type": "http", "method": "POST", "path": "/v1/track", "headers": [], "query_string": b""}
        sent: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await edge(scope, receive, send)
        return int(sent[0]["status"])

    async def whole() -> None:
        first = asyncio.create_task(ask_slowly())
        await asyncio.sleep(0)
        assert await ask_slowly() == 503
        go_on.set()
        assert await first == 200
        assert await ask_slowly() == 200

    asyncio.run(whole())


def test_what_must_not_happen_is_answered_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def failing(request: Request) -> Response:
        raise ValueError("x")

    def count() -> float:
        return COLLECTOR_REQUESTS.labels("/v1/track", 500)._value.get()

    before = count()
    edge = Edge(probed, {"/v1/track": failing}, answer_of, ["/v1/track"])
    answer = ask(edge, "POST", "/v1/track", headers={"Origin": "https://shop.example"})
    assert (answer.status, answer.json()["code"]) == (500, "failed")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert count() == before + 1
    assert [record.exc_info is not None for record in caplog.records] == [True]

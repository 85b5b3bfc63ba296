"""Whatever comes, the collector stays up, answers others, keeps within its memory, and never fails with a 5xx.

The memory is bounded by the bodies that are held with what their messages take (64 MB), and what is under way to Kafka
(128 MB).
"""

import contextlib
import gzip
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import psutil
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance
from support.collecting import CollectorProcess, basic
from support.flow import wait_until

pytestmark = pytest.mark.stack

MOST_MEMORY = 300_000_000
MOST_AT_ONCE = 400_000_000
SLOW_CLIENTS = 200
AUTHORIZATION = {"Authorization": basic("wk_shop")}
HEAD = f"POST /v1/batch HTTP/1.1\r\nHost: c\r\nAuthorization: {basic('wk_shop')}\r\n".encode()


@pytest.fixture(scope="module")
def slow_clients(collector: CollectorProcess) -> Iterator[list[socket.socket]]:
    """Clients that have begun to send a head, or a body, and go on a byte at a time, if at all."""
    clients = [socket.create_connection(("127.0.0.1", collector.port)) for _ in range(SLOW_CLIENTS)]
    for number, client in enumerate(clients):
        client.sendall([b"", b"PO", HEAD, HEAD + b"Content-Length: 9999\r\n\r\n{"][number % 4])
    yield clients
    for client in clients:
        client.close()


@pytest.fixture(autouse=True)
def still_well(collector: CollectorProcess, slow_clients: list[socket.socket]) -> Iterator[None]:
    """After each test it is the same process, serves ordinary clients, and is not too large."""
    pid = collector.pid
    for client in slow_clients:
        with contextlib.suppress(OSError):
            client.send(b"x")
    yield
    assert collector.post("/v1/track", {"userId": "c", "event": "Well"})[0] == 200
    assert collector.pid == pid
    assert psutil.Process(pid).memory_info().rss < MOST_MEMORY
    assert "Traceback" not in collector.told()


def test_the_schema_holds_whatever_is_sent(collector: CollectorProcess) -> None:
    schema = schemathesis.openapi.from_url(f"{collector.url}/openapi.json")
    checks = [not_a_server_error, content_type_conformance, response_schema_conformance]
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=8, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        def holds(case: Case) -> None:
            response = requests.request(**case.as_transport_kwargs(headers=AUTHORIZATION), timeout=20)
            case.validate_response(response, checks=checks)

        holds()


def exchange(collector: CollectorProcess, *pieces: bytes) -> bytes:
    """Send bytes as they are; give what comes back until the connection is closed, or nothing more comes."""
    with socket.create_connection(("127.0.0.1", collector.port), timeout=5) as client:
        answer = b""
        with contextlib.suppress(OSError):
            for piece in pieces:
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65_536):
                answer += chunk
        return answer


def test_garbage_and_odd_heads(collector: CollectorProcess) -> None:
    chance = random.Random(1)
    heads = [
        chance.randbytes(200),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe%zz HTTP/1.1\r\nHost: c\r\n\r\n",
        b"POST /v1/track HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        HEAD + b"Content-Length: 50\r\n\r\n{}",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Origin: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\n{}",
        b"OPTIONS /v1/track HTTP/1.1\r\nHost: c\r\nOrigin: x\r\nAccess-Control-Request-Method: P\r\n"
        b"Access-Control-Request-Headers: \x80\xff\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: c\r\n\r\n" * 200,
    ]
    for head in heads:
        answer = exchange(collector, head)
        assert b"HTTP/1.1 5" not in answer, head


def test_heads_and_trailers_without_end_are_cut_off(collector: CollectorProcess) -> None:
    header = b"X-More: " + b"x" * 8_000 + b"\r\n"
    for begin in (HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"GET /" + b"x" * 200_000):
        answer = exchange(collector, begin, *[header] * 200)
        assert not answer or b" 400 " in answer.splitlines()[0]


def test_bodies_without_end_and_bombs_are_400_and_leave_no_trace(collector: CollectorProcess) -> None:
    bomb = gzip.compress(b'{"batch": [' + b" " * 200_000_000)
    double = gzip.compress(bomb)
    chunk = b"10000\r\n" + b"0" * 65_536 + b"\r\n"

    def attack(number: int) -> bytes:
        match number % 4:
            case 0:
                head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
                return exchange(collector, head, bomb)
            case 1:
                return exchange(collector, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 200)
            case 2:
                return exchange(collector, HEAD + b"Content-Length: 3000000\r\n\r\n", b"0" * 3_000_000)
        head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(double)
        return exchange(collector, head, double)

    with ThreadPoolExecutor(8) as pool:
        for answer in pool.map(attack, range(32)):
            assert not answer or b" 400 " in answer.splitlines()[0]


def test_the_largest_batches_at_once(collector: CollectorProcess) -> None:
    message = {"type": "track", "userId": "c", "event": "Large", "properties": {"text": "x" * 100}}
    batch = {"batch": [message] * 2_500}
    assert len(orjson.dumps(batch)) < 500_000
    packed = gzip.compress(orjson.dumps(batch))
    with ThreadPoolExecutor(6) as pool:
        sent = [pool.submit(collector.post, "/v1/batch", packed, **{"Content-Encoding": "gzip"}) for _ in range(12)]
        assert {one.result()[0] for one in sent} == {200}
    assert collector.post("/v1/batch", {"batch": [message] * 2_501})[0] == 400


def peak(collector: CollectorProcess) -> int:
    """The most memory that the process has had, in bytes."""
    told = Path(f"/proc/{collector.pid}/status").read_text(encoding="ascii")
    return int(told.partition("VmHWM:")[2].split()[0]) * 1024


def test_what_batches_have_in_common_does_not_fill_the_memory(collector: CollectorProcess) -> None:
    """Each of these small bodies becomes 15 MB of events; one with a context of 30,000 bytes would become 75."""

    def batch(context_bytes: int) -> bytes:
        common = {"userId": "c", "context": {"x": "y" * context_bytes}}
        return orjson.dumps({"batch": [{"type": "track", "event": "x"}] * 2_500, **common})

    with ThreadPoolExecutor(12) as pool:
        statuses = [answer[0] for answer in pool.map(lambda _: collector.post("/v1/batch", batch(6_000)), range(12))]
        assert set(statuses) <= {200, 503}
        answers = list(pool.map(lambda _: collector.post("/v1/batch", batch(30_000)), range(12)))
        assert {status for status, _ in answers} == {400}
        assert b"too_large" in answers[0][1]
    assert peak(collector) < MOST_AT_ONCE


def test_who_has_no_key_keeps_nobody_out(collector: CollectorProcess) -> None:
    head = b"POST /v1/batch HTTP/1.1\r\nHost: c\r\nContent-Length: 499999\r\n\r\n"
    clients = [socket.create_connection(("127.0.0.1", collector.port)) for _ in range(150)]
    try:
        for client in clients:
            with contextlib.suppress(OSError):
                client.sendall(head + b" " * 499_000)
        message = {"type": "track", "userId": "c", "event": "Large", "properties": {"text": "x" * 30_000}}
        assert collector.post("/v1/batch", {"batch": [message] * 15})[0] == 200
    finally:
        for client in clients:
            client.close()


def test_an_unknown_key_is_told_before_the_body_comes_and_the_connection_goes_on(collector: CollectorProcess) -> None:
    head = HEAD.replace(basic("wk_shop").encode(), basic("nobody").encode())
    with socket.create_connection(("127.0.0.1", collector.port), timeout=5) as client:
        client.sendall(head + b"Content-Length: 400000\r\n\r\n{")
        assert b" 401 " in client.recv(65_536).splitlines()[0]
        client.sendall(b" " * 399_999 + b"GET /health HTTP/1.1\r\nHost: c\r\n\r\n")
        assert b" 200 " in client.recv(65_536).splitlines()[0]


def test_random_json_is_an_event_a_dead_letter_or_a_400(collector: CollectorProcess) -> None:
    chance = random.Random(2)
    message = {"type": "track", "userId": "c", "event": "x", "properties": {"a": [1, None]}}
    valid = orjson.dumps({"batch": [message] * 3})
    for _ in range(200):
        body = bytearray(valid)
        for _ in range(chance.randrange(1, 6)):
            body[chance.randrange(len(body))] = chance.choice(b'{}[]",:0x\\\xff\x00e')
        assert collector.post("/v1/batch", bytes(body))[0] in (200, 400)


def test_slow_clients_are_let_go(collector: CollectorProcess, slow_clients: list[socket.socket]) -> None:
    def gone(client: socket.socket) -> bool:
        client.setblocking(False)
        try:
            while client.recv(65_536):
                pass
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    wait_until(lambda: all(map(gone, slow_clients)), "the slow clients are let go", 60, pause=0.5)
    assert len(psutil.Process(collector.pid).net_connections()) < 20

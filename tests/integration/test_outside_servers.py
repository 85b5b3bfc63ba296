"""Servers that settings name: what is wrong with them is said in seconds, with the setting and without a secret."""

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from support.flow import CRMSTREAM

from contracts.errors import SettingsError
from contracts.settings import Settings
from crmstream.running import full_stack
from crmstream.stack import outside
from crmstream.stack.endpoints import Endpoints
from crmstream.stack.outside import check_outside, find_problems
from crmstream.stack.outside_kafka import place_of

SECRET = "s3cret-Word"


def problem(name: str, address: str) -> str:
    """The one problem of a server, or nothing."""
    return "\n".join(find_problems({name: address}))


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def web_server(status: int, headers: dict[str, str], body: bytes) -> Iterator[str]:
    """A web server that always answers the same; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_servers_that_are_well_have_no_problem(stack: Endpoints) -> None:
    assert find_problems(
        {"kafka": stack.kafka, "clickhouse_url": stack.clickhouse_url, "redis_url": stack.redis_url}
    ) == []
    assert problem("kafka", f"127.0.0.1:1,{stack.kafka}") == ""  # one broker of several is enough


@pytest.mark.parametrize(
    ("name", "address", "setting", "what"),
    [
        ("kafka", "127.0.0.1:1", "CRM_KAFKA_BOOTSTRAP_SERVERS", "refuses connections: nothing listens there"),
        ("kafka", "kafka.invalid:9092", "CRM_KAFKA_BOOTSTRAP_SERVERS", "the host name kafka.invalid is unknown"),
        ("kafka", "127.0.0.1:http", "CRM_KAFKA_BOOTSTRAP_SERVERS", "host:port"),
        ("clickhouse_url", f"http://u:{SECRET}@127.0.0.1:2", "CRM_CLICKHOUSE_URL", "refuses connections"),
        ("clickhouse_url", f"https://u:{SECRET}@db.invalid", "CRM_CLICKHOUSE_URL", "host name db.invalid is unknown"),
        ("clickhouse_url", f"clickhouse://u:{SECRET}@127.0.0.1", "CRM_CLICKHOUSE_URL", "http(s)://user:password@host"),
        ("redis_url", f"redis://:{SECRET}@127.0.0.1:3/0", "CRM_REDIS_URL", "refuses connections"),
        ("redis_url", f"redis://:{SECRET}@cache.invalid/0", "CRM_REDIS_URL", "host name cache.invalid is unknown"),
        ("redis_url", f"http://:{SECRET}@127.0.0.1:3/0", "CRM_REDIS_URL", "redis(s)://user:password@host:port/db"),
    ],
)
def test_what_nobody_answers_is_named(name: str, address: str, setting: str, what: str) -> None:
    told = problem(name, address)
    assert told.startswith(f"{setting}: ")
    assert what in told
    assert SECRET not in told


def test_another_protocol_is_named(stack: Endpoints, silent: str) -> None:
    redis_place = urlsplit(stack.redis_url).netloc
    for place in (redis_place, silent, urlsplit(stack.clickhouse_url).netloc):
        assert "does not answer in Kafka's protocol" in problem("kafka", place)
    for place in (stack.kafka, silent, urlsplit(stack.clickhouse_url).netloc):
        assert "does not answer in Redis' protocol" in problem("redis_url", f"redis://{place}/0")
    assert "does not speak HTTP" in problem("clickhouse_url", f"http://{redis_place}")
    assert "accepts connections and does not answer" in problem("clickhouse_url", f"http://{silent}")
    assert "does not speak TLS" in problem("clickhouse_url", stack.clickhouse_url.replace("http:", "https:"))


def test_refused_passwords_are_named(stack: Endpoints) -> None:
    place = urlsplit(stack.redis_url).netloc
    client = redis.Redis.from_url(stack.redis_url)
    client.execute_command("ACL", "SETUSER", "visitor", "on", f">{SECRET}", "~*", "+@all")
    try:
        assert problem("redis_url", f"redis://visitor:{SECRET}@{place}/0") == ""
        told = problem("redis_url", f"redis://visitor:{SECRET}x@{place}/0")
    finally:
        client.execute_command("ACL", "DELUSER", "visitor")
    assert told == f"CRM_REDIS_URL: Redis at {place} refuses the user or the password"
    code = {"X-ClickHouse-Exception-Code": "516"}
    for status, headers in ((403, code), (401, {}), (500, code)):
        with web_server(status, headers, b"Code: 516. DB::Exception") as address:
            told = problem("clickhouse_url", f"http://u:{SECRET}@{address}")
            assert told == f"CRM_CLICKHOUSE_URL: ClickHouse at {address} refuses the user or the password"


def test_a_web_server_is_no_clickhouse() -> None:
    with web_server(200, {}, b"<html>") as address:
        assert "answers, and is not ClickHouse (HTTP 200)" in problem("clickhouse_url", f"http://{address}")
    with web_server(400, {}, b"Port 9000 is for clickhouse-client program") as address:
        assert "native port" in problem("clickhouse_url", f"http://{address}")
    with web_server(500, {"X-ClickHouse-Exception-Code": "241"}, b"") as address:
        assert "answers with an error (HTTP 500)" in problem("clickhouse_url", f"http://{address}")


def test_a_wrong_number_of_a_redis_database_is_named(stack: Endpoints) -> None:
    assert "number of its database" in problem("redis_url", stack.redis_url.replace("/0", "/99"))


def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    monkeypatch.setattr(outside, "MOST_SECONDS", 0)
    assert "did not answer within" in problem("kafka", silent)


def test_all_problems_are_said_at_once_before_anything_starts(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "crm", kafka_bootstrap_servers="127.0.0.1:1",
        clickhouse_url=f"http://u:{SECRET}@127.0.0.1:2", redis_url=f"redis://:{SECRET}@127.0.0.1:3/0",
    )  # type: ignore[arg-type]  # fmt: skip
    with pytest.raises(SettingsError) as raised:
        full_stack(settings).start()
    assert str(raised.value).count("refuses connections") == 3
    assert SECRET not in str(raised.value)
    assert not (tmp_path / "crm").exists()
    with pytest.raises(SettingsError, match=r"^CRM_REDIS_URL: Redis at 127\.0\.0\.1:3 refuses connections"):
        check_outside(settings, only=("redis_url",))


@pytest.mark.parametrize("command", [["up"], ["connect", "debezium", "t", "--mapping", "shop.yaml"], ["simulate"]])
def test_commands_say_it_and_fail(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "shop.yaml").write_text(CONNECTION, encoding="utf-8")
    environment = {
        "PATH": "/usr/bin:/bin", "CRM_DATA_DIR": str(tmp_path / "crm"), "CRM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "CRM_CLICKHOUSE_URL": f"http://u:{SECRET}@127.0.0.1:2", "CRM_REDIS_URL": "redis://127.0.0.1:3/0",
    }  # fmt: skip
    done = subprocess.run(
        [CRMSTREAM, *command], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "CRM_KAFKA_BOOTSTRAP_SERVERS" in done.stderr
    assert SECRET not in done.stdout + done.stderr


CONNECTION = """
name: shop
source: shop
tables:
  public.orders:
    name: Order Completed
    customer_id: customer
    occurred_at: created_at
"""


@pytest.mark.parametrize(
    ("server", "place"),
    [("k:9", ("k", 9)), ("k", ("k", 9092)), ("PLAINTEXT://k:9", ("k", 9)), ("[::1]:9", ("::1", 9))],
)
def test_the_place_of_a_broker(server: str, place: tuple[str, int]) -> None:
    assert place_of(server) == place

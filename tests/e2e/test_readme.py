"""The commands of the README, run in their order by somebody who has only its text and a file of orders."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from crmstream.stack.endpoints import Endpoints, running_stack
from sinks.clients import clickhouse_client, redis_client

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ORDERS = ["customer_id,kind,ts,amount,items"] + [
    f"c-{number:06d},purchase,2024-{month:02d}-{1 + number % 27:02d}T10:00:00,{number}.50,1"
    for number in range(30, 60)
    for month in range(1, 13, 2)
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands(program: str) -> list[list[str]]:
    lines = [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if Path(line[0]).name == program]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CRM_")} | {"COLUMNS": "160"}


def crmstream(line: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    program = [str(Path(sys.executable).parent / "crmstream"), *line[1:]]
    return subprocess.run(
        program, cwd=folder, env=environment(), capture_output=True, text=True, timeout=90, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with orders.csv in it, in which the README's ``up`` runs."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "orders.csv").write_text("\n".join(ORDERS) + "\n", encoding="utf-8")
    program = [str(Path(sys.executable).parent / "crmstream"), "up"]
    up = subprocess.Popen(program, cwd=folder, env=environment(), stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: running_stack(folder / ".crmstream") is not None or up.poll() is not None, "up")
        assert up.poll() is None
        yield folder
    finally:
        up.send_signal(signal.SIGINT)
        assert up.wait(60) == 0


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what} in vain"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def fed(folder: Path) -> Endpoints:
    """The stack after the README's ``replay``, when its customer has a score."""
    (replay,) = (line for line in commands("crmstream") if line[1] == "replay")
    done = crmstream(replay, folder)
    assert done.returncode == 0, done.stderr
    endpoints = running_stack(folder / ".crmstream")
    assert endpoints is not None
    store = redis_client(endpoints.redis_url)
    wait_for(lambda: store.exists("crm:score:{c-000042}"), "the score of c-000042")
    return endpoints


READING = [line for line in commands("crmstream") if line[1] in {"status", "top", "score"}]


@pytest.mark.parametrize("line", READING, ids=" ".join)
def test_reading_commands_run(line: list[str], folder: Path, fed: Endpoints) -> None:
    done = crmstream(line, folder)
    assert done.returncode == 0, done.stderr
    assert "c-0000" in done.stdout or line[1] == "status"


def test_redis_lines_answer(fed: Endpoints) -> None:
    lines = commands("redis-cli")
    assert lines
    for line in lines:
        answer = redis_client(fed.redis_url).execute_command(*line[line.index("HGETALL") :])
        assert "churn" in answer


def test_queries_answer(fed: Endpoints) -> None:
    queries = blocks("sql")
    assert queries
    for query in queries:
        assert len(clickhouse_client(fed.clickhouse_url, "default").query(query).result_rows) == 10


def test_what_a_source_sends_is_known_of_its_customer(folder: Path, fed: Endpoints) -> None:
    """``source add`` prints a key; with it the README's request is taken, and ``identity show`` knows the customer."""
    add, show = (line for line in commands("crmstream") if line[1] in {"source", "identity"})
    made = crmstream(add, folder)
    assert made.returncode == 0, made.stderr
    key = re.search(r"wk_[\w-]+", made.stdout)
    assert key is not None
    (curl,) = commands("curl")
    assert curl[curl.index("-u") + 1] == "$WRITE_KEY:"
    (url,) = (part for part in curl if part.startswith("http"))
    request = Request(fed.collector_url + urlsplit(url).path, curl[curl.index("-d") + 1].encode())
    request.add_header("Authorization", "Basic " + b64encode(f"{key[0]}:".encode()).decode())
    request.add_header(*curl[curl.index("-H") + 1].split(": "))

    def taken() -> bool:
        with contextlib.suppress(HTTPError), urlopen(request, timeout=10) as answer:
            return bool(answer.status == 200)
        return False  # the key is new: the collector looks at its file once a second

    wait_for(taken, "the collector to take the event")
    done = crmstream(show, folder)
    assert done.returncode == 0, done.stderr
    assert "c-000042 is a customer" in done.stdout

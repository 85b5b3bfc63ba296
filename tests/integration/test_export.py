"""``crmstream export`` against the real servers, and against servers that fail in the middle of an answer."""

import csv
import io
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.client import Client
from support.flow import CRMSTREAM
from support.installation import Crm, crmstream_on

from crmstream.sql.body import Form
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client

pytestmark = pytest.mark.stack
FORMS: list[Form] = ["csv", "parquet", "jsonl"]
NASTY = ["plain", 'a "quoted" one', "two\nlines", "comma, and \\ and \t", "Zoë 🎉", "", "'"]
TAG = "rwzhvnamhqcfyfbh"
MESSAGE = "Code: 395. DB::Exception: Too warm: while executing 'FUNCTION'. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)"


@pytest.fixture
def crm(stack: Endpoints, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Crm:
    """Runs ``crmstream`` on the shared servers, with a database of its own."""
    return crmstream_on(stack, monkeypatch, tmp_path, "export")


@pytest.fixture
def client(crm: Crm, stack: Endpoints) -> Iterator[Client]:
    """A database with one table in which each row was written three times, and a view of it."""
    database = os.environ["CRM_CLICKHOUSE_DATABASE"]
    connected = clickhouse_client(stack.clickhouse_url, "default")
    connected.command(f"CREATE DATABASE {database}")
    connected.database = database
    connected.command("CREATE TABLE notes (id UInt64, note String) ENGINE = ReplacingMergeTree ORDER BY id")
    connected.command("SYSTEM STOP MERGES notes")
    connected.command("CREATE VIEW long_notes AS SELECT id, note FROM notes FINAL WHERE length(note) > 5")
    connected.command("CREATE TABLE plain (id UInt64) ENGINE = MergeTree ORDER BY id")
    for _ in range(3):
        connected.insert("notes", [[at, note] for at, note in enumerate(NASTY)], column_names=["id", "note"])
    yield connected
    connected.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for exports."""
    (tmp_path / "exports").mkdir()
    return tmp_path / "exports"


def read_back(content: bytes, form: Form) -> list[tuple[int, str]]:
    if form == "parquet":
        rows = pq.read_table(io.BytesIO(content)).to_pylist()
    elif form == "csv":
        rows = [*csv.DictReader(io.StringIO(content.decode(), newline=""))]
    else:
        rows = [orjson.loads(line) for line in content.splitlines()]
    text = [(row["id"], row["note"].decode() if isinstance(row["note"], bytes) else row["note"]) for row in rows]
    return sorted((int(number), note) for number, note in text)


EXPECTED = [*enumerate(NASTY)]
LONG = [(at, note) for at, note in EXPECTED if len(note.encode()) > 5]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("what", "expected"),
    [("notes", EXPECTED), ("long_notes", LONG), ("SELECT id, note FROM notes FINAL WHERE id < 3 -- 3", EXPECTED[:3])],
    ids=["table", "view", "query"],
)
def test_each_row_comes_once_in_every_format(
    crm: Crm, client: Client, folder: Path, form: Form, what: str, expected: list[tuple[int, str]]
) -> None:
    assert client.query("SELECT count() FROM notes").result_rows == [(3 * len(NASTY),)], "the table has duplicates"
    file = folder / f"notes.{form}"
    answer = crm("export", what, "--out", file)
    assert answer.exit_code == 0, answer.output
    assert read_back(file.read_bytes(), form) == expected
    assert f"Wrote {len(expected)} rows (" in answer.stderr
    assert f", {form}) to {file} in " in answer.stderr
    assert (answer.stdout, stat.S_IMODE(file.stat().st_mode)) == ("", 0o600)
    assert [*folder.iterdir()] == [file], "no temporary file is left"


@pytest.mark.parametrize("form", FORMS)
def test_standard_output_gets_the_rows_alone(crm: Crm, client: Client, form: Form) -> None:
    answer = crm("export", "notes", "--out", "-", "--format", form)
    assert answer.exit_code == 0, answer.output
    assert read_back(answer.stdout_bytes, form) == EXPECTED
    assert "to standard output in" in answer.stderr
    assert ("7 rows" in answer.stderr) == (form != "parquet")
    if form == "csv":
        assert crm("export", "notes", "--out", "-").stdout_bytes == answer.stdout_bytes


@pytest.mark.parametrize("form", FORMS)
def test_no_rows_are_a_file_too(crm: Crm, client: Client, folder: Path, form: Form) -> None:
    answer = crm("export", "SELECT id, note FROM notes WHERE 0", "--out", folder / f"none.{form}")
    assert "Wrote 0 rows" in answer.stderr, answer.output
    assert read_back((folder / f"none.{form}").read_bytes(), form) == []


@pytest.mark.parametrize("form", FORMS)
def test_many_rows_are_counted(crm: Crm, client: Client, folder: Path, form: Form) -> None:
    query = "SELECT number AS id, concat('a \"b\"\n', toString(number)) AS note FROM numbers(300000)"
    file = folder / f"many.{form}"
    assert "Wrote 300,000 rows" in crm("export", query, "--out", file).stderr
    rows = read_back(file.read_bytes(), form)
    assert (len(rows), rows[-1]) == (300_000, (299_999, 'a "b"\n299999'))


def test_every_table_and_view_of_the_schema_is_exported(crm: Crm, folder: Path, stack: Endpoints) -> None:
    assert crm("migrate").exit_code == 0
    connected = clickhouse_client(stack.clickhouse_url, os.environ["CRM_CLICKHOUSE_DATABASE"])
    names = [row[0] for row in connected.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine != 'MaterializedView'"
    ).result_rows]
    connected.close()
    assert {"customers", "newest_scores", "transactions"} <= {*names}
    for name in names:
        answer = crm("export", name, "--out", folder / f"{name}.parquet")
        assert answer.exit_code == 0, f"{name}: {answer.output}"


def test_an_existing_file_is_kept_without_overwrite(crm: Crm, client: Client, folder: Path) -> None:
    file = folder / "notes.csv"
    file.write_text("mine")
    refused = crm("export", "notes", "--out", file)
    assert (refused.exit_code, file.read_text()) == (1, "mine")
    assert "--overwrite" in refused.stderr
    assert crm("export", "notes", "--out", file, "--overwrite").exit_code == 0
    assert read_back(file.read_bytes(), "csv") == EXPECTED


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("note", "Did you mean notes"),
        ("xyz", "There are: long_notes, notes, plain."),
        ("`notes`;DROP", "There is no table or view `notes`;DROP"),
        ("SELECT nix FROM notes", "DESCRIBE TABLE"),
        ("SELECT * FROM nix", "SHOW TABLES"),
        ("SELECT (", "Syntax"),
        ("DROP TABLE notes", "only reads"),
        ("WITH 1 AS x INSERT INTO plain SELECT x", "readonly mode"),
        ("SELECT 1 SETTINGS readonly = 0", "readonly"),
    ],
)
def test_what_cannot_be_exported_is_said_in_one_line(
    crm: Crm, client: Client, folder: Path, what: str, told: str
) -> None:
    answer = crm("export", what, "--out", folder / "n.csv")
    assert (answer.exit_code, answer.stderr.count("\n")) == (1, 1), answer.output
    assert told in answer.stderr
    assert not {"DB::Exception", "--write"} & {*answer.stderr.replace(";", " ").split()}
    assert [*folder.iterdir()] == []
    assert client.query("SELECT count() FROM plain").result_rows == [(0,)]


@pytest.mark.parametrize("form", FORMS)
def test_a_query_that_fails_late_in_the_engine_leaves_no_file(
    crm: Crm, client: Client, folder: Path, form: Form
) -> None:
    query = "SELECT number, throwIf(number = 3000000, 'Too warm') FROM numbers(4000000)"
    answer = crm("export", query, "--out", folder / f"n.{form}")
    assert (answer.exit_code, "Too warm" in answer.stderr) == (1, True), answer.output
    assert [*folder.iterdir()] == []
    assert crm("export", "notes", "--out", folder / f"notes.{form}").exit_code == 0
    assert read_back((folder / f"notes.{form}").read_bytes(), form) == EXPECTED, "nothing of the failed query is in it"


def rows_of(form: Form) -> bytes:
    """The beginning of an answer, of some megabytes, that ends where a file of the format could end."""
    if form == "csv":
        return b'"id","note"\n' + b'1,"some"\n' * 400_000
    if form == "jsonl":
        return b'{"id":"1","note":"some"}\n' * 200_000
    file = io.BytesIO()
    pq.write_table(pa.table({"id": range(500_000)}), file, compression="none")
    return file.getvalue()


TAGGED = f"\r\n__exception__\r\n{TAG}\r\n{MESSAGE} (version 26.1.1.1)\n{len(MESSAGE) + 19} {TAG}\r\n__exception__\r\n"
FAILURES: dict[str, tuple[bytes, bool, dict[str, str]]] = {
    "26.1": (TAGGED.encode(), False, {"X-ClickHouse-Exception-Tag": TAG}),
    "26.1 behind a proxy that mends chunks": (TAGGED.encode(), True, {"X-ClickHouse-Exception-Tag": TAG}),
    "25.1": (f"\n__exception__\n{MESSAGE} (version 25.1.6.34 (official build))\n".encode(), False, {}),
    "24.3": (f"{MESSAGE} (version 24.3.1.1 (official build))\n".encode(), True, {}),
    "killed": (b"", False, {}),
}
"""How versions of ClickHouse end an answer that fails: what they append, whether they end the chunks, headers."""


class FailingFront(BaseHTTPRequestHandler):
    """Passes requests on to ClickHouse, but fails as a version of it does in queries with throwIf."""

    protocol_version = "HTTP/1.1"
    clickhouse_url: str
    form: Form
    how: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if b"throwIf" in body:
            self.fail(*FAILURES[self.how])
        else:
            self.pass_on(body)

    def pass_on(self, body: bytes) -> None:
        with urlopen(Request(self.clickhouse_url.rstrip("/") + self.path, body)) as answer:
            content = answer.read()
        self.start({"Content-Length": str(len(content))})
        self.wfile.write(content)

    def fail(self, appended: bytes, ended: bool, headers: dict[str, str]) -> None:
        self.start({"Transfer-Encoding": "chunked", **headers})
        content = rows_of(self.form)
        parts = [content[at : at + 1_000_000] for at in range(0, len(content), 1_000_000)]
        for part in [*parts, *([appended] if appended else []), *([b""] if ended else [])]:
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        self.close_connection = True

    def start(self, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def failing_front(url: str, form: Form, how: str) -> Iterator[str]:
    """Give the address of a server in front of ClickHouse that fails so."""
    handler = type("Handler", (FailingFront,), {"clickhouse_url": url, "form": form, "how": how})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("out", ["file", "standard output"])
def test_an_answer_that_fails_after_its_first_rows_leaves_no_file(
    crm: Crm, client: Client, folder: Path, stack: Endpoints, monkeypatch: pytest.MonkeyPatch, form: Form, how: str,
    out: str,
) -> None:  # fmt: skip
    file = folder / f"n.{form}"
    file.write_text("yesterday's")
    with failing_front(stack.clickhouse_url, form, how) as url:
        monkeypatch.setenv("CRM_CLICKHOUSE_URL", url)
        whole = crm("export", "notes", "--out", folder / "notes.csv")
        place = ["-", "--format", form] if out == "standard output" else [file, "--overwrite"]
        answer = crm("export", "SELECT throwIf(x) FROM t", "--out", *place)
    assert whole.exit_code == 0, whole.output
    assert (answer.exit_code, "Wrote" in answer.stderr) == (1, False), answer.output
    assert ("broke off after" if how == "killed" else "bytes: Too warm: while executing") in answer.stderr
    assert (file.read_text(), len([*folder.iterdir()])) == ("yesterday's", 2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_export_that_is_stopped_leaves_no_file(
    crm: Crm, client: Client, folder: Path, number: signal.Signals
) -> None:
    query = "SELECT sleepEachRow(0.5) FROM numbers(10) SETTINGS function_sleep_max_microseconds_per_block = 0"
    command = [CRMSTREAM, "export", query, "--out", str(folder / "n.csv")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not [*folder.iterdir()] and time.monotonic() < end:
            time.sleep(0.05)
        (part,) = folder.iterdir()
        assert (part.name.startswith(".n.csv."), stat.S_IMODE(part.stat().st_mode)) == (True, 0o600)
        time.sleep(0.5)  # the query runs
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, [*folder.iterdir()]) == (130, []), said
    assert said == "Stopped: the export is not complete.\n"

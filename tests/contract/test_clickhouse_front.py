"""The local ClickHouse server keeps ClickHouse's contract with the ordinary client and with plain HTTP."""

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import quote, urlsplit
from uuid import UUID

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from crmstream.stack.endpoints import Endpoints

DATABASE = "front_contract"
COLUMNS = {
    "id": "UInt64",
    "name": "LowCardinality(String)",
    "amount": "Decimal(18, 4)",
    "at": "DateTime64(3, 'UTC')",
    "seconds": "DateTime('UTC')",
    "day": "Date",
    "scores": "Map(String, Float64)",
    "tags": "Array(String)",
    "maybe": "Nullable(Float64)",
    "kind": "Enum8('web' = 1, 'order' = 2)",
    "uid": "UUID",
    "flag": "Bool",
}
MOMENT = datetime(2024, 5, 6, 7, 8, 9, 123_000)  # noqa: DTZ001 - the client gives UTC without a zone
ROW = [
    7,
    "näme\n'",
    Decimal("12.3456"),
    MOMENT,
    MOMENT.replace(microsecond=0),
    date(2024, 5, 6),
    {"churn": 0.25, "o'x": 1.0},
    ["a", "b'\\", ""],
    None,
    "order",
    UUID("6f3c1f0e-58a4-4f0d-9d1a-0c5f6f7a8b9c"),
    True,
]


def connect(stack: Endpoints, **options: object) -> Client:
    address = urlsplit(stack.clickhouse_url)
    return clickhouse_connect.get_client(host=address.hostname, port=address.port, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def client(stack: Endpoints) -> Iterator[Client]:
    with connect(stack) as admin:
        admin.command(f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        with connect(stack, database=DATABASE) as inside:
            yield inside
        admin.command(f"DROP DATABASE {DATABASE}")


@pytest.fixture
def table(client: Client, request: pytest.FixtureRequest) -> Iterator[str]:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    client.command(f"CREATE OR REPLACE TABLE t ({columns}) ENGINE = MergeTree ORDER BY id")
    yield "t"
    client.command("DROP TABLE t")


def ask(
    stack: Endpoints, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    address = urlsplit(stack.clickhouse_url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("compress", [True, "lz4", "zstd", "gzip", False])
def test_rows_come_back_as_they_went(stack: Endpoints, client: Client, table: str, compress: bool | str) -> None:
    with connect(stack, database=DATABASE, compress=compress) as compressing:
        summary = compressing.insert(table, [ROW] * 3, column_names=list(COLUMNS))
        assert summary.written_rows == 3
        assert compressing.query(f"SELECT * FROM {table}").result_rows == [tuple(ROW)] * 3


def test_arrow_goes_in_and_out(client: Client, table: str) -> None:
    rows = pa.table({
        "id": pa.array(range(100_000), pa.uint64()),
        "name": pa.array(["a", "b"] * 50_000).dictionary_encode(),
        "amount": pa.array([Decimal("1.5000")] * 100_000, pa.decimal128(18, 4)),
        "at": pa.array([datetime(2024, 1, 1, tzinfo=UTC)] * 100_000, pa.timestamp("ms", "UTC")),
        "scores": pa.array([[("x", 0.5)]] * 100_000, pa.map_(pa.string(), pa.float64())),
    })  # fmt: skip
    assert client.insert_arrow(table, rows).written_rows == 100_000
    found = client.query_arrow(f"SELECT id, amount, at, scores FROM {table} ORDER BY id LIMIT 2", use_strings=True)
    assert found.to_pylist()[1] == {
        "id": 1, "amount": Decimal("1.5000"), "at": datetime(2024, 1, 1, tzinfo=UTC), "scores": [("x", 0.5)],
    }  # fmt: skip


def test_frames_and_streams(client: Client) -> None:
    frame = client.query_df("SELECT number AS n, toString(number) AS s FROM numbers(3)")
    assert frame["s"].tolist() == ["0", "1", "2"]
    with client.query_row_block_stream("SELECT number FROM numbers(200000)") as blocks:
        assert sum(row[0] for block in blocks for row in block) == 199_999 * 100_000


def test_commands_tell_rows_from_none(client: Client, table: str) -> None:
    assert client.command(f"SELECT count() FROM {table}") == 0
    assert client.command(f"SELECT id FROM {table}") == ""
    client.command(f"INSERT INTO {table} (id, name) VALUES (1, 'x'), (2, ';--')")
    client.command(f"INSERT INTO {table} (id) SELECT number FROM numbers(3)")
    assert client.command(f"SELECT count(), max(name) FROM {table}") == ["5", "x"]
    assert client.query(f"SELECT id FROM {table} LIMIT 0").column_names == ("id",)


def test_raw_formats(client: Client, table: str) -> None:
    assert client.raw_insert(table, ["id", "name"], b'1,"x"\n2,"y"\n', fmt="CSV").written_rows == 2
    rows = iter([b'{"id": 3, "name": "z"}\n', b'{"id": 4}\n'])
    client.raw_insert(table, ["id", "name"], rows, fmt="JSONEachRow")
    assert client.raw_query(f"SELECT id FROM {table} ORDER BY id", fmt="CSV") == b"1\n2\n3\n4\n"


PARAMETERS = {
    "Int64": -5,
    "String": "it's a \\ \t\n tab; --",
    "DateTime": MOMENT.replace(microsecond=0),
    "Date": date(2024, 1, 2),
    "Array(String)": ["a'", "b\\"],
    "Nullable(String)": None,
    "Float64": 0.5,
}


@pytest.mark.parametrize("kind", PARAMETERS)
def test_parameters_are_bound_by_the_server(client: Client, kind: str) -> None:
    found = client.query(f"SELECT {{value:{kind}}}", parameters={"value": PARAMETERS[kind]}).result_rows
    assert found == [(PARAMETERS[kind],)]


def test_many_and_named_parameters(client: Client, table: str) -> None:
    wanted = list(range(5_000))  # too long for a URL: the client sends a form
    query = "SELECT count() FROM numbers(10000) WHERE number IN {ids:Array(UInt64)}"
    assert client.query(query, parameters={"ids": wanted}).result_rows == [(5_000,)]
    assert client.query("SELECT * FROM {t:Identifier}", parameters={"t": table}).result_rows == []
    with pytest.raises(DatabaseError, match="ACCESS_DENIED"):
        client.query("SELECT * FROM {t:Identifier}", parameters={"t": "/etc/passwd"})
    with pytest.raises(DatabaseError, match="UNKNOWN_QUERY_PARAMETER"):  # also after another request that set it
        client.query("SELECT {t:String}")


def test_settings_hold_for_their_request_only(client: Client) -> None:
    query = "SELECT getSetting('max_threads')"
    before = client.query(query).result_rows
    assert client.query(query, settings={"max_threads": 3}).result_rows == [(3,)]
    assert client.query(query).result_rows == before


def test_the_database_is_the_requests(stack: Endpoints, client: Client) -> None:
    assert client.command("SELECT currentDatabase()") == DATABASE
    with connect(stack) as other:
        assert other.command("SELECT currentDatabase()") == "default"
    with pytest.raises(DatabaseError, match="UNKNOWN_DATABASE"):
        connect(stack, database="nowhere").command("SELECT 1")


@pytest.mark.parametrize(
    ("query", "status", "code", "name"),
    [
        ("SELECT * FROM nowhere", 404, 60, "UNKNOWN_TABLE"),
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 400, 62, "SYNTAX_ERROR"),
        ("SELECT toUInt8('x')", 400, 6, "CANNOT_PARSE_TEXT"),
        ("SELECT 1 SETTINGS no_such_setting = 1", 404, 115, "UNKNOWN_SETTING"),
        ("SELECT throwIf(1)", 500, 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SET max_threads = 1", 501, 48, "NOT_IMPLEMENTED"),
        ("SELECT * FROM file('/etc/passwd')", 403, 497, "ACCESS_DENIED"),
    ],
)
def test_errors_are_clickhouses(
    stack: Endpoints, client: Client, query: str, status: int, code: int, name: str
) -> None:
    got, headers, body = ask(stack, "POST", "/", query.encode())
    assert (got, headers["x-clickhouse-exception-code"]) == (status, str(code))
    assert body.startswith(f"Code: {code}. DB::Exception: ".encode())
    assert f"({name})".encode() in body
    with pytest.raises(DatabaseError) as caught:
        client.command(query)
    assert (caught.value.code, caught.value.name) == (code, name)


def test_an_insert_that_fails_inserts_nothing(client: Client, table: str) -> None:
    with pytest.raises(DatabaseError, match="INCORRECT_DATA"):
        client.raw_insert(table, ["id"], b"1\n2\nthree\n", fmt="CSV")
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_plain_http(stack: Endpoints) -> None:
    assert ask(stack, "GET", "/ping")[::2] == (200, b"Ok.\n")
    assert ask(stack, "GET", "/")[::2] == (200, b"Ok.\n")
    assert ask(stack, "GET", "/?query=SELECT+1")[::2] == (200, b"1\n")
    assert ask(stack, "POST", "/", b"SELECT 1 AS a FORMAT JSONEachRow")[::2] == (200, b'{"a":1}\n')
    assert ask(stack, "POST", "/?query=SELECT", b"1")[::2] == (200, b"1\n")
    assert ask(stack, "POST", "/?default_format=CSV", b"SELECT 'x'")[::2] == (200, b'"x"\n')
    form = "application/x-www-form-urlencoded"  # what curl -d says of any body
    assert ask(stack, "POST", "/", b"SELECT 'a=b&c'", Content_Type=form)[::2] == (200, b"a=b&c\n")
    assert ask(stack, "GET", "/nowhere")[0] == 404


def test_get_reads_only(stack: Endpoints, client: Client, table: str) -> None:
    for statement in ("CREATE TABLE x (a Int8) ENGINE = Memory", f"INSERT INTO {DATABASE}.t (id) VALUES (1)"):
        status, headers, _ = ask(stack, "GET", f"/?query={quote(statement)}")
        assert (status, headers["x-clickhouse-exception-code"]) == (403, "164")
    assert client.command("SELECT count() FROM t") == 0


def test_web_pages_are_refused(stack: Endpoints) -> None:
    assert ask(stack, "POST", "/", b"SELECT 1", Origin="https://page.example")[0] == 403
    assert ask(stack, "GET", "/?query=SELECT+1", Host="page.example")[0] == 403


@pytest.mark.parametrize("path", ["/?decompress=1", "/?compress=1"])
def test_other_framing_is_refused(stack: Endpoints, path: str) -> None:
    assert ask(stack, "POST", path, b"SELECT 1")[0] == 501


def test_a_broken_body_is_the_senders_error(stack: Endpoints) -> None:
    for encoding in ("gzip", "lz4", "zstd", "br"):
        status, _, body = ask(stack, "POST", "/", b"not compressed at all", Content_Encoding=encoding)
        assert (status, body[:9]) == (400, b"Code: 36.")


def test_clients_work_side_by_side(stack: Endpoints, client: Client, table: str) -> None:
    def work(worker: int) -> int:
        with connect(stack, database=DATABASE) as own:
            for block in range(5):
                rows = pa.table(
                    {
                        "id": pa.array(
                            range(worker * 1_000 + block * 100, worker * 1_000 + block * 100 + 100), pa.uint64()
                        )
                    }
                )
                own.insert_arrow(table, rows)
            return int(own.command(f"SELECT count() FROM {table} WHERE intDiv(id, 1000) = {worker}"))

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [500] * 6
    assert client.command(f"SELECT uniqExact(id) FROM {table}") == 3_000


@pytest.mark.parametrize("form", ["CSVWithNames", "JSONEachRow", "Native", "TabSeparated", "Parquet"])
def test_rows_of_a_query_that_failed_late_are_in_no_later_answer(stack: Endpoints, form: str) -> None:
    """The engine keeps them in the connection of the query, which the next one of equal settings gets."""
    late = f"SELECT number, throwIf(number = 5000000) FROM numbers(6000000) FORMAT {form}"
    asked = f"SELECT 1 AS one FORMAT {form}".encode()
    _, _, clean = ask(stack, "POST", "/", asked)
    for _ in range(3):
        status, _, _ = ask(stack, "POST", "/", late.encode())
        assert status != 200
        assert ask(stack, "POST", "/", asked)[2] == clean

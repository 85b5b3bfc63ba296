"""ClickHouse's HTTP protocol over the embedded engine, so that all processes and boards share it by ordinary clients.

Run as ``python -m crmstream.stack.clickhouse_server --path DIR --port N``; it listens on 127.0.0.1 only. A 200 to an
insert means that the rows are on the disk. Not there: users, sessions (ids are taken and ignored), external tables.
Requests that a web page may have sent (foreign Host, Origin or Sec-Fetch-Site) are refused.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, cast

import uvicorn
from anyio import CapacityLimiter, to_thread
from clickhouse_connect.driver.exceptions import ClickHouseError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from crmstream.stack.clickhouse_engine import ConnectionKey, Engine
from crmstream.stack.clickhouse_http import (
    BROKEN_BODY_ERRORS,
    BodyTooLargeError,
    LoopbackOnly,
    PrefixedReader,
    error_text,
    http_status,
    open_decompressed,
    spool_body,
)
from crmstream.stack.clickhouse_sql import (
    NOT_IMPLEMENTED,
    RefusedStatementError,
    check_statement,
    insert_head,
    is_insert,
    is_path,
    outside_error,
    returns_rows,
    tokens,
)
from crmstream.stack.program_pages import forget

CONCURRENT_QUERIES = 16
ENGINE_LIBRARY = "_chdb."
HEAD_BYTES = 262_144
"""As much of a request's body as may belong to the statement itself (ClickHouse's ``max_query_size``)."""
KEEP_ALIVE_SECONDS = 3_600
MAX_FORM_FIELD_BYTES = 67_108_864
MAX_URL_BYTES = 1_048_576
TRANSPORT_SETTINGS = frozenset({
    "query", "database", "default_format", "user", "password", "role", "quota_key", "query_id",
    "session_id", "session_timeout", "session_check", "compress", "decompress", "buffer_size", "wait_end_of_query",
    "client_protocol_version", "enable_http_compression", "send_progress_in_http_headers",
    "http_headers_progress_interval_ms", "cancel_http_readonly_queries_on_client_close", "add_http_cors_header",
})  # fmt: skip
"""Parameters of a request that are not settings of the engine."""


@dataclass(frozen=True)
class Call:
    """One request, taken apart."""

    query: str
    body: IO[bytes]
    fields: Mapping[str, str]
    default_format: str | None
    read_only: bool

    @property
    def database(self) -> str:
        """The database in which unqualified names are looked up."""
        return self.fields.get("database") or "default"

    @property
    def settings(self) -> dict[str, str]:
        """ClickHouse settings for this request alone."""
        given = {
            name: value
            for name, value in self.fields.items()
            if name not in TRANSPORT_SETTINGS and not name.startswith("param_")
        }
        return given | {"readonly": "2"} if self.read_only else given

    @property
    def parameters(self) -> dict[str, str]:
        """Server-side parameters, without their prefix."""
        return {name.removeprefix("param_"): v for name, v in self.fields.items() if name.startswith("param_")}


@dataclass(frozen=True)
class Answer:
    """What the engine answered."""

    body: bytes
    data_format: str | None
    summary: Mapping[str, str]


def execute(engine: Engine, call: Call) -> Answer:
    """Run one request on the engine.

    Raises:
        RefusedStatementError: the statement is not for this server.
        ClickHouseError: the engine's own refusal.

    """
    beginning = call.body.read(HEAD_BYTES).decode("latin-1")
    separator = "\n" if call.query and beginning else ""
    text = call.query.encode().decode("latin-1") + separator + beginning
    if is_insert(text):
        head = insert_head(text)
        if head is not None and not call.read_only:
            rest = text[head.length :].encode("latin-1")
            summary = engine.insert(
                replace(head, target=_utf8(head.target)),
                cast(IO[bytes], PrefixedReader(rest, call.body)), call.database, call.settings,
            )  # fmt: skip
            return Answer(b"", None, summary)
    return _run_statement(engine, call, _utf8(text) if len(beginning) < HEAD_BYTES else _whole(text, call.body))


def _utf8(text: str) -> str:
    return text.encode("latin-1").decode("utf-8", errors="replace")


def _whole(text: str, body: IO[bytes]) -> str:
    return (text.encode("latin-1") + body.read()).decode("utf-8", errors="replace")


def _run_statement(engine: Engine, call: Call, sql: str) -> Answer:
    sql = sql.rstrip().rstrip(";").rstrip()
    check_statement(sql)
    if "Identifier" in sql:
        for value in filter(is_path, call.parameters.values()):
            raise outside_error(value)
    rows = returns_rows(sql)
    named = stated_format(sql)
    wanted = call.default_format if rows and named is None else None
    key = ConnectionKey(call.database, tuple(sorted(call.settings.items())))
    body = engine.query(sql, key, call.parameters, wanted)
    return Answer(body, (named or wanted or "TabSeparated") if rows or body else None, {})


def stated_format(sql: str) -> str | None:
    """Return the format that the statement asks for (the last FORMAT clause), or None."""
    found = list(tokens(sql))
    clauses = (b.text for a, b in pairwise(found) if a.upper == "FORMAT" and a.kind == b.kind == "word")
    return next(reversed([*clauses]), None)


class Front:
    """The HTTP handlers around one engine."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._limiter = CapacityLimiter(CONCURRENT_QUERIES)

    async def ping(self, _: Request) -> Response:
        """Answer that the server is there."""
        return PlainTextResponse("Ok.\n")

    async def query(self, request: Request) -> Response:
        """Run the statement of the URL, the body, or both."""
        query_id = request.query_params.get("query_id") or str(uuid.uuid4())
        headers = {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": "UTC"}
        try:
            if request.method in {"GET", "HEAD"} and "query" not in request.query_params:
                return PlainTextResponse("Ok.\n", headers=headers)
            call = await self._receive(request)
            with call.body:
                answer = await to_thread.run_sync(execute, self._engine, call, limiter=self._limiter)
        except (RefusedStatementError, ClickHouseError) as error:
            return self._failure(getattr(error, "code", None), str(error), headers)
        except BodyTooLargeError as error:
            return self._failure(307, f"Code: 307. DB::Exception: {error}. (TOO_MANY_BYTES)", headers)
        except BROKEN_BODY_ERRORS as error:
            return self._failure(36, f"Code: 36. DB::Exception: {error}. (BAD_ARGUMENTS)", headers)
        return _success(answer, headers)

    async def _receive(self, request: Request) -> Call:
        fields = dict(request.query_params)
        if fields.get("compress", "0") != "0" or fields.get("decompress", "0") != "0":
            raise _not_implemented("ClickHouse's own compression framing; use Accept-Encoding and Content-Encoding")
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            fields |= await _form_fields(request)
            body = cast(IO[bytes], io.BytesIO())
        else:
            body = open_decompressed(await spool_body(request), request.headers.get("content-encoding", ""))
        return Call(
            fields.get("query", ""), body, fields,
            request.headers.get("x-clickhouse-format") or fields.get("default_format"),
            read_only=request.method in {"GET", "HEAD"},
        )  # fmt: skip

    def _failure(self, code: int | None, message: str, headers: dict[str, str]) -> Response:
        headers["X-ClickHouse-Exception-Code"] = str(code or 1002)
        return PlainTextResponse(error_text(message, self._engine.version), http_status(code), headers)


def _success(answer: Answer, headers: dict[str, str]) -> Response:
    if answer.data_format is not None:
        headers["X-ClickHouse-Format"] = answer.data_format
    headers["X-ClickHouse-Summary"] = json.dumps(answer.summary)
    return Response(answer.body, headers=headers, media_type="text/plain; charset=UTF-8")


async def _form_fields(request: Request) -> dict[str, str]:
    async with request.form(max_part_size=MAX_FORM_FIELD_BYTES) as form:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if len(fields) < len(form):
            raise _not_implemented("External tables")
    return fields


def _not_implemented(what: str) -> RefusedStatementError:
    return RefusedStatementError(NOT_IMPLEMENTED, "NOT_IMPLEMENTED", f"This local server does not take: {what}")


def build_app(folder: Path) -> Starlette:
    """Return the ASGI application over the engine of the folder; the engine opens at startup, closes at shutdown."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        engine = Engine(folder)
        forget(ENGINE_LIBRARY)
        front = Front(engine)
        app.router.routes[:] = [
            Route("/ping", front.ping),
            Route("/replicas_status", front.ping),
            Route("/", front.query, methods=["GET", "POST"]),
        ]
        yield
        engine.close()

    return Starlette(lifespan=lifespan, middleware=[Middleware(LoopbackOnly)])


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", type=Path, required=True, help="folder of the data")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    arguments = parser.parse_args()
    sys.modules.setdefault("pyarrow", None)  # type: ignore[arg-type]  # chDB would import it, and needs it for frames only
    os.environ["TZ"] = "UTC"  # the engine's time zone is the process's
    time.tzset()
    folder = arguments.path.resolve()
    scratch = folder / "scratch"  # relative file names of a statement lead here, where nothing is
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chdir(scratch)
    uvicorn.run(
        build_app(folder), host="127.0.0.1", port=arguments.port, log_level="warning", access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS, timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=MAX_URL_BYTES,
    )  # fmt: skip


if __name__ == "__main__":
    main()

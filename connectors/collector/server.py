"""The server under the collector: uvicorn, with the patience for slow and endless clients that it lacks.

Delivery: on SIGTERM or Ctrl-C it stops accepting and finishes the requests that are under way.
"""

import contextlib
import gc
import resource
import signal
import socket
from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connectors.collector.body import WHOLE
from contracts.errors import StackError

HEAD_SECONDS: Final = 10.0
"""How long a client may take for the head of a request."""
MOST_HEAD_BYTES: Final = 65_536
KEEP_ALIVE_SECONDS: Final = 5
"""How long a connection without a request stays open. Idle ones are bounded by this and by the files that may be open
alone; requests are bounded in :mod:`connectors.collector.edge`, where a client over the bound is told what to do."""
MOST_OPEN_FILES: Final = 65_536
STOP_SECONDS: Final = 15
GARBAGE_AFTER: Final = 20_000
"""Objects made after which garbage is looked for: those of many requests, since next to none of theirs is circular."""
_BACKLOG: Final = 2_048
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Corked:
    """A transport that sends what is written in one step of the loop at once.

    (uvicorn writes head and body of an answer apart, and each would be a system call that wakes the client.)
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send at the end of this step."""
        if not self._written:
            self._loop.call_soon(self._send)
        self._written.append(data)

    def close(self) -> None:
        """Send what is written, and close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._written:
            self._transport.write(b"".join(self._written))
            self._written.clear()


class PatientProtocol(HttpToolsProtocol):
    """HTTP with bounds: of the time until the head of a request is there, of its size, and of all that a request sends.

    (uvicorn would wait for a head for ever, and gather one without end.)
    """

    most_request_bytes: int = 8_000_000
    _timer: Any = None
    _head_bytes = 0
    _request_bytes = 0
    _in_body = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin; a client that says nothing is not waited for."""
        super().connection_made(Corked(transport, self.loop))  # type: ignore[arg-type]
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, and see that it comes to an end."""
        self._request_bytes += len(data)
        super().data_received(data)
        answered = self.cycle is None or self.cycle.response_complete
        if self.transport.is_closing():
            return
        if answered and not self._in_body and self._request_bytes > MOST_HEAD_BYTES:
            self.send_400_response("The request is too large.")
        elif self._request_bytes > self.most_request_bytes:
            self.transport.abort()
        elif answered and self._timer is None:  # the rest of a body that was answered early must come in this time too
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """A new request begins."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer after the body."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MOST_HEAD_BYTES:
            raise ValueError("too many headers")  # the parser answers 400
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; the body has a time limit of its own."""
        self._stop_waiting()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is there; the next one's bytes count anew."""
        self._request_bytes = 0
        self._in_body = False
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Server(uvicorn.Server):
    """A server that ends well when it is told to (uvicorn's dies of the signal once it has finished)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and Ctrl-C."""
        before = {number: signal.signal(number, self._stop) for number in _STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)


def listen(host: str, port: int) -> socket.socket:
    """Open the port; 0 takes a free one. Raises :class:`StackError` if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise StackError(
            f"the collector cannot listen on {host} port {port} ({getattr(error, 'strerror', None) or error}): stop "
            "who does, or set CRM_COLLECTOR_PORT or CRM_COLLECTOR_HOST",
            port=port,
        ) from None


def serve(
    app: ASGIApp, listener: socket.socket, most_request_bytes: int, trusted_proxies: str, on_start: Callable[[], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C. ``on_start`` is called just before connections are accepted.

    ``trusted_proxies`` are believed whom they name as the client: addresses and networks with commas, or ``*``.
    """
    protocol = type("Protocol", (PatientProtocol,), {"most_request_bytes": most_request_bytes})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="uvloop",
        lifespan="on",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        forwarded_allow_ips=trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        backlog=_BACKLOG,
    )
    _allow_open_files()
    on_start()
    gc.collect()
    gc.freeze()  # what is loaded now stays: no collection need look at it again
    gc.set_threshold(GARBAGE_AFTER)
    Server(config).run(sockets=[listener])


def _allow_open_files() -> None:
    """Raise this process's soft limit of open files, often 1,024: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MOST_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

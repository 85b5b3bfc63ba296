"""The collector's own page: a live view of the last events, and what to paste where.

The page itself tells nothing. The events behind it (and the figures under ``/metrics``) are for this machine only,
unless a setting says otherwise. Moves no data.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Literal

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.collector.answers import AnswerError, json_answer
from connectors.collector.recent import Recent

Audience = Literal["loopback", "everybody", "nobody"]
_FILES: Final = {
    "index.html": "text/html; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NEEDS_LOOPBACK: Final = (
    "Shown only while the collector listens on loopback alone: set CRM_COLLECTOR_HOST to 127.0.0.1, or let everybody "
    "see it with CRM_COLLECTOR_LIVE_VIEW=everybody."
)
_PROXIED: Final = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Page:
    """The page. ``bound_to`` is the address on which the server listens."""

    recent: Recent
    audience: Audience
    bound_to: str

    def routes(self) -> Sequence[Route]:
        """Give the page's routes."""
        return (
            Route("/", self._index),
            Route("/static/{name}", self._static),
            Route("/feed", self._feed),
            Route("/metrics", self._metrics),
        )

    def _index(self, _request: Request) -> Response:
        return _file("index.html")

    def _static(self, request: Request) -> Response:
        return _file(request.path_params["name"])

    async def _feed(self, request: Request) -> Response:
        self._check(request)
        after = request.query_params.get("after", "0")
        number = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
        personal = request.query_params.get("personal") == "1"
        if personal and not self._is_near(request):
            raise AnswerError(403, "forbidden", "What may be personal is shown on this machine only, and only while "
                "CRM_COLLECTOR_HOST is a loopback address.")
        content = {"start": self.recent.start, "events": self.recent.after(number, personal=personal)}
        return json_answer(content, headers=_HEADERS)

    async def _metrics(self, request: Request) -> Response:
        self._check(request)
        return Response(generate_latest(), headers={**_HEADERS, "Content-Type": CONTENT_TYPE_LATEST})

    def _check(self, request: Request) -> None:
        if self.audience == "everybody" or (self.audience == "loopback" and self._is_near(request)):
            return
        if self.audience == "loopback" and not is_loopback(self.bound_to):
            raise AnswerError(403, "forbidden", _NEEDS_LOOPBACK)
        told = "For nobody" if self.audience == "nobody" else "Only for this machine"
        raise AnswerError(403, "forbidden", f"{told}: see CRM_COLLECTOR_LIVE_VIEW.")

    def _is_near(self, request: Request) -> bool:
        """Whether the request is surely from this machine.

        Neither through a proxy, which would look as near as its own clients are far, nor for another host's name,
        which a page elsewhere may have pointed here.
        """
        client = request.client.host if request.client else ""
        proxied = request.scope.get("http_version") == "1.0" or any(name in request.headers for name in _PROXIED)
        return is_loopback(self.bound_to) and is_loopback(client) and is_loopback(_name(request)) and not proxied


def _name(request: Request) -> str:
    """The host name that was asked for, without its port."""
    host = request.headers.get("host", "")
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


def _file(name: str) -> Response:
    if name not in _FILES:
        raise AnswerError(404, "not_found", "There is nothing here.")
    content = files("connectors.collector").joinpath("static", name).read_bytes()
    return Response(content, headers={**_HEADERS, "Content-Type": _FILES[name]})

"""The answers of the collector. SDKs read ``code`` and ``message`` of a failure, and retry by its status.

Moves no data.
"""

import math
from collections.abc import Mapping
from typing import Final

import orjson
from starlette.responses import Response

from contracts.errors import NoRoomError

RETRY_SECONDS: Final = 2
"""After how long a client shall come again when Kafka is away or too much is under way."""


ROOM_RETRY_SECONDS: Final = 30
"""After how long a client shall come again when the disk is full. SDKs retry a 507 like every other 5xx."""


class AnswerError(Exception):
    """A request that gets no 200. ``code`` is a word for programs; ``message`` says what to do and holds no value."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None):
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(content), status, headers, "application/json")


_ACCEPTED: Final = Response(b'{"success":true}', 200, None, "application/json")


def accepted() -> Response:
    """Answer that Kafka holds everything of the request: the same object each time, for it has no state."""
    return _ACCEPTED


def failed(error: AnswerError) -> Response:
    """Answer with a failure."""
    content = {"success": False, "code": error.code, "message": str(error)}
    return json_answer(content, error.status, error.headers)


def unavailable(message: str = "Kafka does not take events now; send the same again later.") -> AnswerError:
    """Make a 503: nothing of the request counts as taken, and the client shall send it again."""
    return AnswerError(503, "unavailable", message, {"Retry-After": str(RETRY_SECONDS)})


def no_room() -> AnswerError:
    """Make a 507: the disk is nearly full. Nothing of the request counts as taken; the client shall send it again."""
    headers = {"Retry-After": str(ROOM_RETRY_SECONDS)}
    return AnswerError(507, "no_room", "The disk has no room for events now; send the same again later.", headers)


def not_taken(error: Exception) -> AnswerError:
    """Make the answer to events that could not be delivered."""
    return no_room() if isinstance(error, NoRoomError) else unavailable()


def surprised() -> AnswerError:
    """Make a 500: something that must not happen did."""
    return AnswerError(500, "failed", "The collector failed; its log says why.")


def rate_limited(wait_seconds: float, sender: str) -> AnswerError:
    """Make a 429: nothing of the request is taken, and the sender ("This key") shall come again after the wait."""
    seconds = str(math.ceil(wait_seconds))
    headers = {"Retry-After": seconds, "X-RateLimit-Reset": seconds}
    return AnswerError(429, "rate_limited", f"{sender} sends too much; wait {seconds} s.", headers)

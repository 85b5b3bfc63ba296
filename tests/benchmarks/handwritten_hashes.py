"""How the hand-written loop writes hashes to Redis."""

import time
from collections.abc import Sequence
from typing import Any, Final

import hiredis
import redis
from handwritten_people import OUTCOMES, Person, Scores

PROFILE_TIMES: Final = ("first_seen", "last_seen", "first_order", "last_order")
PROFILE_COUNTS: Final = (
    "events", "orders", "items", "refunds", "web_events", "sessions", "product_views", "carts", "checkouts", "tickets",
)  # fmt: skip


class Pipeline:
    """Commands that go to Redis together, packed in C: redis-py's own pipeline looks at each argument in Python."""

    def __init__(self, url: str):
        self._connection: Any = redis.Redis.from_url(url).connection_pool.get_connection()
        self._packed: list[bytes] = []

    def add(self, *command: str | float) -> None:
        """Add one command."""
        self._packed.append(hiredis.pack_command(command))  # type: ignore[arg-type] - its hints know one argument only

    def execute(self) -> None:
        """Send them all and read the answers; raises the first error."""
        if self._packed:
            self._connection.send_packed_command([b"".join(self._packed)])
        for _ in self._packed:
            self._connection.read_response()
        self._packed.clear()


def score_fields(person: Person, where: tuple[str, str], scores: Sequence[Scores], at: int) -> list[str | int]:
    """The fields of ``crm:score`` with their values, one after the other."""
    fields: list[str | int] = [
        "version", person.events, "as_of", text_of(person.last_seen), "model_version", "handwritten",
        "lifecycle", where[0], "segment", where[1],
    ]  # fmt: skip
    for outcome, each in zip(OUTCOMES, scores, strict=True):
        fields += (
            outcome, f"{each.probability[at]:.6f}", outcome + "_percentile", f"{each.percentile[at]:.1f}",
            outcome + "_reasons", each.reasons[at],
        )  # fmt: skip
    return fields


def profile_fields(person: Person) -> list[str | int]:
    """The fields of ``crm:profile`` with their values, one after the other."""
    fields: list[str | int] = [
        "version", person.events, "revenue", f"{person.revenue:.2f}", "refunded", f"{person.refunded:.2f}",
        "currency", "USD",
    ]  # fmt: skip
    for name in PROFILE_TIMES:
        if seconds := getattr(person, name):
            fields += (name, text_of(seconds))
    for name in PROFILE_COUNTS:
        fields += (name, getattr(person, name))
    return fields


def text_of(seconds: float) -> str:
    """A time as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))

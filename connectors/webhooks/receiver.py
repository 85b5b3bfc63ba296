"""One source's webhooks: from the bytes of a request to records for Kafka, and to what its sender is told.

Delivery: moves nothing by itself. The records' event ids come from what the provider calls things, so the same webhook
sent again, which providers do, doubles nothing.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from connectors.byte_marks import as_utf8
from connectors.door.door import Door
from connectors.door.draft import Draft
from connectors.protocol import Record
from connectors.sources.signatures import verify
from connectors.sources.webhook import WebhookPart, scheme_of
from connectors.webhooks.convert import Conversion, WebhookConverter
from connectors.webhooks.mapping import load_webhook_mapping
from connectors.webhooks.turns import Turns, at_one_go, in_turns
from contracts.errors import InputFileError
from contracts.wire import RejectedError

STAGE: Final = "webhook"
"""The stage of webhooks in dead letters."""
MOST_DEPTH: Final = 100
PING: Final = "the provider has tried the address"
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_TOLD: Final = 10
_SLICE: Final = 25
"""So many events are worked off before other requests have their turn."""


class BodyError(Exception):
    """A body that is no JSON, or too deep to be looked at. The text holds no value of it."""


@dataclass
class Received:
    """What one webhook became: the records and their names, what is wrong with some of it, and why there is nothing."""

    type: str | None
    records: list[Record] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    events: int = 0
    problems: list[RejectedError] = field(default_factory=list)
    reason: str | None = None

    @property
    def ignored(self) -> int:
        """1 if the mapping leaves this webhook out, else 0."""
        return int(self.reason is not None)

    def told(self) -> dict[str, object]:
        """Make the answer to the sender."""
        problems = [{"field": one.field, "problem": one.problem} for one in self.problems[:_MOST_TOLD]]
        return {
            "events": self.events,
            "ignored": self.ignored,
            "refused": len(self.problems),
            **({"type": self.type} if self.type else {}),
            **({"reason": self.reason} if self.reason else {}),
            **({"problems": problems} if problems else {}),
        }


class Receiver:
    """Receives the webhooks of one source, which must have a ``webhook:`` part.

    ``folder`` is where a mapping's path begins, ``environment`` holds the secrets. Raises :class:`InputFileError` if
    the mapping is wrong.
    """

    def __init__(self, door: Door, folder: Path | None = None, environment: Mapping[str, str] = os.environ):
        source = door.source
        if source.webhook is None:
            raise InputFileError(f"Source {source.name} has no `webhook:` part; see docs/sources/webhooks.md.")
        self.source = source
        self.part: WebhookPart = source.webhook
        mapping = load_webhook_mapping(self.part.mapping, folder)
        self.scheme = scheme_of(self.part, mapping.signature)
        self._environment = environment
        self._headers = mapping.headers()
        self._converter = WebhookConverter(mapping, source.name, source.currency, door.base_currency)
        self._door = door
        self._ping = re.compile(f"{mapping.ping.form}=[0-9]{{1,20}}".encode()) if mapping.ping else None

    def is_ping(self, raw: bytes, headers: Mapping[str, str]) -> bool:
        """Whether a request is the unsigned ping that the mapping allows: a form with one number, and nothing else.

        Raises :class:`MissingSecretError` for one while the secret is not set.
        """
        is_form = headers.get("content-type", "").partition(";")[0].strip().lower() == _FORM
        if self._ping is None or not is_form or self._ping.fullmatch(raw) is None:
            return False
        if self.scheme is not None and headers.get(self.scheme.header.lower()):
            return False
        self.part.secrets(self._environment)
        return True

    def check(self, raw: bytes, headers: Mapping[str, str], now: datetime) -> None:
        """Check the signature of the body as it was sent; names of ``headers`` are in small letters.

        Raises :class:`MissingSecretError` and :class:`SignatureError`.
        """
        if self.scheme is not None:
            verify(self.scheme, headers, raw, self.part.secrets(self._environment), now)

    def receive(self, content: bytes, headers: Mapping[str, str], now: datetime) -> Received:
        """Turn a body, whose signature is good, into records, at one go. Raises :class:`BodyError`."""
        return at_one_go(self.work(content, headers, now))

    async def receive_in_turns(self, content: bytes, headers: Mapping[str, str], now: datetime) -> Received:
        """Do the same as :meth:`receive`, and let others have their turn in between."""
        return await in_turns(self.work(content, headers, now))

    def work(self, content: bytes, headers: Mapping[str, str], now: datetime) -> Turns[Received]:
        """Do the same in turns: it stops after every few events, and returns what became of the body."""
        content = as_utf8(content)
        body = parse(content)
        conversion = yield from self._converter.turns(body, content, headers, now)
        done = Received(conversion.type, problems=conversion.problems, reason=conversion.reason)
        refused = yield from self._admit(conversion, done)
        done.events = len(done.records)
        if done.problems:
            done.records.append(self._refusal(refused, done.problems[0], self._original(body, headers)))
            done.names.append(conversion.type or "")
        return done

    def _original(self, body: object, headers: Mapping[str, str]) -> object:
        """Put together what dead letters keep: the body, and the headers that the mapping reads."""
        read = {name: headers[name.lower()] for name in self._headers if name.lower() in headers}
        return {"headers": read, "body": body} if read else body

    def _admit(self, conversion: Conversion, done: Received) -> Turns[Draft | None]:
        """Let the drafts through the door. Returns the draft that the first problem is of, if it is one's."""
        first: Draft | None = None
        for number, draft in enumerate(conversion.drafts, 1):
            try:
                done.records.append(self._door.event(draft))
                done.names.append(str(draft["name"]))
            except RejectedError as why:
                first = first if done.problems else draft
                done.problems.append(why)
            if number % _SLICE == 0:
                yield
        return first

    def _refusal(self, draft: Draft | None, why: RejectedError, original: object) -> Record:
        """However much of a body is refused, dead letters keep it once, with the first problem."""
        if draft is None:
            return self._door.refuse(original, why.field, why.problem)
        return self._door.rejected(draft, original, why)


def parse(content: bytes) -> Any:
    """Read a body as JSON, with or without a byte order mark. Raises :class:`BodyError`."""
    try:
        body = msgspec.json.decode(as_utf8(content))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BodyError("the body is not valid JSON") from None
    if not _is_shallow(body):
        raise BodyError(f"the body is nested more than {MOST_DEPTH} deep")
    return body


def _is_shallow(body: object) -> bool:
    """Whether a body can be walked through and written again without deep recursion."""
    level = [body]
    for _ in range(MOST_DEPTH):
        level = [child for part in level for child in _children(part)]
        if not level:
            return True
    return False


def _children(part: object) -> list[object]:
    if isinstance(part, dict):
        return list(part.values())
    return part if isinstance(part, list) else []

"""Events out of a file of JSON lines, as a tracking plan would see them at the door. Reads only.

A line is an event of our own form, or a message as SDKs send it, which goes the way of the collector: what is said of a
line is what would become of it.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from pydantic import SecretStr

from connectors.collector.auth import Sender
from connectors.collector.batch import BATCH, Incoming, Item
from connectors.collector.ids import EventIds
from connectors.collector.intake import judge_item
from connectors.collector.messages import Arrival
from connectors.door.door import PLAN_STAGE, Door
from connectors.plan.check import PlanChecker, Verdict
from connectors.plan.plan import Plan
from connectors.plan.report import Sample
from connectors.protocol import Record
from connectors.sources.source import Source
from contracts.errors import InputFileError
from contracts.refused import read_refusal

NO_SOURCE: Final = "(file)"
"""What stands for the source of a line that names none."""
_read: Final = msgspec.json.Decoder().decode


class NoEvent(NamedTuple):
    """A line that would be refused, though not by the plan: its number, its source, the field at fault and why."""

    line: int
    source: str
    field: str
    problem: str


class _Watched(PlanChecker):
    """A plan that remembers what it was asked about."""

    asked: tuple[str, dict[str, Any]] | None = None

    def check(self, name: str, properties: dict[str, Any]) -> Verdict:
        self.asked = (name, properties)
        return super().check(name, properties)


class PlannedFile:
    """A file whose lines go through the doors of their sources, held to ``plan``.

    ``sources`` are the configured ones: their privacy rules and currency count. ``only``: a source's name; lines of
    others are left out, and those that name none are taken for its.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Mapping[str, Source],
        only: str | None,
        privacy_key: SecretStr | None,
        now: datetime,
    ):
        self._plan = _Watched(plan)
        self._sources = sources
        self._only = only
        self._key = privacy_key
        self._now = now
        self._doors: dict[str, Door] = {}

    def read(self, path: Path) -> Iterator[Sample | NoEvent]:
        """Yield what the plan would see of each line, and what would be refused; empty lines are left out.

        Raises :class:`InputFileError` if the file can't be read, and :class:`contracts.errors.SettingsError` if the
        rules of a line's source need CRM_PRIVACY_KEY and it is not set.
        """
        try:
            with path.open("rb") as file:
                for number, line in enumerate(_lines(file), 1):
                    if line.strip():
                        yield from self._line(line.strip(), number)
        except OSError as error:
            raise InputFileError(f"{path} can't be read: {error.strerror}.") from None

    def _line(self, line: bytes, number: int) -> Iterator[Sample | NoEvent]:
        content = _content(line)
        is_own = "name" in content and "type" not in content
        named = content.get("source")
        source = named if is_own and isinstance(named, str) else self._only or NO_SOURCE
        if self._only not in {None, source}:
            return
        self._plan.asked = None
        door = self._door(source)
        record = door.admit(self._draft(content, line), content) if is_own else self._judged(line, number, door)
        if self._plan.asked is not None:
            yield Sample(source, *self._plan.asked)
        refusal = read_refusal(record.headers)
        if refusal is not None and refusal.stage != PLAN_STAGE:
            yield NoEvent(number, source, refusal.field, refusal.problem)

    def _door(self, name: str) -> Door:
        """Give the door of a configured source; all others share one."""
        name = name if name in self._sources else NO_SOURCE
        if name not in self._doors:
            source = self._sources.get(name, Source(name="file"))
            self._doors[name] = Door(source, privacy_key=self._key, plan=self._plan)
        return self._doors[name]

    def _draft(self, content: dict[str, Any], line: bytes) -> dict[str, object]:
        """Complete an event of our own form by what connectors add."""
        return {"event_id": blake2b(line, digest_size=16).hexdigest(), "received_at": self._now, **content}

    def _judged(self, line: bytes, number: int, door: Door) -> Record:
        incoming = Incoming(BATCH, [], {}, None, None)
        sender = Sender(door.source, door, EventIds(door.source.name), "")
        return judge_item(Item(line, number), incoming, sender, Arrival(self._now)).record


def _lines(file: BufferedReader) -> Iterator[bytes]:
    """Give the lines in UTF-8, without the byte order mark that Windows programs begin a file with."""
    encoding = json.detect_encoding(file.peek(4)[:4])
    if encoding == "utf-8":
        return file
    text = TextIOWrapper(file, encoding, errors="replace", newline="\n")
    return (line.removeprefix("\ufeff").encode() for line in text)


def _content(line: bytes) -> dict[str, Any]:
    """Read a line; one that is no object is none that the collector could read either."""
    try:
        content = _read(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}

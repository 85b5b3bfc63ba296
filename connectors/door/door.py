"""The door: the one way of a source's events into Kafka, whatever brought them.

What is drafted by a connector leaves the door as a record: an event that the contract accepts, or a refusal on its way
to the dead letters with the field at fault. Nothing that comes in is lost. A draft gets the name that crmstream knows
it by, and its properties the names and types of the contract; then come the source's privacy rules, its tracking plan,
and the contract. What is refused goes through the privacy rules too. Pure but for its counters; moves no data itself.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from connectors import metrics
from connectors.door.consent import mended
from connectors.door.draft import Draft, check_numbers, identify, note, without_none
from connectors.door.keys import keys_of
from connectors.door.money import MoneyGate
from connectors.door.plain import fits_together, microseconds, read_plain
from connectors.door.properties import fit
from connectors.door.recognition import Recognised, recognise
from connectors.plan.check import VIOLATIONS, PlanChecker, flags
from connectors.plan.violation import Violation
from connectors.privacy.guard import Guard
from connectors.privacy.protection import Protector
from connectors.protocol import Record
from connectors.sources.source import Source
from contracts.events import EVENT_TYPES, KINDS, MAX_EVENT_BYTES, Event, Kind, key_of
from contracts.notes import NOTES, Note
from contracts.refused import REFUSED_KEY, Refusal
from contracts.topics import TOPIC_OF_KIND
from contracts.wire import Envelope, RejectedError, judge

LARGEST_REFUSED: Final = 500_000
"""Bytes of a refused item beyond which only its size goes to the dead letters."""
TREATED: Final = frozenset({"context", NOTES, VIOLATIONS})
"""Properties that the door looks at."""
PLAN_STAGE: Final = "plan"
_UNPLANNED: Final = "unplanned"
_LONGEST_TEXT: Final = 300
"""Characters of a field or a problem: names of properties come from outside."""
_UNWRITABLE: Final = {"withheld": "it cannot be written as JSON"}
_NOTHING: Final[dict[str, Any]] = {}
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_CANNOT_WRITE: Final = (ValueError, OverflowError, TypeError, RecursionError, msgspec.MsgspecError)


class UnplannedError(RejectedError):
    """An event that the source's tracking plan refuses."""


class Door:
    """The door of one source. ``stage`` names the connector in dead letters.

    ``privacy_key`` is the setting CRM_PRIVACY_KEY. ``plan`` is held to in place of the source's own. ``money`` is
    shared by all doors of a process. Raises :class:`contracts.errors.SettingsError` if the source's rules need the key
    and it is not set.
    """

    def __init__(
        self,
        source: Source,
        stage: str = "collect",
        privacy_key: SecretStr | None = None,
        plan: PlanChecker | None = None,
        money: MoneyGate | None = None,
    ):
        self.source = source
        self._money = money or MoneyGate()
        self._stage = stage
        self._secret = privacy_key
        self._guard = Guard(source.privacy, privacy_key, source.name)
        self._plan = plan or (PlanChecker(source.plan.plan) if source.plan else None)
        self._admitted = metrics.EVENTS.labels(source.name)

    @property
    def is_plain(self) -> bool:
        """Whether only privacy rules may change an event: the source has no plan and no currency."""
        return self._plan is None and self.source.currency is None

    def base_currency(self) -> str | None:
        """Give the base currency, which money without any has; None while it is undecided."""
        decision = self._money.decision
        return None if decision is None else decision.currency

    def plain_event(self, kind: Kind, event: Draft) -> Record:
        """Do what :meth:`event` does for a whole event of a plain source, faster.

        Its ids are in their one form; it has its ``kind`` and nothing that is None; its properties hold only what a
        mapping names, none of :data:`TREATED`, and a currency beside its total. It is not counted: no process that
        reads files serves metrics. Raises :class:`RejectedError`.
        """
        event["source"] = self.source.name
        try:
            body = _encode(event)
            if self._guard.concerns(body):
                return self.event(event)
            record = _record(kind, body)
        except _CANNOT_WRITE:
            raise RejectedError("body", "cannot be written as JSON") from None
        if kind == "transaction":
            self._money.admit(event["properties"])
        return record

    def row_keys(self) -> Protector | None:
        """Give the keys that ids made of a row's key need; None if the source has no privacy rules.

        Raises :class:`contracts.errors.SettingsError` if it has some and the setting CRM_PRIVACY_KEY is not set.
        """
        return keys_of(self.source, self._secret)

    def admit(self, draft: Draft, original: object) -> Record:
        """Turn a draft into the record of an event, or of its refusal.

        ``original`` is what came in (JSON values, or the text that is none): it is what the dead letters keep.
        """
        try:
            return self.event(draft)
        except RejectedError as why:
            return self.rejected(draft, original, why)

    def rejected(self, draft: Draft, original: object, why: RejectedError) -> Record:
        """Make the record of a draft's refusal: ``why`` is what :meth:`event` raised for it.

        This walks through all of ``original``, so whoever makes many drafts of one original calls it once.
        """
        stage = PLAN_STAGE if isinstance(why, UnplannedError) else self._stage
        return self._refused(original, stage, why.field, why.problem, draft)

    def refuse(self, original: object, field: str, problem: str, known: Draft | None = None) -> Record:
        """Make the record of something that is no event. ``problem`` must hold no value of it.

        ``known`` are the fields of the draft that are known all the same, so that rules on them protect the original.
        """
        return self._refused(original, self._stage, field, problem, known)

    def event(self, draft: Draft) -> Record:
        """Turn a draft into the record of an event. Raises :class:`RejectedError`, from the plan UnplannedError."""
        try:
            record = self._event(draft)
        except _CANNOT_WRITE:
            raise RejectedError("body", "cannot be written as JSON") from None
        self._admitted.inc()
        return record

    def _event(self, draft: Draft) -> Record:
        event = dict(draft) if None not in draft.values() else without_none(draft)
        drafted = event.pop("notes", ())
        notes: list[Note] = [*drafted] if isinstance(drafted, list) else []
        identify(event)
        kind, taken = self._known(event, notes)
        event["kind"] = kind
        event["source"] = self.source.name
        if kind == "transaction":
            self._complete(event, notes)
        note(event, notes)
        body = _encode(event)
        if b"null" in body:
            check_numbers(event)
        changed = self._guard.event(event, taken) if self._guard.concerns(body) else event
        changed = self._flagged(changed, MAX_EVENT_BYTES - len(body))
        record = _record(kind, body if changed is event else _encode(changed))
        if kind == "transaction":
            self._money.admit(event.get("properties"))
        return record

    def _complete(self, event: Draft, notes: list[Note]) -> None:
        """Give money the currency that it lacks; add to the notes what was done."""
        properties = event.get("properties")
        if isinstance(properties, dict):
            event["properties"] = self._money.complete(properties, self.source.currency, notes)

    def _known(self, event: Draft, notes: list[Note]) -> tuple[Kind, Mapping[str, str]]:
        """Give an event its known name, and its properties their known names and types.

        Returns its kind, and the path from which each added property was taken.
        """
        name, given = event.get("name"), event.get("properties", _NOTHING)
        if not isinstance(name, str) or not isinstance(given, dict):
            return self._kind(event), {}  # the contract names the field
        if name not in EVENT_TYPES:
            known = recognise(name, event.get("kind"), given, self._plans, notes)
            if isinstance(known, Recognised):
                event["name"], event["properties"] = known.name, known.properties
                return known.kind, known.taken
            if known is not None:
                notes.append(known.note)
                metrics.UNKNOWN_NAMES.labels(self.source.name).inc()
        kind = self._kind(event)
        properties = event["properties"] = dict(given)
        return kind, fit(kind, name, properties, notes)

    def _plans(self, name: str) -> bool:
        return self._plan is not None and self._plan.plans(name)

    def _kind(self, event: Draft) -> Kind:
        """The kind of a draft: its own, or what its name tells; the contract refuses it where the two differ."""
        name = event.get("name")
        if "kind" in event:
            given = event["kind"]
            if given not in KINDS:
                raise RejectedError("kind", f"must be one of {', '.join(KINDS)}")
            return given
        if not isinstance(name, str):
            return "web"
        known, _ = EVENT_TYPES.get(name, (None, ()))
        return known or (self._plan and self._plan.kind_of(name)) or "web"

    def _flagged(self, event: Draft, room: int) -> Draft:
        """Mend the consent and hold the event against the plan; tell in the event what is not as it should be."""
        given = event.get("properties", _NOTHING)
        if not isinstance(given, dict):
            return event  # the contract tells so
        if self._plan is None and "context" not in given and VIOLATIONS not in given:
            return event
        properties, violations = mended(given)
        if VIOLATIONS in properties:
            properties = {name: value for name, value in properties.items() if name != VIOLATIONS}
        name = event.get("name")
        if self._plan is not None and isinstance(name, str):
            verdict = self._plan.check(name, properties)
            if verdict.violations:
                metrics.VIOLATIONS.labels(self.source.name, name if self._plan.plans(name) else _UNPLANNED).inc()
            if verdict.refused:
                raise _refusal(verdict.violations)
            properties = verdict.properties
            violations += verdict.violations
        if violations:
            properties = {**properties, VIOLATIONS: flags(violations, room)}
        return event if properties is given else {**event, "properties": properties}

    def _refused(self, original: object, stage: str, field: str, problem: str, draft: object = None) -> Record:
        metrics.REFUSED.labels(self.source.name, stage).inc()
        refusal = Refusal(stage, field[:_LONGEST_TEXT], problem[:_LONGEST_TEXT], self.source.name)
        body = self._kept(original, draft)
        if len(body) > LARGEST_REFUSED:
            body = _encode({"withheld": "it is too large to be kept", "bytes": len(body)})
        return Record(TOPIC_OF_KIND["web"].name, REFUSED_KEY, body, None, refusal.headers())

    def _kept(self, original: object, draft: object) -> bytes:
        """Write what is refused, whatever it is."""
        try:
            kept = self._guard.original(original, draft)
        except _CANNOT_WRITE:
            return _encode(_UNWRITABLE)
        try:
            return _encode(kept)
        except _CANNOT_WRITE:
            return _written_otherwise(kept)


def _record(kind: Kind, body: bytes) -> Record:
    """Make the record of an event, unless the contract refuses it."""
    plain = read_plain(kind, body)
    if plain is not None:
        event, properties = plain
        if fits_together(kind, event, properties):
            return _placed(kind, event, properties, body)
    judged = judge(kind, body)
    return _placed(kind, judged, judged.properties, body)


def _placed(kind: Kind, event: Envelope | Event, properties: object, body: bytes) -> Record:
    key = key_of(event, properties).encode()
    return Record(TOPIC_OF_KIND[kind].name, key, body, microseconds(event.occurred_at))


def _refusal(violations: list[Violation]) -> UnplannedError:
    first, others = violations[0], len(violations) - 1
    field = first.field if first.field in {"name", "properties"} else f"properties.{first.field}"
    return UnplannedError(field, f"{first.problem} (and {others} more)" if others else first.problem)


def _written_otherwise(kept: object) -> bytes:
    """Write what the strict encoder refuses: halves of surrogate pairs become escapes, NaN stays NaN."""
    try:
        return json.dumps(kept, skipkeys=True).encode()
    except (ValueError, TypeError, RecursionError):
        return _encode(_UNWRITABLE)

"""One rule of a mapping at work: from a webhook to the drafts of its events.

What is no event comes out as a :class:`RejectedError` among the drafts: a field, and a problem without any value. Pure.
"""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Final, TypeVar, cast

from connectors.door.draft import Draft
from connectors.rows.drafts import bound_count
from connectors.rows.properties import fitting_items
from connectors.rows.values import BadValueError, as_text
from connectors.webhooks.mapping import Group, Rule, WebhookMapping
from connectors.webhooks.paths import compile_path
from connectors.webhooks.reading import Read, Readers, ReadText, View
from connectors.webhooks.spec import Value
from contracts.events import ORDER_COMPLETED
from contracts.notes import Note
from contracts.wire import RejectedError

MOST_EVENTS: Final = 1_000
"""Elements of one body that may become events; a list with more is refused as a whole."""
_ID_DIGITS: Final = 32
_T = TypeVar("_T")
_V = TypeVar("_V")


class RuleAtWork:
    """A rule, made ready for many webhooks of one source."""

    def __init__(self, rule: Rule, mapping: WebhookMapping, readers: Readers, source: str):
        self._rule = rule
        self.names_types = bool(rule.on)
        self._when = [readers.fits(rule.when)] if rule.when else []
        self._unless = [readers.fits(rule.unless)] if rule.unless else []
        self._each = compile_path(rule.each) if rule.each else None
        self._group = _Grouping(rule.group) if rule.group else None
        self._draft = _DraftReader(rule, mapping, readers, source)

    def is_for(self, kind: str | None) -> bool:
        """Whether the rule is for what the provider calls so."""
        return not self._rule.on or any(fnmatchcase(kind or "", pattern) for pattern in self._rule.on)

    def drafts(self, view: View, digest: str, received_at: str) -> Iterator[Draft | RejectedError | None]:
        """Give what the rule makes of a webhook, or of each element: None, if its conditions do not hold.

        ``digest`` tells bodies without an id apart.
        """
        try:
            for part, position in self._parts(view):
                if not self._holds(part):
                    yield None
                    continue
                for group, shared in self._group.parts(part) if self._group else [(part, "")]:
                    yield self._one(group, digest, received_at, position, shared)
        except RejectedError as wrong:
            yield wrong

    def _parts(self, view: View) -> Iterator[tuple[View, int | None]]:
        """Give the webhook itself or, with ``each``, once for every element."""
        if self._each is None:
            yield view, None
            return
        items = read_field("each", self._each, view.document)
        if not isinstance(items, list | None):
            raise RejectedError("each", "is not a list")
        if len(items or ()) > MOST_EVENTS:
            raise RejectedError("each", f"holds more than {MOST_EVENTS:,} elements")
        around = view.document if isinstance(view.document, dict) else {}
        for position, item in enumerate(items or ()):
            yield View({**around, "item": item}, view.headers), position

    def _holds(self, view: View) -> bool:
        return all(read_field("when", fits, view) for fits in self._when) and not any(
            read_field("unless", fits, view) for fits in self._unless
        )

    def _one(
        self, view: View, digest: str, received_at: str, position: int | None, shared: str
    ) -> Draft | RejectedError:
        try:
            return self._draft.read(view, digest, received_at, position, shared)
        except RejectedError as wrong:
            where = "" if position is None else f" (in element {position} of the list)"
            return RejectedError(wrong.field, wrong.problem + where)


class _Grouping:
    """Takes the elements of a list apart by a value that some of them share."""

    def __init__(self, group: Group):
        self._of, self._by = compile_path(group.of), compile_path(group.by)

    def parts(self, view: View) -> Iterator[tuple[View, str]]:
        """Give a view for each group, and the text that its event's id depends on.

        Groups are the same in capital and small letters. The text of the first group is empty: the id of a list's only
        group does not depend on its value.
        """
        items = read_field("group", self._of, view.document)
        if not isinstance(items, list | None):
            raise RejectedError("group", "is not a list")
        if len(items or ()) > MOST_EVENTS:
            raise RejectedError("group", f"holds more than {MOST_EVENTS:,} elements")
        groups: dict[str, list[object]] = {}
        for item in items or ():
            shared = read_field("group", self._by, item)
            text = "none" if shared is None else read_field("group", as_text, shared).upper()
            groups.setdefault(text, []).append(item)
        around = view.document if isinstance(view.document, dict) else {}
        for number, (shared_text, members) in enumerate(groups.items()):
            yield View({**around, "group": members}, view.headers), shared_text if number else ""


class _DraftReader:
    """Reads the fields of a rule's events."""

    def __init__(self, rule: Rule, mapping: WebhookMapping, readers: Readers, source: str):
        self._source = source
        self._words = {name: _word(spec, readers) for name, spec in (("name", rule.name), ("kind", rule.kind)) if spec}
        self._ids = {
            name: make(getattr(rule, name) or getattr(mapping, name))
            for name, make in (
                ("event_id", readers.identifier),
                ("customer_id", readers.person),
                ("anonymous_id", readers.person),
                ("guest_id", readers.person),
                ("email", readers.address),
            )
        }
        self._occurred_at = readers.time(rule.occurred_at or mapping.occurred_at)
        self._item_id = readers.identifier(rule.item_id) if rule.item_id else None
        self._numbered = rule.each is not None and rule.event_id is None
        self._properties = _Fields("properties", rule.properties, rule.properties_from, readers)
        self._names_total = "total" in rule.properties
        self._traits = _Fields("properties.traits", rule.traits, rule.traits_from, readers)

    def read(self, view: View, digest: str, received_at: str, position: int | None, shared: str) -> Draft:
        draft: Draft = {name: read_field(name, read, view) for name, read in self._words.items()}
        ids = {name: read_field(name, read, view) for name, read in self._ids.items()}
        draft["event_id"] = self._event_id(ids["event_id"] or digest, str(draft["name"]), view, position, shared)
        draft["anonymous_id"] = ids["anonymous_id"] or (None if ids["customer_id"] else ids["guest_id"])
        draft["customer_id"] = ids["customer_id"] or (None if draft["anonymous_id"] else ids["email"])
        draft["occurred_at"] = read_field("occurred_at", self._occurred_at, view) or received_at
        draft["received_at"] = received_at
        properties = self._properties.read(view)
        notes: list[Note] = []
        lines = properties.get("products")
        has_lines = isinstance(lines, list)
        if has_lines:
            properties["products"] = fitting_items("products", cast("list[dict[str, object]]", lines), notes)
        bound_count(properties, [] if has_lines else notes)  # the door counts the pieces of lines, and notes it
        if self._names_total and draft["name"] == ORDER_COMPLETED:
            properties.setdefault("total", None)  # so that the door does not take the order for one without money
        if traits := self._traits.read(view):
            properties["traits"] = traits
        draft["properties"] = properties
        draft["notes"] = notes or None
        return {name: value for name, value in draft.items() if value is not None}

    def _event_id(self, base: str, name: str, view: View, position: int | None, shared: str) -> str:
        """Make an id that is the same whenever the same is told again, and no other event has.

        It is a hash, for a provider's id may tell whose event it is, which a source's privacy rules may forbid.
        """
        parts = [self._source, base, name]
        if self._item_id is not None:
            parts.append(read_field("item_id", self._item_id, view) or str(position))
        elif self._numbered:
            parts.append(str(position))
        if shared:
            parts += ["group", shared]
        return sha256("\x00".join(parts).encode(errors="replace")).hexdigest()[:_ID_DIGITS]


class _Fields:
    """A group of fields: the properties of an event, or its traits."""

    def __init__(self, group: str, specs: Mapping[str, Value], whole: str | None, readers: Readers):
        self._group = group
        self._whole = compile_path(whole) if whole else None
        self._fields = [pair for name, spec in specs.items() for pair in readers.properties(name, spec)]

    def read(self, view: View) -> dict[str, object]:
        found = read_field(self._group, self._whole, view.document) if self._whole else None
        if not isinstance(found, dict | None):
            raise RejectedError(self._group, "is not an object")
        fields = dict(found or {})
        for name, read in self._fields:
            value = read_field(f"{self._group}.{name}", read, view)
            if value is not None:
                fields[name] = value
        return fields


def read_field(field: str, read: Callable[[_V], _T], view: _V) -> _T:
    """Read a value; what is wrong with it is told by the field's name."""
    try:
        return read(view)
    except BadValueError as problem:
        raise RejectedError(field, str(problem)) from None


def _word(spec: str | Value, readers: Readers) -> ReadText:
    if isinstance(spec, str):
        return lambda _: spec
    read: Read = readers.value(spec)
    return lambda view: None if (found := read(view)) is None else as_text(found)

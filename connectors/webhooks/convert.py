"""Turn the body of a webhook into drafts of events, by its mapping.

A body that is no event, or only in part, is never an exception: what is wrong comes out as problems, which name a field
and hold no value. Pure; the time is handed in. Moves no data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final

from xxhash import xxh3_128_hexdigest

from connectors.door.draft import Draft
from connectors.rows.values import as_text, instant
from connectors.webhooks.mapping import WebhookMapping
from connectors.webhooks.reading import Readers, View
from connectors.webhooks.rules import RuleAtWork, read_field
from connectors.webhooks.turns import Turns, at_one_go
from contracts.wire import RejectedError

_LONGEST_TYPE: Final = 100
_SLICE: Final = 5
"""So many elements, each some tenths of a millisecond, are converted before others have their turn."""


@dataclass
class Conversion:
    """What a body became: drafts, and for what is no event the problems.

    ``type`` is the provider's name of it. ``reason`` says why there is neither, and ``known`` whether the mapping has
    anything to say about this type.
    """

    type: str | None = None
    drafts: list[Draft] = field(default_factory=list)
    problems: list[RejectedError] = field(default_factory=list)
    reason: str | None = None
    known: bool = True


class WebhookConverter:
    """Converts the webhooks of one source. ``currency`` is that of amounts that name none."""

    def __init__(
        self,
        mapping: WebhookMapping,
        source: str,
        currency: str | None = None,
        base: Callable[[], str | None] = lambda: None,
    ):
        readers = Readers(mapping, currency, base)
        self._mapping = mapping
        self._type = readers.value(mapping.type) if mapping.type else None
        self._rules = [RuleAtWork(rule, mapping, readers, source) for rule in mapping.rules]

    def convert(self, body: object, content: bytes, headers: Mapping[str, str], received_at: datetime) -> Conversion:
        """Convert one body: ``content`` are its bytes, which tell bodies without an id apart.

        Names of ``headers`` are in small letters; ``received_at`` is an aware time.
        """
        return at_one_go(self.turns(body, content, headers, received_at))

    def turns(self, body: object, content: bytes, headers: Mapping[str, str], now: datetime) -> Turns[Conversion]:
        """Do the same in turns: it stops after every few elements of a list, and returns what became of the body."""
        done = Conversion()
        view = View(body, headers)
        try:
            done.type = self._type_of(view)
        except RejectedError as wrong:
            done.problems.append(wrong)
            return done
        rules = [rule for rule in self._rules if rule.is_for(done.type)]
        digest = xxh3_128_hexdigest(content)
        seen: set[object] = set()
        for rule in rules:
            for number, one in enumerate(rule.drafts(view, digest, instant(now)[1]), 1):
                _sort(one, done, seen)
                if number % _SLICE == 0:
                    yield
        if not done.drafts and not done.problems:
            self._explain(done, tried=any(rule.names_types for rule in rules))
        return done

    def _type_of(self, view: View) -> str | None:
        found = read_field("type", self._type, view) if self._type else None
        return None if found is None else read_field("type", as_text, found)[:_LONGEST_TYPE]

    def _explain(self, done: Conversion, *, tried: bool) -> None:
        """Say why no rule made anything of a body."""
        ignored = [why for pattern, why in self._mapping.ignore.items() if fnmatchcase(done.type or "", pattern)]
        if ignored:
            done.reason = ignored[0]
        elif tried:
            done.reason = "nothing in it meets the conditions of the rules for it"
        else:
            done.known = False
            done.reason = "no rule is for this type" if done.type else "no rule is for this"
        if not done.known and self._mapping.unknown == "refuse":
            done.problems.append(RejectedError("type", "has no rule in the mapping"))
            done.reason = None


def _sort(one: Draft | RejectedError | None, done: Conversion, seen: set[object]) -> None:
    """Add what a rule gave, each event id once."""
    if isinstance(one, RejectedError):
        done.problems.append(one)
    elif one is not None and one["event_id"] in seen:
        done.problems.append(
            RejectedError("event_id", "is that of another event of this body; give one rule an event_id of its own")
        )
    elif one is not None:
        seen.add(one["event_id"])
        done.drafts.append(one)

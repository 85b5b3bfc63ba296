"""One message of the tracking API becomes the draft of one event.

What is what: ``track`` keeps its name, ``page`` is "Page Viewed", ``screen`` "Screen Viewed", ``identify`` "Identify",
``alias`` (and RudderStack's ``merge``) "Alias", ``group`` "Group" (of the kind identity). A ``track`` with the name of
an event that links ids is refused. The properties stay, with the message's context whole as ``context``. Pure; moves no
data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from connectors.collector.clocks import is_trusted
from connectors.collector.ids import LONGEST_ID, EventIds
from connectors.collector.timing import Moment, moment_of
from connectors.door.draft import Draft
from connectors.door.properties import Properties, put
from connectors.door.values import as_text
from connectors.sources.source import Clock
from contracts.events import ALIAS, IDENTIFY, UNLINK
from contracts.wire import RejectedError

Message = Mapping[str, Any]

GROUP: Final = "Group"
SCREEN_VIEWED: Final = "Screen Viewed"
_LINKING: Final = frozenset((IDENTIFY, ALIAS, UNLINK))
"""Names that ``track`` cannot use."""
_USER: Final = ("user_id", "userId")
_MERGEABLE: Final = (*_USER, "anonymous_id", "anonymousId")


@dataclass(frozen=True)
class Arrival:
    """What a request tells of all its messages: when it came, when its sender says to have sent it, and from where."""

    received_at: datetime
    sent_at: datetime | None = None
    anonymous_id: str | None = None
    ip: str | None = None


def draft_of(
    message: Message, ids: EventIds, fallback_id: Callable[[], str], arrival: Arrival, clock: Clock | None = None
) -> Draft:
    """Draft the event of one message. ``fallback_id`` gives its id if the message has none.

    ``ids`` and ``clock`` are those of its source.

    Raises :class:`RejectedError` with the field of the message at fault.
    """
    name, properties = _content(message)
    context = _context(message, arrival)
    moment = _moment(message, context, arrival, clock)
    for key, value in (("context", context), ("integrations", message.get("integrations"))):
        if value:
            put(properties, key, value)
    if moment.problem:
        put(properties, "time_problem", moment.problem)
    draft: Draft = {
        "event_id": ids.id_of(as_text(message.get("messageId")) or fallback_id()),
        "name": name,
        "occurred_at": moment.occurred_at,
        "received_at": arrival.received_at,
        "properties": properties,
        **_who(message, arrival),
    }
    if name == GROUP and _type(message) == "group":
        draft["kind"] = "identity"  # nobody was there: companies are synchronised at night
    return draft


def _content(message: Message) -> tuple[str, Properties]:
    reader = _READERS.get(_type(message))
    if reader is None:
        raise RejectedError("type", f"is none of {', '.join(_READERS)}")
    return reader(message)


def _type(message: Message) -> str:
    given = message.get("type")
    return given.lower() if isinstance(given, str) else ""


def _track(message: Message) -> tuple[str, Properties]:
    name = message.get("event")
    if not isinstance(name, str) or not name.strip():
        raise RejectedError("event", "is required, as a text")
    if name.strip() in _LINKING:
        raise RejectedError("event", f"is reserved: no track message makes {', '.join(sorted(_LINKING))} events")
    return name.strip(), _object(message, "properties")


def _page(message: Message) -> tuple[str, Properties]:
    return "Page Viewed", _named(message)


def _screen(message: Message) -> tuple[str, Properties]:
    return SCREEN_VIEWED, _named(message)


def _identify(message: Message) -> tuple[str, Properties]:
    context = message.get("context")
    inherited = context.get("traits") if isinstance(context, dict) else None
    traits = _object(message, "traits")
    if isinstance(inherited, dict):
        traits = inherited | traits
    return "Identify", {**_object(message, "properties"), "traits": traits}


def _alias(message: Message) -> tuple[str, Properties]:
    if not as_text(message.get("userId")):
        raise RejectedError("userId", "is required")
    previous = as_text(message.get("previousId"))
    if not previous:
        raise RejectedError("previousId", "is required, as a text or a number")
    return "Alias", {**_object(message, "properties"), "previous_id": previous}


def _group(message: Message) -> tuple[str, Properties]:
    group = as_text(message.get("groupId"))
    if not group:
        raise RejectedError("groupId", "is required, as a text or a number")
    # not as `traits`: what is true of a company must not be taken for a person's
    return GROUP, {**_object(message, "properties"), "group_id": group, "group_traits": _object(message, "traits")}


def _merge(message: Message) -> tuple[str, Properties]:
    return "Alias", {"previous_id": _merged_ids(message)[1]}


_READERS: Final[Mapping[str, Callable[[Message], tuple[str, Properties]]]] = {
    "track": _track,
    "page": _page,
    "screen": _screen,
    "identify": _identify,
    "alias": _alias,
    "group": _group,
    "merge": _merge,
}
TYPES: Final = tuple(_READERS)
"""The types of messages."""


def _merged_ids(message: Message) -> tuple[str, str]:
    """The two ids that are one person, the customer's first."""
    pairs = message.get("mergeProperties")
    ids = [
        (pair.get("type") not in _USER, as_text(pair.get("value")) or "")
        for pair in (pairs if isinstance(pairs, list) else ())
        if isinstance(pair, dict) and pair.get("type") in _MERGEABLE
    ]
    if len(ids) != 2 or not all(text for _, text in ids):
        raise RejectedError("mergeProperties", "must be two ids, of the types user_id and anonymous_id")
    (_, customer), (_, previous) = sorted(ids, key=lambda one: one[0])
    return customer, previous


def _named(message: Message) -> Properties:
    """The properties of a page or screen, with its name and category."""
    properties = _object(message, "properties")
    for key in ("name", "category"):
        if isinstance(value := message.get(key), str) and value:
            properties.setdefault(key, value)
    return properties


def _object(message: Message, field: str) -> Properties:
    value = message.get(field)
    if value is None or value == []:  # PHP writes an empty map so
        return {}
    if not isinstance(value, dict):
        raise RejectedError(field, "must be an object")
    return dict(value)


def _context(message: Message, arrival: Arrival) -> Properties:
    context = _object(message, "context")
    if arrival.ip and not context.get("ip"):
        context["ip"] = arrival.ip
    return context


def _moment(message: Message, context: Properties, arrival: Arrival, clock: Clock | None) -> Moment:
    """When it happened. What another server has timed (and says so by ``receivedAt``) is not corrected again.

    The batch's time of sending wins over a message's own: what relays history keeps the old one in each message.
    """
    said, original = message.get("timestamp"), message.get("originalTimestamp")
    sent = message.get("sentAt") if arrival.sent_at is None else arrival.sent_at
    if said and original and message.get("receivedAt"):
        sent = None
    return moment_of(said or original or None, sent, arrival.received_at, trusted=is_trusted(clock, context))


def _who(message: Message, arrival: Arrival) -> Draft:
    user, anonymous = _id(message, "userId"), _id(message, "anonymousId")
    if message.get("mergeProperties") and not user:
        user = _merged_ids(message)[0]
    if not user and not anonymous:
        anonymous = arrival.anonymous_id
        if not anonymous:
            raise RejectedError("userId", "is required, or anonymousId")
    return {key: value for key, value in (("customer_id", user), ("anonymous_id", anonymous)) if value}


def _id(message: Message, field: str) -> str | None:
    value = message.get(field)
    if value is None:
        return None
    text = as_text(value)
    if text is None:
        raise RejectedError(field, "must be a text or a number")
    if len(text := text.strip()) > LONGEST_ID:
        raise RejectedError(field, f"has more than {LONGEST_ID} characters")
    return text or None

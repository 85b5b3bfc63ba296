"""Applies a source's privacy rules to events and to what is refused. Pure."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import msgspec
from pydantic import SecretStr

from connectors.privacy.addresses import truncated
from connectors.privacy.protection import Protector, protector
from connectors.privacy.rules import IDS, IP_FIELDS, PrivacyRules
from contracts.identity import EMAIL_ADDRESS, is_placeholder
from contracts.wire import RejectedError

Change = Callable[[object], object]
"""What a rule does with a value; None takes the field away."""
_ID_FIELDS: Final = ("customer_id", "anonymous_id")
_ADDRESSES: Final = re.compile(r"e[-_ ]?mail|^mail$", re.IGNORECASE)
"""Names of fields that hold e-mail addresses. A rule for one of them holds for ids that are addresses, too."""
_WRITE_KEY: Final = "writeKey"
_WRITE_KEY_TEXT: Final = re.compile(r'"writeKey"\s*:\s*"[^"]*"?')
_UNREADABLE: Final = re.compile("[\x00\ufffd\ud800-\udfff]")
_HALVES: Final = re.compile("[\ud800-\udfff]")
"""Halves of characters, which a JSON text may well hold."""
_ID: Final = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_TOKEN: Final = re.compile(r"enc:1:[A-Za-z0-9_=-]+")
"""What a rule has encrypted: letters in which a rule may seem to be named."""
_NESTED: Final = (dict, list, tuple)
_SCALARS: Final = (str, int, float, Decimal)
_LEAST_TEXT: Final = 3
"""Characters of a protected value from which on it is looked for in other fields of what is refused."""
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


class Guard:
    """The rules of one source, made ready.

    Raises :class:`contracts.errors.SettingsError` if they need a key and there is none.
    """

    def __init__(self, rules: PrivacyRules, secret: SecretStr | None, source: str):
        changes = _changes(rules, protector(secret, source) if rules.needs_key else None)
        last = sorted({path.rpartition(".")[2] for path in changes})
        of_addresses = _of_addresses(changes, secret) if _names_addresses(rules) else {}
        changes |= of_addresses
        self._of_events = _Walk(changes)
        # What comes in may hold at its top what an event has in its properties; a browser's message holds its key.
        originals = {path.removeprefix("properties."): change for path, change in changes.items()}
        self._of_originals = _Walk({**originals, _WRITE_KEY: _dropped})
        keys = b'(?:%s)":' % b"|".join(re.escape(_encode(key)[1:-1]) for key in last)
        words = rf"(?<![a-z0-9])(?:{'|'.join(map(re.escape, last))})(?![a-z0-9])|\\u"
        if ids := "|".join(sorted({path.rpartition(".")[2] for path in of_addresses})):
            keys += rb'|(?:%s)":"(?:[^"\\@]|\\.)*@' % ids.encode()
            words += rf"|(?<![a-z0-9])(?:{ids})(?![a-z0-9]).*@"
        self._keys = re.compile(keys)
        self._words = re.compile(words, re.IGNORECASE | re.DOTALL)
        self._idle = not changes
        self._drops_addresses = "customer_id" in of_addresses and secret is None

    def concerns(self, body: bytes) -> bool:
        """Whether a rule may apply to an event, by its JSON without blanks: it holds a key that ends as a rule does."""
        return not self._idle and self._keys.search(body) is not None

    def event(self, event: dict[str, object], taken: Mapping[str, str] = MappingProxyType({})) -> dict[str, object]:
        """Apply the rules to an event's properties and ids. An id that is none stays one that is none.

        ``taken`` names properties whose values were taken from another path: the rule for that one holds for them too.
        """
        properties = self._of_events.walk(event.get("properties", {}), ".properties")
        kept = {**event, "properties": self._with_taken(properties, taken) if taken else properties}
        for field in _ID_FIELDS:
            change = self._of_events.change_of(field, "")
            if change is not None and (change is _dropped or _is_usable_id(event.get(field))):
                kept[field] = change(event.get(field))
        if self._drops_addresses and not any(kept.get(field) for field in _ID_FIELDS) and event.get("customer_id"):
            problem = "is an e-mail address, which a rule drops; with CRM_PRIVACY_KEY it is hashed"
            raise RejectedError("customer_id", problem)
        return {field: value for field, value in kept.items() if value is not None}

    def _with_taken(self, properties: object, taken: Mapping[str, str]) -> object:
        if not isinstance(properties, dict):
            return properties
        for name, path in taken.items():
            outer, _, last = f".properties.{path}".rpartition(".")
            change = self._of_events.change_of(last, outer)
            if change is not None and self._of_events.change_of(name, ".properties") is None:
                properties[name] = change(properties.get(name))
        return {name: value for name, value in properties.items() if value is not None or name not in taken}

    def original(self, original: object, event: object = None) -> object:
        """Apply the rules to what came in and is refused.

        ``event`` is what was drafted from it: its protected values are changed wherever else they stand, for fields
        may have had other names. A text that holds the name of a rule, wherever it stands, is kept as the JSON that it
        is, or not at all.
        """
        if isinstance(original, bytes):
            original = original.decode(errors="replace")
        known = self._protected(event) if isinstance(event, dict) else {}
        if not isinstance(original, str):
            return self._protected_original(original, "", known)
        if self._is_harmless(original):
            return _without_write_key(original)
        content = _parsed(original)
        return _withheld(original) if content is None else self._protected_original(content, "", known)

    def _protected_original(self, content: object, path: str, known: dict[object, Change]) -> object:
        """Apply the rules to JSON values at ``path``, then to the texts that are left in them."""
        changed = self._of_originals.walk(content, path)
        return changed if self._idle else self._settled(changed, path, known)

    def _settled(self, node: object, path: str, known: dict[object, Change]) -> object:
        """Change the plain values in ``known`` wherever they stand, and what other texts hold.

        Values of which nothing is left become null.
        """
        if isinstance(node, dict):
            return {key: self._settled(value, f"{path}.{key}", known) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return [self._settled(item, path, known) for item in node]
        change = _change_of_value(node, known)
        if change is not None:
            return change(node)
        return self._text(node, path, known) if isinstance(node, str) else node

    def _text(self, text: str, path: str, known: dict[object, Change]) -> object:
        """Apply the rules to a text within what came in: JSON stays the text of JSON, a mere name stays."""
        if self._is_harmless(_HALVES.sub("", text)) or self._words.fullmatch(text):
            return _without_write_key(text)
        content = _parsed(text)
        return _withheld(text) if content is None else _encode(self._protected_original(content, path, known)).decode()

    def _is_harmless(self, text: str) -> bool:
        """Tell that no rule is named in a text. Of packed or otherwise encoded bytes nobody can tell what they hold."""
        if self._idle or _TOKEN.fullmatch(text):
            return True
        return not (_UNREADABLE.search(text) or self._words.search(text))

    def _protected(self, event: dict[str, Any]) -> dict[object, Change]:
        """Collect the plain values that rules change in an event, each with its change."""
        found: dict[object, Change] = {}
        for field in _ID_FIELDS:
            change = self._of_events.change_of(field, "")
            if change is not None:
                _collect(event.get(field), change, found)
        for value, change in self._of_events.protected(event.get("properties"), ".properties"):
            _collect(value, change, found)
        return found


class _Walk:
    """Goes through JSON values and changes those whose path ends as a rule says."""

    def __init__(self, changes: dict[str, Change]):
        self._by_last: dict[str, list[tuple[str, Change]]] = {}
        for path, change in changes.items():
            self._by_last.setdefault(path.rpartition(".")[2], []).append((f".{path}", change))

    def change_of(self, key: object, path: str) -> Change | None:
        """Find the rule for a key of the object at ``path`` (a dot before each part). Keys may hold dots themselves."""
        rules = self._by_last.get(str(key).rpartition(".")[2])
        if rules is None:
            return None
        full = f"{path}.{key}"
        return next((change for suffix, change in rules if full.endswith(suffix)), None)

    def walk(self, node: object, path: str) -> object:
        """Copy a value with the rules applied, innermost first."""
        if isinstance(node, dict):
            return self._object(node, path)
        return [self.walk(item, path) for item in node] if isinstance(node, list | tuple) else node

    def _object(self, node: dict[Any, Any], path: str) -> dict[Any, Any]:
        kept = {}
        by_last = self._by_last
        for key, value in node.items():
            new = value
            if isinstance(value, _NESTED):
                new = self.walk(value, f"{path}.{key}")
            if key in by_last or type(key) is not str or "." in key:  # so that most keys cost next to nothing
                change = self.change_of(key, path)
                if change is not None and (new := change(new)) is None:
                    continue
            kept[key] = new
        return kept

    def protected(self, node: object, path: str) -> Iterator[tuple[object, Change]]:
        """Yield the values that rules change, each with its change."""
        if isinstance(node, dict):
            for key, value in node.items():
                if (change := self.change_of(key, path)) is not None:
                    yield value, change
                yield from self.protected(value, f"{path}.{key}")
        elif isinstance(node, list | tuple):
            for item in node:
                yield from self.protected(item, path)


def _parsed(text: str) -> object:
    """Read a text as a JSON object or list; None if it is none."""
    try:
        content: object = msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict | list) else None


def _withheld(text: str) -> dict[str, object]:
    return {"withheld": "a text that may hold protected fields", "characters": len(text)}


def _without_write_key(text: str) -> str:
    return _WRITE_KEY_TEXT.sub('"writeKey":"..."', text) if _WRITE_KEY in text else text


def _change_of_value(value: object, known: dict[object, Change]) -> Change | None:
    """Find the change of a plain value. A number may have become the text of an id."""
    if not known or isinstance(value, bool) or not isinstance(value, _SCALARS):
        return None
    return known.get(value) or known.get(str(value)) or known.get(_address(value))


def _changes(rules: PrivacyRules, keys: Protector | None) -> dict[str, Change]:
    """What happens to each path; of several that fit, the first decides."""
    kinds: dict[str, Change] = {"drop": _dropped, "truncate": truncated}
    if keys is not None:
        kinds |= {"hash": keys.hash, "encrypt": keys.encrypt}
    changes: dict[str, Change] = {}
    for path, action in rules.named():
        change = kinds[action]
        changes.setdefault(path, _of_ids(change) if action == "hash" and path in IDS else change)
    for path in IP_FIELDS if rules.ip != "keep" else ():
        changes.setdefault(path, kinds[rules.ip])
    return changes


def _is_usable_id(identifier: object) -> bool:
    """Tell whether a value is an id by the contract, and somebody's."""
    return isinstance(identifier, str) and bool(_ID.fullmatch(identifier)) and not is_placeholder(identifier)


def _of_ids(change: Change) -> Change:
    """Leave placeholders as they are: hashed, ``null`` would look like somebody's id."""
    return lambda value: value if isinstance(value, str) and is_placeholder(value) else change(value)


def _names_addresses(rules: PrivacyRules) -> bool:
    return any(_ADDRESSES.search(path.rpartition(".")[2]) for path, _ in rules.named())


def _of_addresses(changes: Mapping[str, Change], secret: SecretStr | None) -> dict[str, Change]:
    """Make the rules for ids without one of their own: an address is hashed, without a key it is dropped."""
    change = Protector(secret).hash if secret is not None else _dropped
    return dict.fromkeys(IDS - changes.keys(), _if_address(change))


def _if_address(change: Change) -> Change:
    return lambda value: change(value) if isinstance(value, str) and EMAIL_ADDRESS.fullmatch(value) else value


def _address(value: object) -> object:
    """The one form of an e-mail address; other values as they are."""
    return value.strip().lower() if isinstance(value, str) and EMAIL_ADDRESS.fullmatch(value) else value


def _dropped(_: object) -> None:
    return None


def _collect(value: object, change: Change, found: dict[object, Change]) -> None:
    """Note the plain values in a protected one. Truth values and short ones are too common to be looked for."""
    if isinstance(value, dict):
        for item in value.values():
            _collect(item, change, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, change, found)
    elif not isinstance(value, bool) and isinstance(value, _SCALARS) and len(str(value)) >= _LEAST_TEXT:
        found.setdefault(value, change)
        found.setdefault(_address(value), change)

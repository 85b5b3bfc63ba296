"""Privacy at the door: which fields of a source are dropped, hashed or encrypted before anything reaches Kafka.

In the file of sources::

    privacy:
      drop: [traits.phone, userAgent]      # never kept
      hash: [customer_id, email]           # keyed: equal values stay equal (connectors/privacy/protection.py)
      encrypt: [traits.address]            # readable for who holds CRM_PRIVACY_KEY
      ip: truncate                         # keep, truncate (the default) or drop

A rule is the end of a dotted path. It holds at any depth of an event's properties and of what is refused: ``email``
is properties.email and properties.traits.email; items of a list have the path of their list. Where several rules
hold, drop goes before hash, hash before encrypt, and all go before ``ip``. ``customer_id`` and ``anonymous_id`` stand
for the ids in all their spellings. Pure.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from connectors.yaml_file import Part

_SPELLINGS: Final = (
    frozenset({"customer_id", "customerId", "user_id", "userId"}),
    frozenset({"anonymous_id", "anonymousId"}),
    frozenset({"previous_id", "previousId", "mergeProperties.value"}),
)
IDS: Final = frozenset().union(*_SPELLINGS)
IP_FIELDS: Final = ("ip", "ip_address", "ipAddress")
"""Where addresses stand: ``context.ip`` is one of them."""

Action = Literal["drop", "hash", "encrypt"]
Path = Annotated[str, Field(max_length=200, pattern=r"^[^.\x00-\x1f]+(\.[^.\x00-\x1f]+)*$")]


class PrivacyRules(Part):
    """The rules of one source; see the module's text."""

    drop: tuple[Path, ...] = ()
    hash: tuple[Path, ...] = ()
    encrypt: tuple[Path, ...] = ()
    ip: Literal["keep", "truncate", "drop"] = "truncate"

    @model_validator(mode="after")
    def _is_unambiguous(self) -> Self:
        paths = [*self.drop, *self.hash, *self.encrypt]
        twice = [path for path, count in Counter(paths).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]}: stands twice; say once what happens to it")
        if "properties" in paths:
            raise ValueError("properties: would take all of them; name single ones")
        if unreadable := IDS & set(self.encrypt):
            raise ValueError(f"{min(unreadable)}: cannot be encrypted, for nobody could be recognised; hash it")
        return self

    @property
    def needs_key(self) -> bool:
        """Whether CRM_PRIVACY_KEY must be set."""
        return bool(self.hash or self.encrypt)

    def named(self) -> Iterator[tuple[str, Action]]:
        """Every path with what happens to it, those that go first first; ids in all their spellings."""
        lists: tuple[tuple[Action, tuple[str, ...]], ...] = (
            ("drop", self.drop), ("hash", self.hash), ("encrypt", self.encrypt)
        )  # fmt: skip
        for action, paths in lists:
            for path in paths:
                yield from ((spelling, action) for spelling in sorted(spellings(path)))


def spellings(path: str) -> frozenset[str]:
    """All fields that a rule's path names. The former id of an alias may be of either sort, so each takes it along."""
    for names in _SPELLINGS:
        if path in names:
            return names | _SPELLINGS[-1]
    return frozenset({path})

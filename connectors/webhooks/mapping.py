"""Mapping files of webhooks: what a body of another system becomes. YAML, checked before the first webhook is read.

A mapping with every key (only ``rules`` with ``name`` are required; docs/sources/webhooks.md explains each)::

    about: our till                        # one line for `crmstream webhook list`
    signature: hmac-sha256                 # how the provider signs; a source may choose another way
    type: {header: X-Till-Event}           # what the provider calls it; `on`, `ignore` and `unknown` go by it
    unknown: ignore                        # or refuse: what no rule is for goes to the dead letters
    ignore: {"receipt.*": printed only}    # types that are left out knowingly, and why
    minor_units: {UGX: 2}                  # decimals of currencies that the provider counts in a way of its own
    time_zone: Europe/Berlin               # of times without a zone; default UTC
    ping: {form: webhook_id}               # an unsigned form with this number only: answered, and nothing more

    event_id: id                           # these six may also stand in a rule
    customer_id: {first_of: [customer.number, {path: customer.card, prefix: "card:"}, {path: email, lower: true}]}
    anonymous_id: visitor
    guest_id: receipt                      # the anonymous_id of events that have no customer_id
    email: customer.email                  # an address: the customer_id of events that have no other id
    occurred_at: {path: at, format: unix}  # iso (default), unix, unix_ms, or a pattern of strptime

    rules:                                 # every rule that fits makes an event
      - on: [receipt.paid, "receipt.re*"]  # types; * stands for any text
        when: {state: [paid, settled], test: null}   # values at paths; null: nothing there
        unless: {"customer.kind": staff}
        each: lines                        # an event for each element; paths find it as `item`
        item_id: item.number               # tells events of one body apart; default: the position
        group: {of: item.payments, by: currency}     # an event for each value of `by`, whose elements are `group`
        name: Order Completed              # or {path: ...}, or {path: ..., values: {...}}
        kind: transaction                  # only for names without a kind of their own
        properties_from: extra             # an object whose fields become properties as they are
        properties:
          total: {path: sum, minus: discount, type: money, currency: item.currency, units: minor, absolute: true}
          plan: {path: price, type: money, currency: EUR, currency_property: plan_currency}
          order_id: {path: number, type: string}     # any, string, number, integer, boolean, money, time
          score: {path: smiley, values: {good: 5, bad: 1}, type: integer}
          channel: {value: till}           # always the same
        traits_from: person                # likewise for the traits of Identify
        traits: {email: customer.email}

Paths are JMESPath (jmespath.org): ``data.object.id``, ``a || b`` for the first that is there, ``sum(lines[].n)``.
"""

from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from connectors.sources.signatures import Scheme, SignedAs
from connectors.webhooks.paths import PathText
from connectors.webhooks.spec import FieldName, Scalar, Value
from connectors.yaml_file import Part, ShortPart, TimeZone, YamlFile
from contracts.errors import InputFileError
from contracts.events import EVENT_TYPES, Currency, Identifier, Kind

_SHIPPED: Final = "mappings"
_IDS: Final = ("customer_id", "anonymous_id", "guest_id", "email")
Pattern = Annotated[str, Field(min_length=1, max_length=200)]


Word = Identifier | Value
"""A word that is always the same, or a value."""
Texts = Annotated[dict[PathText, tuple[Scalar | None, ...]], Field(min_length=1)]


class Group(Part):
    """Elements of a list by a value that some of them share: each group makes an event of its own."""

    of: PathText
    by: PathText


class Ping(Part):
    """A body that a provider sends unsigned to try an address: a form with one field, which holds a number."""

    form: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class _Envelope(ShortPart):
    """What a mapping says of all events, and a rule of its own."""

    event_id: Value | None = None
    customer_id: Value | None = None
    anonymous_id: Value | None = None
    guest_id: Value | None = None
    email: Value | None = None
    occurred_at: Value | None = None


class Rule(_Envelope):
    """What makes an event of a body, or of each element of a list in it."""

    name: Word
    on: tuple[Pattern, ...] = ()
    when: Texts | None = None
    unless: Texts | None = None
    each: PathText | None = None
    item_id: Value | None = None
    group: Group | None = None
    kind: Kind | Value | None = None
    properties: dict[FieldName, Value] = Field(default_factory=dict)
    properties_from: PathText | None = None
    traits: dict[FieldName, Value] = Field(default_factory=dict)
    traits_from: PathText | None = None

    @field_validator("on", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("when", "unless", mode="before")
    @classmethod
    def _each_listed(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {key: item if isinstance(item, list) else [item] for key, item in value.items()}

    @model_validator(mode="after")
    def _fits_the_contract(self) -> Self:
        if self.item_id and not self.each:
            raise ValueError("item_id: is only for rules with each")
        if isinstance(self.name, Value):
            return self
        kind, required = EVENT_TYPES.get(self.name, (None, ()))
        if kind is None and self.kind is None:
            raise ValueError(f"kind: is required, since {self.name!r} has no kind of its own")
        if kind is not None and self.kind not in (None, kind):
            raise ValueError(f"kind: must be {kind!r} for {self.name!r}; leave it out")
        missing = [field for field in required if not self._gives(field)]
        if missing:
            raise ValueError(f"properties: {self.name!r} needs {' and '.join(missing)}")
        return self

    def _gives(self, field: str) -> bool:
        filled = {value.currency_property for value in self.properties.values() if value.type == "money"}
        return bool(self.properties_from) or field in self.properties or field in filled


class WebhookMapping(_Envelope):
    """How the webhooks of one provider become events; see the module's text for the keys."""

    about: str = ""
    signature: SignedAs | Scheme | None = None
    type: Value | None = None
    unknown: Literal["ignore", "refuse"] = "ignore"
    ignore: dict[Pattern, str] = Field(default_factory=dict)
    minor_units: dict[Currency, Annotated[int, Field(ge=0, le=4)]] = Field(default_factory=dict)
    time_zone: TimeZone = "UTC"
    ping: Ping | None = None
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.type is None and (self.ignore or any(rule.on for rule in self.rules)):
            raise ValueError("type: is required, since `on` and `ignore` go by it")
        for number, rule in enumerate(self.rules):
            ids = [getattr(part, key) for part in (self, rule) for key in _IDS]
            if not any(ids):
                raise ValueError(f"rules.{number}.customer_id: is required (or anonymous_id, guest_id or email)")
        return self

    def headers(self) -> tuple[str, ...]:
        """List the headers that the mapping reads, each once."""
        values = [value for part in (self, *self.rules) for value in _values(part)]
        named = [one.header for value in values for one in value.parts() if one.header]
        return tuple(dict.fromkeys(named))


def _values(part: BaseModel) -> Iterator[Value]:
    for name in type(part).model_fields:
        held = getattr(part, name)
        for one in held.values() if isinstance(held, dict) else [held]:
            if isinstance(one, Value):
                yield one


def load_webhook_mapping(name: str, folder: Path | None = None) -> WebhookMapping:
    """Read a mapping: the bare name of a shipped one, or a file's path, from ``folder`` if it is not absolute.

    Raises :class:`InputFileError`, which names the line and the field at fault.
    """
    path = mapping_path(name, folder)
    if path is None:
        with resources.as_file(_shipped(name)) as shipped:
            return _load(shipped)
    if not path.is_file():
        raise InputFileError(f"Mapping {name}: no such file. Shipped ones: {', '.join(shipped_mappings())}.")
    return _load(path)


def mapping_path(name: str, folder: Path | None = None) -> Path | None:
    """Where the file of a mapping is; None for one that is shipped."""
    return None if name in shipped_mappings() else (folder or Path()) / name


@cache
def shipped_mappings() -> tuple[str, ...]:
    """List the names of the mappings that come with the package."""
    folder = resources.files("connectors.webhooks") / _SHIPPED
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def shipped_text(name: str) -> str:
    """Give the text of a shipped mapping, to begin one's own with."""
    if name not in shipped_mappings():
        raise InputFileError(f"Mapping {name}: is not shipped. There are: {', '.join(shipped_mappings())}.")
    return _shipped(name).read_text(encoding="utf-8")


def _shipped(name: str) -> resources.abc.Traversable:
    return resources.files("connectors.webhooks") / _SHIPPED / f"{name}.yaml"


def _load(path: Path) -> WebhookMapping:
    file = YamlFile(path, "Mapping")
    if not isinstance(file.content, dict):
        raise InputFileError(f"{file.name}: must hold keys and values; see docs/sources/webhooks.md.")
    try:
        return WebhookMapping.model_validate(file.content)
    except ValidationError as error:
        raise file.wrong(error, WebhookMapping) from None

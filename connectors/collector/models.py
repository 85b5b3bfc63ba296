"""The shapes of requests and answers, for the OpenAPI document.

They describe and do not judge: what is read, and how forgivingly, is in :mod:`connectors.collector.batch` and
:mod:`connectors.collector.messages`. Moves no data.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.events import MAX_EVENT_BYTES

Time = str | int | float
Id = str | int


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class Common(_Shape):
    """What every message may have."""

    messageId: Id | None = Field(None, description="Known by it, a message that comes twice counts once.")  # noqa: N815
    userId: Id | None = Field(None, description="The customer.", examples=["c-42"])  # noqa: N815
    anonymousId: Id | None = Field(None, description="The visitor.", examples=["a-1"])  # noqa: N815
    timestamp: Time | None = Field(None, description="When it happened, by the sender's clock.")
    originalTimestamp: Time | None = Field(None, description="The same, where `timestamp` is not given.")  # noqa: N815
    sentAt: Time | None = Field(None, description="When it was sent, by the same clock.")  # noqa: N815
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None
    writeKey: str | None = Field(None, description="The write key, where no header has it.")  # noqa: N815


class Track(Common):
    """Something that a customer did."""

    event: str = Field(examples=["Order Completed"])
    properties: dict[str, Any] | None = None


class Page(Common):
    """A page, or a screen, that was looked at."""

    name: str | None = None
    category: str | None = None
    properties: dict[str, Any] | None = None


class Identify(Common):
    """Who somebody is."""

    traits: dict[str, Any] | None = None


class Group(Common):
    """To which company or group somebody belongs."""

    groupId: Id  # noqa: N815
    traits: dict[str, Any] | None = None


class Alias(Common):
    """Two ids that are one person."""

    previousId: Id  # noqa: N815


class Merge(Common):
    """Two ids that are one person, as RudderStack says it."""

    mergeProperties: list[dict[str, str]] = Field(min_length=2, max_length=2)  # noqa: N815


class Batch(_Shape):
    """Many messages, each with its `type`. `context` and `integrations` go into all of them."""

    batch: list[dict[str, Any]] = Field(description=f"Messages, each of at most {MAX_EVENT_BYTES:,} bytes.")
    context: dict[str, Any] | None = None
    integrations: dict[str, Any] | None = None
    sentAt: Time | None = None  # noqa: N815
    writeKey: str | None = None  # noqa: N815


class Success(BaseModel):
    """Kafka holds every message of the request. Those that are no events are on their way to the dead letters."""

    success: Literal[True]


class Failure(BaseModel):
    """Nothing of the request counts as taken."""

    success: Literal[False]
    code: str = Field(examples=["unknown_write_key"])
    message: str


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"]


class Ready(BaseModel):
    """Whether events can be taken."""

    status: Literal["ready", "not ready"]
    kafka: Literal["up", "away"]
    disk: Literal["well", "full"] = Field(description="Whether the disk of a local Kafka has room for events.")
    sources: int = Field(description="How many sources there are.")
    sources_file: Literal["well", "broken"] = Field(description="While it is broken, what it held before is in force.")


class Version(BaseModel):
    """Which crmstream answers."""

    version: str

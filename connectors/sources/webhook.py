"""The ``webhook:`` part of a source: which mapping file reads its webhooks, and how they are signed.

::

    sources:
      payments:
        webhook:
          mapping: stripe                      # one that is shipped, or the path of your own
          secret: STRIPE_WEBHOOK_SECRET        # the *name* of an environment variable, or a list of names
      till:
        webhook:
          mapping: mappings/till.yaml          # from the folder of the file of sources
          secret: [TILL_SECRET, TILL_SECRET_OLD]
          signature: {header: X-Till-Signature, prefix: "sha256=", timestamp_header: X-Till-Time,
                      signed: "{timestamp}.{body}", tolerance_seconds: 300}

``signature`` is one of :data:`connectors.sources.signatures.PRESETS`, a scheme of one's own, or ``none``, which lets
anybody in who reaches the port. Without it, the mapping names it. Moves no data.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from connectors.sources.signatures import PRESETS, Scheme, SignedAs
from connectors.yaml_file import Part

NO_SIGNATURE: Final = "none"
SchemeName = SignedAs | Literal["none"]


def _is_a_name(value: str) -> str:
    if not re.fullmatch("[A-Z][A-Z0-9_]{0,99}", value):
        raise ValueError("must be the name of an environment variable in capitals, and never the secret itself")
    return value


_Variable = Annotated[str, AfterValidator(_is_a_name)]


class MissingSecretError(Exception):
    """No variable that holds a secret is set. ``names`` are the variables."""

    def __init__(self, names: tuple[str, ...]):
        super().__init__(f"set the environment variable {' or '.join(names)} to the secret of this webhook")
        self.names = names


class WebhookPart(Part):
    """How a source's webhooks are read and checked; see the module's text."""

    mapping: Annotated[str, Field(min_length=1)]
    signature: SchemeName | Scheme | None = None
    secret: Annotated[tuple[_Variable, ...], Field(max_length=8)] = ()

    @field_validator("secret", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_its_secret(self) -> Self:
        if (self.signature == NO_SIGNATURE) == bool(self.secret):
            raise ValueError(
                "secret: must name the environment variable that holds the secret; only with `signature: none` there "
                "is none"
            )
        return self

    def secrets(self, environment: Mapping[str, str]) -> tuple[str, ...]:
        """Read the secrets that are set. Raises :class:`MissingSecretError` if there is none but should be."""
        found = tuple(value for name in self.secret if (value := environment.get(name, "").strip()))
        if self.secret and not found:
            raise MissingSecretError(self.secret)
        return found


def scheme_of(part: WebhookPart, default: SchemeName | Scheme | None) -> Scheme | None:
    """Give the scheme of a source, from its own part or its mapping's ``default``; None if nothing is signed."""
    chosen = part.signature or default or "hmac-sha256"
    if isinstance(chosen, Scheme):
        return chosen
    return None if chosen == "none" else PRESETS[chosen]

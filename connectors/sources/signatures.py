"""Signatures of webhooks: an HMAC-SHA256 over the bytes of the body, and over a time against replays.

Every scheme is the same few choices, so the providers' own are data here. Pure; the time is handed in. Moves no data.
"""

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_SIGNATURES: Final = 16
"""Signatures of one header that are looked at; while a provider changes its secret there are two."""

HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
SignedAs = Literal["hmac-sha256", "stripe", "shopify", "zendesk", "woocommerce"]
"""The names of :data:`PRESETS`."""
_Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,16}$")]
_MILLISECOND_DIGITS: Final = 13


class SignatureError(Exception):
    """A signature is missing, wrong or too old. The text is short and holds no value."""


class Scheme(BaseModel):
    """How a provider signs.

    ``header`` holds the signature: ``encoding`` hex or base64, after ``prefix`` (``sha256=``) if there is one. If
    ``signature_key`` is set, the header is a list such as ``t=1614265330,v1=6ffb...``, with the time under
    ``timestamp_key``. Else a time may stand in ``timestamp_header``: Unix seconds or milliseconds, or ISO 8601.
    ``signed`` is what is signed, with ``{body}`` and, where there is a time, ``{timestamp}``; the time may be off by
    ``tolerance_seconds`` at most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: HeaderName
    encoding: Literal["hex", "base64"] = "hex"
    prefix: Annotated[str, Field(max_length=32)] = ""
    signature_key: _Key | None = None
    timestamp_key: _Key | None = None
    timestamp_header: HeaderName | None = None
    signed: Annotated[str, Field(max_length=200)] = "{body}"
    tolerance_seconds: Annotated[float, Field(gt=0, le=86_400)] = 300

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.timestamp_key and (self.timestamp_header or not self.signature_key):
            raise ValueError("timestamp_key: goes with signature_key, and not with timestamp_header")
        if self.signed.count("{body}") != 1:
            raise ValueError("signed: must hold {body} once")
        if self.signed.count("{timestamp}") != int(self.has_time):
            raise ValueError(
                "signed: must hold {timestamp} once if timestamp_header or timestamp_key is set, and only then"
            )
        return self

    @property
    def has_time(self) -> bool:
        """Whether a time is signed too."""
        return bool(self.timestamp_header or self.timestamp_key)


PRESETS: Final[Mapping[SignedAs, Scheme]] = {
    "stripe": Scheme(
        header="Stripe-Signature", signature_key="v1", timestamp_key="t", signed="{timestamp}.{body}"
    ),
    "shopify": Scheme(header="X-Shopify-Hmac-Sha256", encoding="base64"),
    "zendesk": Scheme(
        header="X-Zendesk-Webhook-Signature",
        encoding="base64",
        timestamp_header="X-Zendesk-Webhook-Signature-Timestamp",
        signed="{timestamp}{body}",
    ),
    "woocommerce": Scheme(header="X-WC-Webhook-Signature", encoding="base64"),
    "hmac-sha256": Scheme(header="X-Signature", prefix="sha256="),
}
"""The providers' own schemes, and a plain one: ``X-Signature: sha256=`` and the body's HMAC in hex."""


def verify(scheme: Scheme, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> None:
    """Make sure that ``body``, as it was sent, carries a signature by one of ``secrets``.

    Names of ``headers`` are in small letters. Takes the same time whatever is wrong with a signature. Raises
    :class:`SignatureError`.
    """
    given, timestamp = _presented(scheme, headers)
    if not any(secrets):
        raise SignatureError("there is no secret to check it with")
    message = _message(scheme, timestamp, body)
    expected = [_digest(secret, message) for secret in secrets if secret]
    if not any([hmac.compare_digest(one, other) for one in given for other in expected]):  # noqa: C419 - all of them
        raise SignatureError("the signature does not match")
    if scheme.has_time and abs((now - _time(timestamp)).total_seconds()) > scheme.tolerance_seconds:
        raise SignatureError(f"the signature's time is more than {scheme.tolerance_seconds:g} seconds off")


def sign(scheme: Scheme, body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """Make the headers that a provider would send with ``body``."""
    iso = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    timestamp = str(int(now.timestamp())) if scheme.timestamp_key else iso if scheme.timestamp_header else ""
    digest = _digest(secret, _message(scheme, timestamp, body))
    text = scheme.prefix + (digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode())
    if scheme.signature_key:
        stamped = [f"{scheme.timestamp_key}={timestamp}"] if scheme.timestamp_key else []
        text = ",".join([*stamped, f"{scheme.signature_key}={text}"])
    stamp = {scheme.timestamp_header: timestamp} if scheme.timestamp_header else {}
    return {scheme.header: text, **stamp}


def _presented(scheme: Scheme, headers: Mapping[str, str]) -> tuple[list[bytes], str]:
    """Read the signatures and the time that stand in the headers."""
    text = headers.get(scheme.header.lower(), "").strip()
    if not text:
        raise SignatureError(f"the header {scheme.header} is missing")
    pairs = list(_pairs(text)) if scheme.signature_key else [(None, text)]
    given = [value for key, value in pairs if key == scheme.signature_key][:MOST_SIGNATURES]
    if scheme.timestamp_header:
        timestamp = headers.get(scheme.timestamp_header.lower(), "").strip()
    else:
        timestamp = next((value for key, value in pairs if key == scheme.timestamp_key), "")
    if scheme.has_time and not timestamp:
        raise SignatureError(f"the header {scheme.timestamp_header or scheme.header} holds no time")
    return [digest for one in given if (digest := _decoded(scheme, one)) is not None], timestamp


def _pairs(text: str) -> Iterator[tuple[str | None, str]]:
    for part in text.split(","):
        key, _, value = part.strip().partition("=")
        yield key, value


def _decoded(scheme: Scheme, text: str) -> bytes | None:
    """Turn a signature into its 32 bytes; None if it is no such thing."""
    if not text.startswith(scheme.prefix):
        return None
    text = text.removeprefix(scheme.prefix)
    try:
        digest = binascii.unhexlify(text) if scheme.encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return digest if len(digest) == sha256().digest_size else None


def _message(scheme: Scheme, timestamp: str, body: bytes) -> bytes:
    before, after = scheme.signed.split("{body}")
    stamped = [part.replace("{timestamp}", timestamp).encode(errors="replace") for part in (before, after)]
    return stamped[0] + body + stamped[1]


def _digest(secret: str, message: bytes) -> bytes:
    return hmac.digest(secret.encode(errors="surrogateescape"), message, "sha256")  # as the environment decodes


def _time(text: str) -> datetime:
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text) / (1_000 if len(text) >= _MILLISECOND_DIGITS else 1), UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise SignatureError("the signature's time cannot be read") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

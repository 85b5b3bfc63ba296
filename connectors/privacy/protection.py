"""Keyed hashes and encryption of single values, from the one secret CRM_PRIVACY_KEY.

A hash is 32 hexadecimal digits of HMAC-SHA256 over the value's text alone: one value has one hash in every field and
every source of an installation, so ids that are hashed still name one person. An encrypted value is ``enc:1:`` and
AES-256-GCM (12 bytes of nonce, cipher text, tag) in URL-safe base64 over the value's JSON text. Moves no data.
"""

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from contracts.errors import InputFileError, SettingsError
from contracts.identity import EMAIL_ADDRESS

ENCRYPTED: Final = "enc:1:"
_HASH_DIGITS: Final = 32
_NONCE_BYTES: Final = 12
_encode: Final = msgspec.json.Encoder(order="sorted", decimal_format="number").encode


class Protector:
    """Hashes and encrypts with keys derived from ``secret``."""

    def __init__(self, secret: SecretStr):
        self._hash_key = _derived(secret, b"crmstream privacy hash 1")
        self._cipher = AESGCM(_derived(secret, b"crmstream privacy encryption 1"))

    def hash(self, value: object) -> object:
        """Hash a value: a list item by item, a dict as its sorted JSON text. Nothing and "" stay as they are."""
        if isinstance(value, list | tuple):
            return [self.hash(item) for item in value]
        return value if value is None or value == "" else self._digest(_as_text(value))

    def encrypt(self, value: object) -> object:
        """Encrypt a value as one text. Nothing stays nothing, and what this key has encrypted stays as it is."""
        if value is None or (isinstance(value, str) and value.startswith(ENCRYPTED) and self._opened(value)):
            return value
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, _json(value), ENCRYPTED.encode())
        return ENCRYPTED + urlsafe_b64encode(nonce + sealed).decode()

    def decrypt(self, text: str) -> object:
        """Read an encrypted value back. Raises :class:`InputFileError` if it is none, or of another key."""
        content = self._opened(text.strip())
        if content is None:
            raise InputFileError(
                f"This is no value that CRM_PRIVACY_KEY encrypted: it must begin with {ENCRYPTED} and be whole, and "
                "the key must be the one that was set when it came in."
            )
        return msgspec.json.decode(content)

    def _digest(self, text: str) -> str:
        if EMAIL_ADDRESS.fullmatch(text):
            text = text.strip().lower()
        return hmac.digest(self._hash_key, text.encode(errors="surrogatepass"), "sha256").hex()[:_HASH_DIGITS]

    def _opened(self, text: str) -> bytes | None:
        try:
            sealed = urlsafe_b64decode(text.removeprefix(ENCRYPTED))
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], ENCRYPTED.encode())
        except (ValueError, InvalidTag):
            return None


def protector(secret: SecretStr | None, source: str) -> Protector:
    """Make the protector that a source's rules need. Raises :class:`SettingsError` without a key."""
    if secret is None:
        raise SettingsError(
            f"CRM_PRIVACY_KEY is not set, but source {source} has fields to hash or encrypt. "
            "Make a key with `crmstream privacy key`, keep it safe, and set it for every process."
        )
    return Protector(secret)


def _derived(secret: SecretStr, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, purpose).derive(secret.get_secret_value().encode())


def _as_text(value: object) -> str:
    value = msgspec.to_builtins(value)  # a time is its text
    return value if isinstance(value, str) else _json(value).decode()


def _json(value: object) -> bytes:
    """Write a value as JSON; half a surrogate pair, which JSON text in UTF-8 cannot hold, as its escape."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_escaped(value))


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list | tuple) else value

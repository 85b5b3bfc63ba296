"""The rules of ``Unlink`` events, which undo the link of a device or of an e-mail address.

Only crmstream itself writes them (``crmstream identity unlink``): whoever could send one with a public write key could
take any device from its customer. An ``Unlink`` names what is unlinked, and in ``previous_id`` the owner that loses it.
"""

from typing import Any, Final

from contracts.identity import is_second_key

OWN_SOURCE: Final = "crmstream"
"""The source of the events that crmstream itself writes. No configured source has this name."""


def problem_of(source: str, anonymous_id: str | None, traits: dict[str, Any] | None) -> str | None:
    """Return why an ``Unlink`` is invalid, with the field before it; None if it is valid."""
    if source != OWN_SOURCE:
        return "source: only crmstream itself writes Unlink (crmstream identity unlink)"
    email = (traits or {}).get("email")
    if anonymous_id is not None:
        return None if email is None else "properties.traits: an Unlink names a device or an e-mail address, not both"
    if isinstance(email, str) and is_second_key(email):
        return None
    return "properties.traits: an Unlink without anonymous_id needs an e-mail address"

"""Keys for ids that are made of a row's key, which may be personal: an address, a number that people have.

From a plain hash of one, whoever can list the candidates finds it out. Pure.
"""

from pydantic import SecretStr

from connectors.privacy.protection import Protector
from connectors.sources.source import Source
from contracts.errors import SettingsError


def keys_of(source: Source, secret: SecretStr | None) -> Protector | None:
    """Give the keys that ids and positions of a source's rows need; None if it has no privacy rules.

    Raises :class:`SettingsError` if it has some and ``secret``, the setting CRM_PRIVACY_KEY, is not set.
    """
    if not any(source.privacy.named()):
        return None
    if secret is None:
        raise SettingsError(
            f"CRM_PRIVACY_KEY is not set, but source {source.name} has privacy rules, and without a key the ids of "
            "events would tell the keys of rows. Make one with `crmstream privacy key`, keep it safe, and set it."
        )
    return Protector(secret)

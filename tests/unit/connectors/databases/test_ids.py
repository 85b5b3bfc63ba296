"""Ids of events tell connections apart, and nothing of the keys that a source protects."""

import pytest
from pydantic import SecretStr

from connectors.databases.ids import EventIds
from connectors.door.keys import keys_of
from connectors.privacy.rules import PrivacyRules
from connectors.sources.source import Source
from contracts.errors import SettingsError

SECRET = SecretStr("a secret of many letters")
PROTECTED = Source(name="shop", privacy=PrivacyRules(drop=("email",)))
ROW = ("public.customers", ["ann@example.com"], "Customer Registered")


def test_two_databases_of_one_source_have_ids_of_their_own_which_stay() -> None:
    ids = {EventIds(source, name).id_of(*ROW) for source, name in (("a", "b"), ("a", "c"), ("c", "b"))}
    assert len(ids) == 3
    assert EventIds("a", "b").id_of(*ROW) in ids


def test_ids_of_a_protected_source_cannot_be_had_without_the_key() -> None:
    plain, keyed, other = (
        EventIds("shop", "shop", keys).id_of(*ROW)
        for keys in (None, keys_of(PROTECTED, SECRET), keys_of(PROTECTED, SecretStr("another secret")))
    )
    assert len({plain, keyed, other}) == 3
    assert EventIds("shop", "shop", keys_of(PROTECTED, SECRET)).id_of(*ROW) == keyed
    capitals = EventIds("shop", "shop", keys_of(PROTECTED, SECRET)).id_of(ROW[0], ["Ann@example.com"], ROW[2])
    assert capitals != keyed


def test_rules_need_the_key_and_without_rules_there_is_none() -> None:
    with pytest.raises(SettingsError, match="CRM_PRIVACY_KEY is not set"):
        keys_of(PROTECTED, None)
    assert keys_of(Source(name="shop"), SECRET) is None

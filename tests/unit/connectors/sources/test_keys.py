"""Write keys are recognised by their hash, until they are revoked."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.sources.keys import KeyRing, key_hash, new_key
from connectors.sources.source import Source, Sources, WriteKey

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def ring(**keys: WriteKey) -> KeyRing:
    sources = {name: Source(name=name, keys=(key,)) for name, key in keys.items()}
    return KeyRing(Sources(sources=sources), lambda: NOW)


def kept(write_key: str, revoked: datetime | None = None) -> WriteKey:
    return WriteKey(hash=key_hash(write_key), created=NOW, revoked=revoked)


def test_a_new_key_is_long_and_its_own() -> None:
    first, second = new_key(), new_key()
    assert first != second
    assert first.startswith("wk_")
    assert len(first) == 46


def test_a_key_leads_to_its_source() -> None:
    keys = ring(shop=kept("wk_a"), app=kept("wk_b"))
    found = keys.source_of("wk_b")
    assert found is not None
    assert found.name == "app"


@pytest.mark.parametrize("presented", ["", "wk_", "WK_A", "wk_a ", key_hash("wk_a"), "\ud800", "x" * 100_000])
def test_what_is_no_key_leads_nowhere(presented: str) -> None:
    assert ring(shop=kept("wk_a")).source_of(presented) is None


def test_a_revoked_key_leads_nowhere() -> None:
    assert ring(shop=kept("wk_a", revoked=NOW)).source_of("wk_a") is None


def test_a_key_that_will_be_revoked_holds_until_then() -> None:
    now = NOW
    source = Source(name="shop", keys=(kept("wk_a", revoked=NOW + timedelta(hours=1)),))
    keys = KeyRing(Sources(sources={"shop": source}), lambda: now)
    assert keys.source_of("wk_a") is source
    now += timedelta(hours=1)
    assert keys.source_of("wk_a") is None
